"""``conntrack``: how full the firewall's table of connections is, and what did not fit into it."""

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import kernelfile
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

# newest kernels first; the names of the oldest are the fields' names
_TABLES: Final = ("sys/net/netfilter/nf_conntrack", "sys/net/ipv4/netfilter/ip_conntrack")
_SIZES: Final = ("count", "max", "buckets")
_COUNTS: Final = (
    "searched",
    "found",
    "new",
    "invalid",
    "ignore",
    "delete",
    "delete_list",
    "insert",
    "insert_failed",
    "drop",
    "early_drop",
    "icmp_error",
    "expect_new",
    "expect_create",
    "expect_delete",
    "search_restart",
)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``stats``: also the counts of lookups, drops and the like, for all processors together (tag ``cpu=all``)."""

    stats: bool = True


class Conntrack:
    """Reads ``/proc/sys/net/netfilter`` and ``/proc/net/stat/nf_conntrack``, there while the kernel tracks connections."""

    def __init__(self, options: Options, roots: "Roots") -> None:
        self._stats = options.stats
        self._roots = roots

    async def collect(self, now: int) -> list[Point]:
        """Return one point of the table's size, and one of the counts since boot where the kernel tells them."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        points = [Point("conntrack", {}, self._sizes(), now)]
        if self._stats and (counts := self._counts()):
            points.append(Point("conntrack", {"cpu": "all"}, counts, now))
        return points

    def _sizes(self) -> dict[str, Value]:
        for table in _TABLES:
            found = {size: kernelfile.number(self._roots.proc, f"{table}_{size}") for size in _SIZES}
            if found["count"] is not None:
                return {f"ip_conntrack_{size}": value for size, value in found.items() if value is not None}
        raise kernelfile.lacking(f"{self._roots.proc}/{_TABLES[0]}_count", "this kernel tracks no connections")

    def _counts(self) -> dict[str, Value]:
        """Add up the rows of the processors: hexadecimal numbers below a line of names."""
        lines = (kernelfile.word(self._roots.proc, "net/stat/nf_conntrack") or "").splitlines()
        if len(lines) < 2:  # noqa: PLR2004 - names and one processor
            return {}
        # by name, not by place: kernels put other columns where the oldest had theirs
        columns = dict(zip(lines[0].split(), zip(*(line.split() for line in lines[1:]), strict=True), strict=True))
        return {name: sum(int(word, 16) for word in columns[name]) for name in _COUNTS if name in columns}
