"""``pressure``: how long work was held up for want of processor, memory or disk (the kernel's PSI)."""

import asyncio
from typing import TYPE_CHECKING

import msgspec

from collectors.host.sources import kernelfile
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to choose."""


class Pressure:
    """Reads ``/proc/pressure``, which kernels have since 4.20 unless they were started with ``psi=0``."""

    def __init__(self, _options: Options, roots: "Roots") -> None:
        self._roots = roots

    async def collect(self, now: int) -> list[Point]:
        """Return one point for each resource and type (``some``, ``full``)."""
        return await asyncio.to_thread(read, self._roots.proc, now)


def read(proc: str, now: int) -> list[Point]:
    """Return the points of ``proc``/pressure: shares of time in percent, ``total`` in µs. OSError on kernels without."""
    points = []
    for resource in ("cpu", "memory", "io"):
        for line in kernelfile.text(proc, f"pressure/{resource}").splitlines():
            kind, *pairs = line.split()
            if (resource, kind) == ("cpu", "full"):
                continue  # means nothing for the whole host; kernels write zeros
            told = dict(pair.split("=", 1) for pair in pairs)
            fields: dict[str, Value] = {name: float(told[name]) for name in ("avg10", "avg60", "avg300")}
            fields["total"] = int(told["total"])
            points.append(Point("pressure", {"resource": resource, "type": kind}, fields, now))
    return points
