"""``temp``: temperatures in °C."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from collectors.host.sources import hwmon, kernelfile
from collectors.point import Point

if TYPE_CHECKING:
    from collectors.host import Roots

_MILLI: Final = 1000.0

_ABSOLUTE_ZERO: Final = -273.15  # some chips tell it where no sensor is connected


class Reading(NamedTuple):
    """One temperature in °C. ``places``: what it is measured at, for sensors of one name; each is more exact than the one before."""

    sensor: str
    places: tuple[str, ...]
    celsius: float


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to choose."""


class Temp:
    """Reads ``/sys/class/hwmon``, or the zones of ``/sys/class/thermal`` where no chip measures."""

    def __init__(self, _options: Options, roots: "Roots") -> None:
        self._roots = roots

    async def collect(self, now: int) -> list[Point]:
        """Return one point a sensor: tag ``sensor``, and ``device`` where several have the same name.

        ``device`` is what the chip sits on, with the kernel's name of the sensor where one chip has a name twice.
        """
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        readings = list(self._chips()) or list(self._zones())
        if not readings:
            raise kernelfile.lacking(
                f"{self._roots.sys}/class/hwmon", "no chip and no thermal zone tells a temperature"
            )
        devices = _devices(readings)
        return [
            Point(
                "temp",
                {"sensor": one.sensor, "device": device} if device else {"sensor": one.sensor},
                {"temp": one.celsius},
                now,
            )
            for one, device in zip(readings, devices, strict=True)
        ]

    def _chips(self) -> Iterator[Reading]:
        try:
            chips = hwmon.chips(self._roots.sys)
        except OSError:
            return
        for chip in chips:
            for feature in chip.features:
                if not feature.name.startswith("temp") or "input" not in feature.files:
                    continue
                celsius = hwmon.value(feature.files["input"], _MILLI)
                if celsius is None or celsius <= _ABSOLUTE_ZERO or hwmon.is_broken(feature):
                    continue
                label = feature.label.lower().replace(" ", "_")
                exact = f"{chip.device}.{feature.name}".strip(".")
                places = (chip.device if feature.label else exact, exact, f"{chip.folder}.{feature.name}")
                yield Reading(f"{chip.name}_{label}" if label else chip.name, places, celsius)

    def _zones(self) -> Iterator[Reading]:
        for folder in sorted(Path(self._roots.sys, "class/thermal").glob("thermal_zone*")):
            celsius = hwmon.value(folder / "temp", _MILLI)
            if celsius is not None:
                yield Reading(kernelfile.word(str(folder), "type") or folder.name, (folder.name,), celsius)


def _devices(readings: list[Reading]) -> list[str]:
    """Return of each reading the first of its places by which no other one of its sensor is named too; "" if it needs none."""
    devices = [""] * len(readings)
    for exactness in range(max(len(one.places) for one in readings)):
        names = Counter((one.sensor, device) for one, device in zip(readings, devices, strict=True))
        devices = [
            one.places[min(exactness, len(one.places) - 1)] if names[one.sensor, device] > 1 else device
            for one, device in zip(readings, devices, strict=True)
        ]
    return devices
