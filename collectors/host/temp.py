"""``temp``: temperatures in °C."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import hwmon, kernelfile
from collectors.point import Point

if TYPE_CHECKING:
    from collectors.host import Roots

_MILLI: Final = 1000.0

Reading = tuple[str, str, float]  # sensor, device, °C


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to choose."""


class Temp:
    """Reads ``/sys/class/hwmon``, or the zones of ``/sys/class/thermal`` where no chip measures."""

    def __init__(self, _options: Options, roots: "Roots") -> None:
        self._roots = roots

    async def collect(self, now: int) -> list[Point]:
        """Return one point a sensor: tag ``sensor``, and ``device`` where several chips have the same name."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        readings = list(self._chips()) or list(self._zones())
        if not readings:
            raise kernelfile.lacking(
                f"{self._roots.sys}/class/hwmon", "no chip and no thermal zone tells a temperature"
            )
        seen = Counter(sensor for sensor, _, _ in readings)
        return [
            Point(
                "temp",
                {"sensor": sensor, "device": device} if seen[sensor] > 1 else {"sensor": sensor},
                {"temp": celsius},
                now,
            )
            for sensor, device, celsius in readings
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
                if celsius is not None:
                    label = feature.label.lower().replace(" ", "_")
                    device = chip.device if feature.label else f"{chip.device}.{feature.name}".strip(".")
                    yield f"{chip.name}_{label}" if label else chip.name, device, celsius

    def _zones(self) -> Iterator[Reading]:
        for folder in sorted(Path(self._roots.sys, "class/thermal").glob("thermal_zone*")):
            celsius = hwmon.value(folder / "temp", _MILLI)
            if celsius is not None:
                yield kernelfile.word(str(folder), "type") or folder.name, folder.name, celsius
