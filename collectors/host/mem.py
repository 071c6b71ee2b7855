"""``mem``: how the memory is used, in bytes."""

import asyncio
import os
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import kernelfile
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_KIB: Final = {
    "active": "Active",
    "buffered": "Buffers",
    "commit_limit": "CommitLimit",
    "committed_as": "Committed_AS",
    "dirty": "Dirty",
    "free": "MemFree",
    "high_free": "HighFree",
    "high_total": "HighTotal",
    "huge_page_size": "Hugepagesize",
    "inactive": "Inactive",
    "low_free": "LowFree",
    "low_total": "LowTotal",
    "mapped": "Mapped",
    "page_tables": "PageTables",
    "shared": "Shmem",
    "slab": "Slab",
    "sreclaimable": "SReclaimable",
    "sunreclaim": "SUnreclaim",
    "swap_cached": "SwapCached",
    "swap_free": "SwapFree",
    "swap_total": "SwapTotal",
    "total": "MemTotal",
    "vmalloc_chunk": "VmallocChunk",
    "vmalloc_total": "VmallocTotal",
    "vmalloc_used": "VmallocUsed",
    "write_back": "Writeback",
    "write_back_tmp": "WritebackTmp",
}
_EXTENDED_KIB: Final = {
    "active_anon": "Active(anon)",
    "active_file": "Active(file)",
    "inactive_anon": "Inactive(anon)",
    "inactive_file": "Inactive(file)",
    "percpu": "Percpu",
    "unevictable": "Unevictable",
}
_PAGES: Final = {"huge_pages_free": "HugePages_Free", "huge_pages_total": "HugePages_Total"}


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``collect_extended`` adds the split into anonymous and file pages."""

    collect_extended: bool = False


class Mem:
    """Reads ``/proc/meminfo``; what this kernel does not tell is 0, as in Telegraf."""

    def __init__(self, options: Options, roots: "Roots") -> None:
        self._roots = roots
        self._kib = {**_KIB, **_EXTENDED_KIB} if options.collect_extended else _KIB

    async def collect(self, now: int) -> list[Point]:
        """Return one point; used is what is not available."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        told = kernelfile.counts(self._roots.proc, "meminfo")
        total = told.get("MemTotal", 0) * 1024
        if not total:
            raise OSError(f"{self._roots.proc}/meminfo tells no MemTotal")
        available = min(self._available(told), total)
        fields: dict[str, Value] = {name: told.get(key, 0) * 1024 for name, key in self._kib.items()}
        fields.update({name: told.get(key, 0) for name, key in _PAGES.items()})
        fields["cached"] = (told.get("Cached", 0) + told.get("SReclaimable", 0)) * 1024
        fields["available"] = available
        fields["used"] = total - available
        fields["available_percent"] = 100 * available / total
        fields["used_percent"] = 100 * (total - available) / total
        return [Point("mem", {}, fields, now)]

    def _available(self, told: dict[str, int]) -> int:
        """Bytes that programs can still get: the kernel's own figure, or before Linux 3.14 the same estimate made here.

        The estimate is that of si_mem_available(): free pages above the low watermarks, and the page cache and the
        reclaimable slab less what is needed to keep going.
        """
        if "MemAvailable" in told:
            return told["MemAvailable"] * 1024
        low = self._low_watermark()
        if low is None or "Active(file)" not in told:
            return (told.get("MemFree", 0) + told.get("Cached", 0) + told.get("SReclaimable", 0)) * 1024
        cache = (told["Active(file)"] + told.get("Inactive(file)", 0)) * 1024
        slab = told.get("SReclaimable", 0) * 1024
        free = told.get("MemFree", 0) * 1024
        return max(free - low + cache - min(cache // 2, low) + slab - min(slab // 2, low), 0)

    def _low_watermark(self) -> int | None:
        try:
            zones = kernelfile.text(self._roots.proc, "zoneinfo")
        except OSError:
            return None
        pages = (line.split() for line in zones.splitlines())
        return sum(int(words[1]) for words in pages if len(words) > 1 and words[0] == "low") * os.sysconf(
            "SC_PAGE_SIZE"
        )
