"""``sockets``: how many sockets of each protocol are in use, and the memory that they take."""

import asyncio
import os
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import kernelfile
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_PAGES: Final = "mem"  # counted in pages, unlike "memory"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to choose."""


class Sockets:
    """Reads ``/proc/net/sockstat`` and ``sockstat6``, whose cost does not grow with the number of connections."""

    def __init__(self, _options: Options, roots: "Roots") -> None:
        self._roots = roots

    async def collect(self, now: int) -> list[Point]:
        """Return one point: ``used``, and for each protocol fields such as ``tcp_inuse``, ``tcp_tw``, ``tcp_mem_bytes``."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        page = os.sysconf("SC_PAGE_SIZE")
        fields: dict[str, Value] = {}
        for (protocol, name), count in read(self._roots.proc).items():
            prefix = "" if protocol == "sockets" else f"{protocol.lower()}_"
            if name == _PAGES:
                fields[f"{prefix}mem_bytes"] = count * page
            else:
                fields[f"{prefix}{'mem_bytes' if name == 'memory' else name}"] = count
        return [Point("sockets", {}, fields, now)]


def read(proc: str) -> dict[tuple[str, str], int]:
    """Return the counts by protocol and name, such as ``("TCP", "inuse")``; those of IPv6 where the kernel speaks it."""
    counts = {}
    for line in (kernelfile.text(proc, "net/sockstat") + (kernelfile.word(proc, "net/sockstat6") or "")).splitlines():
        protocol, _, rest = line.partition(":")
        words = rest.split()
        counts.update({(protocol, name): int(count) for name, count in zip(words[::2], words[1::2], strict=True)})
    return counts
