"""``diskio``: reads and writes of each block device since boot, and how busy it was since the last reading."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import kernelfile
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

# the numbers of a line of /proc/diskstats, from its fourth word on
_COUNTERS: Final = (
    "reads",
    "merged_reads",
    "read_sectors",
    "read_time",
    "writes",
    "merged_writes",
    "write_sectors",
    "write_time",
    "iops_in_progress",
    "io_time",
    "weighted_io_time",
)
_NEVER_FALL: Final = ("reads", "writes", "read_time", "write_time", "io_time")
_SECTOR: Final = 512  # of /proc/diskstats, whatever the device uses

Counters = dict[str, int]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``devices``: names, shell patterns or paths (``/dev/disk/by-id/...``); ``ignore`` holds for devices not asked for by name."""

    devices: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ("loop*", "ram*")


class DiskIo:
    """Reads ``/proc/diskstats``. A device that never did anything is left out."""

    def __init__(self, options: Options, roots: "Roots") -> None:
        self._options = options
        self._roots = roots
        self._last: dict[str, Counters] = {}
        self._last_at = 0
        self._wwids: dict[str, str | None] = {}

    async def collect(self, now: int) -> list[Point]:
        """Return one point a device; ``io_await``, ``io_svctm`` (ms) and ``io_util`` (%) from the second reading on."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        readings = dict(self._wanted(kernelfile.text(self._roots.proc, "diskstats")))
        elapsed_ms = (now - self._last_at) / 1e6
        points = [
            Point("diskio", self._tags(name), _fields(self._last.get(name), counters, elapsed_ms), now)
            for name, counters in readings.items()
        ]
        self._last, self._last_at = readings, now
        # another disk may take the name of one that was pulled out
        self._wwids = {name: wwid for name, wwid in self._wwids.items() if name in readings}
        return points

    def _wanted(self, stats: str) -> Iterator[tuple[str, Counters]]:
        asked = [Path(name).resolve().name if name.startswith("/") else name for name in self._options.devices]
        for line in stats.splitlines():
            words = line.split()
            if len(words) < 3 + len(_COUNTERS):
                continue
            name = words[2]
            counters = dict(zip(_COUNTERS, map(int, words[3:]), strict=False))
            wanted = kernelfile.matches(name, asked) if asked else not kernelfile.matches(name, self._options.ignore)
            if wanted and any(counters.values()):
                yield name, counters

    def _tags(self, name: str) -> dict[str, str]:
        if name not in self._wwids:
            self._wwids[name] = kernelfile.word(self._roots.sys, f"block/{name}/wwid")
        wwid = self._wwids[name]
        return {"name": name, "wwid": wwid} if wwid else {"name": name}


def _fields(before: Counters | None, counters: Counters, elapsed_ms: float) -> dict[str, Value]:
    fields: dict[str, Value] = {name: count for name, count in counters.items() if not name.endswith("_sectors")}
    fields["read_bytes"] = counters["read_sectors"] * _SECTOR
    fields["write_bytes"] = counters["write_sectors"] * _SECTOR
    if before is None or any(counters[name] < before[name] for name in _NEVER_FALL):
        return fields
    delta = {name: counters[name] - before[name] for name in _NEVER_FALL}
    if done := delta["reads"] + delta["writes"]:
        fields["io_await"] = (delta["read_time"] + delta["write_time"]) / done
        fields["io_svctm"] = delta["io_time"] / done
    if elapsed_ms > 0:
        fields["io_util"] = 100 * delta["io_time"] / elapsed_ms
    return fields
