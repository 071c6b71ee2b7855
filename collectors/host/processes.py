"""``processes``: how many processes there are in each state."""

import asyncio
import os
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_STATES: Final = {
    b"R": "running",
    b"S": "sleeping",
    b"D": "blocked",
    b"Z": "zombies",
    b"X": "dead",
    b"x": "dead",
    b"T": "stopped",
    b"t": "stopped",
    b"W": "paging",
    b"I": "idle",
    b"P": "parked",
    b"K": "blocked",
}
_THREADS: Final = 17  # place of num_threads after the name in /proc/PID/stat
_LONGEST_STAT: Final = 1024


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to choose."""


class Processes:
    """Reads the ``stat`` file of each process, and nothing else of it."""

    def __init__(self, _options: Options, roots: "Roots") -> None:
        self._roots = roots

    async def collect(self, now: int) -> list[Point]:
        """Return one point. Raises PermissionError where /proc hides other users' processes: a part is not the whole."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        folder = os.open(self._roots.proc, os.O_RDONLY | os.O_DIRECTORY)
        try:
            pids = [name for name in os.listdir(folder) if name.isdigit()]  # noqa: PTH208 - of an open folder, and cheap
            if "1" not in pids:
                raise PermissionError(f"{self._roots.proc} shows own processes only (mounted with hidepid)")
            return [Point("processes", {}, _count(folder, pids), now)]
        finally:
            os.close(folder)


def _count(folder: int, pids: list[str]) -> dict[str, Value]:
    seen = dict.fromkeys((*_STATES.values(), "unknown"), 0)
    threads = 0
    for pid in pids:
        try:
            stat = _stat(folder, pid)
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended since the folder was listed
        except PermissionError:
            seen["unknown"] += 1
            continue
        # the name stands in brackets and may itself hold brackets and blanks
        words = stat[stat.rfind(b")") + 2 :].split(None, _THREADS + 1)
        if len(words) > _THREADS:
            seen[_STATES.get(words[0], "unknown")] += 1
            threads += int(words[_THREADS])
    return {**seen, "total": sum(seen.values()), "total_threads": threads}


def _stat(folder: int, pid: str) -> bytes:
    file = os.open(f"{pid}/stat", os.O_RDONLY, dir_fd=folder)
    try:
        return os.read(file, _LONGEST_STAT)
    finally:
        os.close(file)
