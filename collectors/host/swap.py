"""``swap``: how much is swapped out, and how much went in and out since boot, in bytes."""

import asyncio
import os
from typing import TYPE_CHECKING

import msgspec

from collectors.host.sources import kernelfile
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to choose."""


class Swap:
    """Reads ``/proc/meminfo`` and ``/proc/vmstat``; where vmstat is hidden, ``in`` and ``out`` are left out."""

    def __init__(self, _options: Options, roots: "Roots") -> None:
        self._roots = roots

    async def collect(self, now: int) -> list[Point]:
        """Return one point; a host without swap tells zeros."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        memory = kernelfile.counts(self._roots.proc, "meminfo")
        total = memory.get("SwapTotal", 0) * 1024
        free = memory.get("SwapFree", 0) * 1024
        fields: dict[str, Value] = {
            "total": total,
            "used": total - free,
            "free": free,
            "used_percent": 100 * (total - free) / total if total else 0.0,
        }
        try:
            lines = kernelfile.text(self._roots.proc, "vmstat").splitlines()
        except OSError:
            lines = []
        for name, key in (("in", "pswpin "), ("out", "pswpout ")):
            for line in lines:
                if line.startswith(key):
                    fields[name] = int(line.removeprefix(key)) * os.sysconf("SC_PAGE_SIZE")
        return [Point("swap", {}, fields, now)]
