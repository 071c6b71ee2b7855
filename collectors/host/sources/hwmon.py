"""The chips that measure temperature, fans, voltage and power, as the kernel shows them in ``/sys/class/hwmon``."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from collectors.host.sources import kernelfile

_FILE: Final = re.compile(r"((?:temp|fan|in|curr|power|humidity|energy)\d+)_(\w+)")


class Feature(msgspec.Struct, frozen=True):
    """One feature of a chip, such as ``temp1``: its label, and the files by what they tell (``input``, ``max``, ...)."""

    name: str
    label: str
    files: dict[str, Path]


class Chip(msgspec.Struct, frozen=True):
    """One chip. ``device``: what it sits on, for chips of the same name; ``bus``: bus and address as lm-sensors names them.

    ``folder`` (``hwmon3``) is unlike that of any other chip, but another one after the next start.
    """

    name: str
    folder: str
    device: str
    bus: str
    features: list[Feature]


def chips(sys: str) -> list[Chip]:
    """Return the chips that there are; OSError when this host has no such folder."""
    return [_chip(folder) for folder in sorted(Path(sys, "class/hwmon").iterdir(), key=_number)]


def value(file: Path, scale: float) -> float | None:
    """Return what a chip measures now, divided by ``scale``; None when it does not answer."""
    try:
        return int(file.read_bytes()) / scale
    except (OSError, ValueError):
        return None


def is_broken(feature: Feature) -> bool:
    """Return whether the chip says that the sensor is not connected or broken: what it measures then is no value."""
    return "fault" in feature.files and bool(value(feature.files["fault"], 1.0))


def _number(folder: Path) -> tuple[int, str]:
    digits = folder.name.removeprefix("hwmon")
    return (int(digits) if digits.isdigit() else 0, folder.name)


def _chip(folder: Path) -> Chip:
    device = _link(folder / "device")
    features = list(_features(folder))
    if not features and (folder / "device").is_dir():
        features = list(_features(folder / "device"))  # kernels before 3.15
    name = kernelfile.word(str(folder), "name") or kernelfile.word(str(folder), "device/name") or device or folder.name
    return Chip(name, folder.name, device, _bus(folder / "device"), features)


def _link(path: Path) -> str:
    try:
        return path.readlink().name
    except OSError:
        return ""


def _features(folder: Path) -> Iterator[Feature]:
    files: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.iterdir()):
        if match := _FILE.fullmatch(file.name):
            files.setdefault(match[1], {})[match[2]] = file
    for name, known in files.items():
        label = known.pop("label", None)
        yield Feature(name, (label and kernelfile.word(str(folder), label.name)) or "", known)


def _bus(device: Path) -> str:
    """Return bus and address as lm-sensors writes them (libsensors' ``classify_device``), such as ``pci-00c3``.

    Where the kernel puts a device of its own below that of the bus (``nvme0`` below ``0000:01:00.0``), the nearest above it
    whose bus is known counts.
    """
    subsystem = _link(device / "subsystem")
    place = device.resolve()
    above = [folder for folder in (place, *place.parents) if (folder / "subsystem").is_symlink()]
    for folder in above:
        if known := _address(_link(folder / "subsystem"), folder.name):
            return known
    return f"{subsystem}-0" if subsystem else "virtual-0"


def _address(subsystem: str, device: str) -> str:
    """Return what lm-sensors makes of a device's name: ``isa-0000``, ``pci-00c3``, ``i2c-0-48``, ``scsi-2-0``; "" for other buses."""
    if subsystem == "pci" and (place := re.fullmatch(r"(\w+):(\w+):(\w+)\.(\w)", device)):
        domain, bus, slot, function = (int(part, 16) for part in place.groups())
        return f"pci-{(domain << 16) + (bus << 8) + (slot << 3) + function:04x}"
    if subsystem == "i2c" and (place := re.fullmatch(r"(\d+)-(\w+)", device)):
        return f"i2c-{place[1]}-{int(place[2], 16):02x}"
    if subsystem == "scsi" and (place := re.fullmatch(r"(\d+):(\d+):(\d+):(\w+)", device)):
        channel, target = int(place[2]), int(place[3])
        return f"scsi-{place[1]}-{(channel << 8) + (target << 4) + int(place[4], 16):x}"
    if subsystem in {"platform", "of_platform"}:
        last = device.rpartition(".")[2]
        return f"isa-{int(last) if last.isdigit() else 0:04x}"
    return ""
