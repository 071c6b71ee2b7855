"""``sensors``: what the chips measure: temperatures, fans, voltages, currents, power, and their limits and alarms."""

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import hwmon, kernelfile
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

# what the kernel writes (hwmon's sysfs interface) -> °C, V, A, W, J, %, turns a minute
_SCALES: Final = {"temp": 1e3, "in": 1e3, "curr": 1e3, "power": 1e6, "energy": 1e6, "humidity": 1e3, "fan": 1.0}
_TOLD: Final = ("input", "average", "min", "max", "lcrit", "crit", "alarm", "fault")
_FLAGS: Final = ("alarm", "fault")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to choose."""


class Sensors:
    """Reads ``/sys/class/hwmon``; names chips, features and fields as the program ``sensors`` does, without starting it."""

    def __init__(self, _options: Options, roots: "Roots") -> None:
        self._roots = roots

    async def collect(self, now: int) -> list[Point]:
        """Return one point a feature, with ``device`` where chips have one name and address.

        Raises FileNotFoundError on hosts without such chips.
        """
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        chips = hwmon.chips(self._roots.sys)
        names = Counter(_name(chip) for chip in chips)
        points = []
        for chip in chips:
            tags = {"chip": _name(chip)}
            if names[_name(chip)] > 1:
                tags["device"] = chip.device or chip.folder
            labels = Counter(map(_label, chip.features))
            for feature in chip.features:
                if fields := _fields(feature):
                    label = _label(feature)
                    name = f"{label}_{feature.name}" if labels[label] > 1 else label
                    points.append(Point("sensors", {**tags, "feature": name}, fields, now))
        if not points:
            raise kernelfile.lacking(f"{self._roots.sys}/class/hwmon", "no chip measures anything")
        return points


def _name(chip: hwmon.Chip) -> str:
    return f"{chip.name}-{chip.bus}"


def _label(feature: hwmon.Feature) -> str:
    return re.sub(r"\W+", "_", feature.label.lower()).strip("_") or feature.name


def _fields(feature: hwmon.Feature) -> dict[str, Value]:
    kind = feature.name.rstrip("0123456789")
    fields: dict[str, Value] = {}
    for told in _TOLD:
        if told in feature.files:
            value = hwmon.value(feature.files[told], 1.0 if told in _FLAGS else _SCALES[kind])
            if value is not None:
                fields[f"{kind}_{told}"] = value
    return fields
