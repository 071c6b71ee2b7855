"""``interrupts`` and ``soft_interrupts``: how often each interrupt line and each kind of deferred work ran since boot."""

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from collectors.host.sources import kernelfile
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``percpu``: also a field ``CPU0``, ``CPU1``, ... for each processor; with many processors that is a lot of numbers."""

    percpu: bool = False


class Interrupts:
    """Reads ``/proc/interrupts`` and ``/proc/softirqs``; lines that never fired are left out."""

    def __init__(self, options: Options, roots: "Roots") -> None:
        self._percpu = options.percpu
        self._roots = roots

    async def collect(self, now: int) -> list[Point]:
        """Return one point a line that fired, with the tags ``irq``, ``type`` and ``device``."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        points = []
        for measurement, file in (("interrupts", "interrupts"), ("soft_interrupts", "softirqs")):
            for tags, numbers in _lines(kernelfile.text(self._roots.proc, file)):
                fields: dict[str, Value] = {"total": sum(numbers.values()), **(numbers if self._percpu else {})}
                if fields["total"]:
                    points.append(Point(measurement, tags, fields, now))
        return points


def _lines(table: str) -> Iterator[tuple[dict[str, str], dict[str, int]]]:
    header, *lines = table.splitlines()
    processors = header.split()
    for line in lines:
        irq, _, rest = line.partition(":")
        words = rest.split(None, len(processors))
        numbers = {name: int(word) for name, word in zip(processors, words, strict=False) if word.isdigit()}
        described = "" if len(words) <= len(processors) else words[-1].strip()
        yield _tags(irq.strip(), described), numbers


def _tags(irq: str, described: str) -> dict[str, str]:
    """Split what stands behind the numbers: of a numbered line the controller and the rest, else a description."""
    tags = {"irq": irq, "type": described, "device": ""}
    if irq.isdigit():
        tags["type"], _, device = described.partition(" ")
        tags["device"] = " ".join(device.split())
    return {key: text for key, text in tags.items() if text}
