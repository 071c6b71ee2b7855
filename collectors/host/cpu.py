"""``cpu``: where the processors' time went since the last reading, in percent."""

import asyncio
import os
from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import kernelfile
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

# in the order of /proc/stat; old kernels write fewer
STATES: Final = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
_GUEST: Final = 8
_RESTART_SECONDS: Final = 3

Ticks = tuple[int, ...]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which processors, and whether seconds since boot are wanted beside percentages."""

    percpu: bool = True
    totalcpu: bool = True
    collect_cpu_time: bool = False
    report_active: bool = False


class Cpu:
    """Reads ``/proc/stat``. Percentages need an earlier reading, so the first one gives none."""

    def __init__(self, options: Options, roots: "Roots") -> None:
        self._options = options
        self._roots = roots
        self._ticks_per_second = os.sysconf("SC_CLK_TCK")
        self._last: dict[str, Ticks] = {}

    async def collect(self, now: int) -> list[Point]:
        """Return one point for each processor and one for all of them (tag ``cpu-total``)."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        readings = dict(self._wanted(kernelfile.text(self._roots.proc, "stat")))
        points = []
        for name, ticks in readings.items():
            fields = self._times(ticks) if self._options.collect_cpu_time else {}
            if (before := self._last.get(name)) is not None:
                fields.update(usage(before, ticks, self._ticks_per_second, active=self._options.report_active))
            if fields:
                points.append(Point("cpu", {"cpu": name}, fields, now))
        self._last = readings
        return points

    def _wanted(self, stat: str) -> Iterator[tuple[str, Ticks]]:
        for line in stat.splitlines():
            if not line.startswith("cpu"):
                break
            name, *numbers = line.split()
            if self._options.totalcpu if name == "cpu" else self._options.percpu:
                ticks = tuple(have for have, _ in zip_longest(map(int, numbers[: len(STATES)]), STATES, fillvalue=0))
                yield "cpu-total" if name == "cpu" else name, ticks

    def _times(self, ticks: Ticks) -> dict[str, Value]:
        fields: dict[str, Value] = {
            f"time_{state}": count / self._ticks_per_second for state, count in zip(STATES, ticks, strict=True)
        }
        if self._options.report_active:
            fields["time_active"] = (sum(ticks[:_GUEST]) - ticks[STATES.index("idle")]) / self._ticks_per_second
        return fields


def usage(before: Ticks, ticks: Ticks, per_second: int, *, active: bool = False) -> dict[str, Value]:
    """Percent of the time between two readings (ticks by state, in the order of STATES).

    Nothing when no time passed or when the counters began anew.
    """
    deltas = [new - old for old, new in zip(before, ticks, strict=True)]
    # idle and iowait may step back a little by rounding in the kernel; a processor that came back starts far lower
    if min(deltas) < -_RESTART_SECONDS * per_second or sum(deltas[:_GUEST]) <= 0:
        return {}
    spent = dict(zip(STATES, (max(delta, 0) for delta in deltas), strict=True))
    total = sum(list(spent.values())[:_GUEST])
    # the kernel counts a guest's time in user and nice as well
    spent["user"] = max(spent["user"] - spent["guest"], 0)
    spent["nice"] = max(spent["nice"] - spent["guest_nice"], 0)
    fields: dict[str, Value] = {f"usage_{state}": 100 * count / total for state, count in spent.items()}
    if active:
        fields["usage_active"] = 100 * (total - spent["idle"]) / total
    return fields
