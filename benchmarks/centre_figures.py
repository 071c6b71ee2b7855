"""Figures of the centre: tables of Markdown to be pasted into docs/figures.md, and what is read from logs and from its own store."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from server.store import Aggregate, Range
from server.store.embedded.store import Embedded, Options

_STEP: Final = 15 * 10**9


class Table:
    """A table whose rows are printed as they come, and once more as a whole by ``show``: what is broken off has told what it found."""

    def __init__(self, title: str, columns: Sequence[str]) -> None:
        self._title = title
        self._columns = columns
        self._rows: list[str] = []

    def row(self, *cells: object) -> None:
        """Add a row."""
        self._rows.append(_line(cells))
        told = "; ".join(f"{name or '!'}: {cell}" for name, cell in zip(self._columns, cells, strict=True) if str(cell))
        print(f"  {told}", flush=True)

    def show(self) -> None:
        """Print the table, unless it is empty."""
        if self._rows:
            print(f"\n{self._title}\n\n{_line(self._columns)}\n{_line(['---'] * len(self._columns))}")
            print("\n".join(self._rows), flush=True)


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def percentile(ascending: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` percent lie."""
    return ascending[min(len(ascending) - 1, int(len(ascending) * share / 100))]


class Answers(NamedTuple):
    """What a load noted in a stretch: how long each answer took (ms, ascending), and how many were not as they should."""

    took: Sequence[float]
    failed: int

    def __str__(self) -> str:
        """Return p50, p95 and the most."""
        if not self.took:
            return "-"
        words = " / ".join(
            f"{value:.0f}" for value in (percentile(self.took, 50), percentile(self.took, 95), self.took[-1])
        )
        return f"{words}, {self.failed} failed" if self.failed else words


def answers(log: Path, begun: float, end: float, good: int, name: str = "") -> Answers:
    """Return what a log of ``centre_load.py`` has of a stretch (s, CLOCK_MONOTONIC), of what is called ``name`` unless that is empty."""
    rows = [line.split(" ", 3) for line in log.read_text().splitlines()]
    inside = [row for row in rows if begun <= float(row[0]) < end and name in {"", row[3]}]
    return Answers(sorted(float(row[1]) for row in inside), sum(int(row[2]) != good for row in inside))


def wall(moment: float) -> float:
    """Return a moment of CLOCK_MONOTONIC in seconds since the epoch."""
    return time.time() - time.monotonic() + moment


def lateness(store: Path, kind: str, begun: float, end: float) -> str:
    """Return how late looks of a kind were in a stretch (s since epoch), ms, as the centre wrote it down itself.

    Due to committed: the median of its p50, the worst of its p95 and the most.
    """

    async def ask() -> dict[str, list[float]]:
        embedded = Embedded(Options(), store)
        await embedded.open()
        found = {}
        for field in ("committed_p50_ms", "committed_p95_ms", "committed_ms"):
            query = Range(
                "internal_schedule", field, int(begun * 1e9), int(end * 1e9), _STEP, Aggregate.MAX, {"type": kind}
            )
            found[field] = [value for series in await embedded.range(query) for value in series.values]
        await embedded.close()
        return found

    half, most, worst = asyncio.run(ask()).values()
    return f"{statistics.median(half):,.0f} / {max(most):,.0f} / {max(worst):,.0f}" if half and worst else "-"
