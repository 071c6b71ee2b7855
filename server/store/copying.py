"""Moves the points of the embedded store into an InfluxDB, hour by hour, the newest first.

What is done is written down after every hour, so that a copy which was stopped goes on from there; a repeat overwrites itself. Each hour is
counted in both stores before it is done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import msgspec

from collectors.point import Point
from server.store import StoreUnavailable
from server.store.embedded import export
from server.store.embedded.export import Counts, Key
from server.store.embedded.levels import HOUR
from server.store.embedded.store import Embedded
from server.store.influx.ql import ROLLED
from server.store.influx.store import Influx

T = TypeVar("T")
P = ParamSpec("P")

_SLICE: Final = 300_000  # values in memory at a time
_AT_ONCE: Final = 4
_SHOWN: Final = 20
_TRIES: Final = 2


class Fewer(msgspec.Struct, frozen=True):
    """A field that has fewer values in the target than in the source: in the hour that starts at ``hour`` (ns)."""

    hour: int
    measurement: str
    field: str
    there: int
    wanted: int


class Progress(msgspec.Struct):
    """How far a copy is, and what it was; kept in a file between runs.

    Every hour from ``oldest`` to ``newest`` (their starts, ns) is done. ``fewer`` are fields that the target has less of, ``left_out``
    hours of which only roll-ups are left and have no place.
    """

    target: str
    newest: int | None = None
    oldest: int | None = None
    hours: int = 0
    points: int = 0
    values: int = 0
    rolled: int = 0
    fewer: int = 0
    refused: int = 0
    left_out: int = 0
    refusal: str = ""
    examples: list[Fewer] = []

    def did(self, hour: int) -> bool:
        """Return whether an hour is done."""
        return self.oldest is not None and self.newest is not None and self.oldest <= hour <= self.newest


class Copy:
    """One copy from ``source`` to ``target``, both open; ``file`` keeps the progress.

    Values as they came go in from ``raw_from`` (ns) on, roll-ups of every hour where ``roll_ups``; nothing older than ``oldest`` (ns),
    which the target would refuse. ``pauses`` are seconds between tries while the target is away.
    """

    def __init__(
        self,
        source: Embedded,
        target: Influx,
        file: Path,
        *,
        raw_from: int,
        oldest: int,
        roll_ups: bool,
        pauses: Sequence[float] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0),
    ) -> None:
        self._pauses = pauses
        self._source = source
        self._target = target
        self._file = file
        self._raw_from = raw_from
        self._oldest = oldest
        self._roll_ups = roll_ups
        self._names: dict[int, Key] = {}

    async def run(self, progress: Progress, report_progress: Callable[[Progress, int], None]) -> Progress:
        """Copy what ``progress`` does not have; ``report_progress`` hears of it after each hour, and how many hours are left."""
        self._names = await self._source.read(export.keys)
        hours = [hour for hour in await self._source.read(export.hours) if hour + HOUR > self._oldest]
        newest = hours[0] if hours else 0
        # first what came after an earlier copy: until all of that is done only the older stretch counts
        left = [hour for hour in hours if not progress.did(hour)]
        late = sum(progress.newest is not None and hour > progress.newest for hour in left)
        for at, hour in enumerate(left, 1):
            await self._hour(hour, progress)
            progress.hours += 1
            if at >= late:
                progress.newest = newest
            if at > late:
                progress.oldest = hour
            await asyncio.to_thread(save, self._file, progress)
            report_progress(progress, len(left) - at)
        return progress

    async def _hour(self, hour: int, progress: Progress) -> None:
        """Copy an hour and count it; what is not all there and was not refused is written once more."""
        for _ in range(_TRIES):
            refused, fewer = progress.refused, await self._copied(hour, progress)
            if not fewer or progress.refused > refused:
                break
        progress.fewer += len(fewer)
        progress.examples = [*progress.examples, *fewer][:_SHOWN]

    async def _copied(self, hour: int, progress: Progress) -> list[Fewer]:
        start, end = max(hour, self._raw_from), hour + HOUR
        raw: Counts = {}
        points = 0
        if start < end:
            raw = await self._source.read(partial(export.counts, start=start, end=end, names=self._names))
            for first, last in _slices(start, end, sum(raw.values())):
                look = partial(export.points, start=first, end=last, names=self._names)
                found = await self._source.read(look)
                await self._write(found, "", progress)
                points += len(found)
        fewer = _fewer(hour, raw, await self._counted("", start, end, raw))
        found = await self._source.read(partial(export.rolled, hour=hour, names=self._names))
        rolled = self._roll_ups and hour >= self._oldest
        if rolled:
            await self._write(found, ROLLED, progress)
            wanted = _count(found)
            fewer += _fewer(hour, wanted, await self._counted(ROLLED, hour, end, wanted))
        if not fewer:
            progress.points += points
            progress.values += sum(raw.values())
            progress.rolled += len(found) * rolled
            progress.left_out += not (self._roll_ups or _rolled_fields(found) <= raw.keys())
        return fewer

    async def _write(self, points: Sequence[Point], policy: str, progress: Progress) -> None:
        size = -(-len(points) // _AT_ONCE) or 1
        parts = [points[start : start + size] for start in range(0, len(points), size)]
        for written in await asyncio.gather(*(self._patiently(self._target.write, part, policy) for part in parts)):
            progress.refused += len(written.rejected)
            progress.refusal = progress.refusal or next((one.why for one in written.rejected), "")

    async def _counted(self, policy: str, start: int, end: int, wanted: Counts) -> Counts:
        return await self._patiently(self._target.counts, policy, start, end) if wanted else {}

    async def _patiently(self, work: Callable[P, Awaitable[T]], *arguments: P.args, **named: P.kwargs) -> T:
        for pause in self._pauses:
            try:
                return await work(*arguments, **named)
            except StoreUnavailable:
                await asyncio.sleep(pause)
        return await work(*arguments, **named)


def load(file: Path, target: str) -> Progress:
    """Read how far a copy to this target is; a new one when there is none."""
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Progress)
    except (FileNotFoundError, msgspec.DecodeError):
        return Progress(target)
    return found if found.target == target else Progress(target)


def save(file: Path, progress: Progress) -> None:
    """Write it down, whole or not at all."""
    part = file.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(progress))
    part.replace(file)


def _slices(start: int, end: int, values: int) -> list[tuple[int, int]]:
    pieces = max(1, -(-values // _SLICE))
    edges = [start + (end - start) * at // pieces for at in range(pieces + 1)]
    return list(pairwise(edges)) if values else []


def _fewer(hour: int, wanted: Counts, there: Counts) -> list[Fewer]:
    return [
        Fewer(hour, measurement, field, there.get((measurement, field), 0), count)
        for (measurement, field), count in wanted.items()
        if there.get((measurement, field), 0) < count
    ]


def _rolled_fields(points: Sequence[Point]) -> set[tuple[str, str]]:
    """Return the fields of which roll-ups tell."""
    return {
        (point.measurement, field.removeprefix("count_"))
        for point in points
        for field in point.fields
        if field.startswith("count_")
    }


def _count(points: Sequence[Point]) -> Counts:
    found: Counts = {}
    for point in points:
        for field in point.fields:
            found[point.measurement, field] = found.get((point.measurement, field), 0) + 1
    return found
