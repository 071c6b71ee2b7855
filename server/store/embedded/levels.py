"""Where the embedded store keeps which hour, and the cheapest places that answer a question. Pure.

New rows lie in tables. Hours that are settled lie in sorted files of one hour or one day: their raw values, and roll-ups of them.
Roll-ups of several days may be merged in one file; those of a day that has a file of its own do not count there.
An hour with a row in a table is open: its roll-ups do not count, and its rows overrule those of files.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

S: Final = 10**9
HOUR: Final = 3600 * S
DAY: Final = 24 * HOUR
RAW: Final = "raw"
# name -> width of a window in ns, from fine to coarse
ROLLED: Final[dict[str, int]] = {"1m": 60 * S, "5m": 300 * S, "1h": HOUR}

Stretch = tuple[int, int]


class File(NamedTuple):
    """A sorted file of one type's rows in ``[start, end)``; rows before ``cut`` are forgotten.

    ``by_field`` tells that rows of one field lie together, and that a column ``field`` says which; else they lie by key.
    """

    kind: str
    level: str
    start: int
    end: int
    cut: int
    name: str
    by_field: bool = False

    @property
    def width(self) -> int:
        """Return its length in ns."""
        return self.end - self.start


class Day(msgspec.Struct, frozen=True):
    """Open hours of one day, the files that have the whole day by level, and those of an hour by level and hour."""

    fresh: frozenset[int] = frozenset()
    whole: Mapping[str, File] = {}
    hourly: Mapping[str, Mapping[int, File]] = {}

    def rolled(self, level: str, hour: int) -> File | None:
        """Return the file that has an hour's roll-ups, None when there are none that count."""
        if hour in self.fresh:
            return None
        whole = self.whole.get(level)
        return self.hourly.get(level, {}).get(hour) or (whole if whole and hour >= whole.cut else None)

    def raw(self, hour: int) -> File | None:
        """Return the file that has an hour's rows, if any."""
        return self.hourly.get(RAW, {}).get(hour) or self.whole.get(RAW)

    def files(self) -> list[File]:
        """Return every file."""
        return [*self.whole.values(), *(file for hours in self.hourly.values() for file in hours.values())]

    def mixed(self, file: File) -> bool:
        """Tell whether rows of an open hour may overrule some of a file."""
        return any(file.start <= hour < file.end for hour in self.fresh)


class Shelf(msgspec.Struct, frozen=True):
    """All days of one type; what is older than ``raw_from`` has no raw values any more."""

    days: Mapping[int, Day] = {}
    raw_from: int = -(2**63)
    merged: Sequence[File] = ()  # files of more than a day, also of days that all have newer ones

    def opened(self, hours: Iterable[int]) -> "Shelf":
        """Return a shelf with these hours open too; itself when they are."""
        new = [hour for hour in hours if hour not in self.day_of(hour).fresh]
        days = dict(self.days)
        for hour in new:
            day = days.get(floor(hour, DAY), Day())
            days[floor(hour, DAY)] = msgspec.structs.replace(day, fresh=day.fresh | {hour})
        return msgspec.structs.replace(self, days=days) if new else self

    def day_of(self, time: int) -> Day:
        """Return what is there of the day of a moment."""
        return self.days.get(floor(time, DAY), Day())

    def files(self) -> list[File]:
        """Return every file."""
        return [*self.merged, *(file for day in self.days.values() for file in day.files() if file.width <= DAY)]


def shelf(fresh: Iterable[int], files: Iterable[File], raw_from: int) -> Shelf:
    """Build a shelf from open hours and files."""
    whole: dict[int, dict[str, File]] = {}
    hourly: dict[int, dict[str, dict[int, File]]] = {}
    merged = []
    # a narrower file is newer
    for file in sorted(files, key=lambda file: -file.width):
        if file.width < DAY:
            hourly.setdefault(floor(file.start, DAY), {}).setdefault(file.level, {})[file.start] = file
            continue
        for day in range(floor(max(file.start, file.cut), DAY), file.end, DAY):
            whole.setdefault(day, {})[file.level] = file
        if file.width > DAY:
            merged.append(file)
    days = {day: Day(frozenset(), whole.get(day, {}), hourly.get(day, {})) for day in {*whole, *hourly}}
    return Shelf(days, raw_from, merged).opened(fresh)


class Part(NamedTuple):
    """One place to look: stretches of time in the tables (no files), in raw files or in roll-ups.

    ``overruled`` says that rows of the tables take the place of rows in the files.
    """

    level: str
    files: tuple[File, ...]
    overruled: bool
    stretches: Sequence[Stretch]


class _Picks:
    """Stretches by place; stretches that touch become one."""

    def __init__(self) -> None:
        self.stretches: dict[tuple[str, int, bool, bool], list[Stretch]] = {}
        self.files: dict[tuple[str, int, bool, bool], dict[File, None]] = {}

    def add(self, level: str, start: int, end: int, file: File | None = None, *, overruled: bool = False) -> None:
        """Add a stretch; a roll-up in a wide file may be overruled by that in a narrow one, so each width is a place."""
        if start >= end:
            return
        place = 0 if file is None else 1 if level == RAW else file.width
        where = (level, place, overruled, file is not None and file.by_field)
        known = self.stretches.setdefault(where, [])
        if known and known[-1][1] == start:
            known[-1] = (known[-1][0], end)
        else:
            known.append((start, end))
        if file:
            self.files.setdefault(where, {})[file] = None

    def parts(self) -> list[Part]:
        return [
            Part(where[0], tuple(self.files.get(where, ())), where[2], stretches)
            for where, stretches in self.stretches.items()
        ]


def plan(known: Shelf, start: int, end: int, step: int) -> list[Part]:
    """Choose for each hour the coarsest roll-up whose windows make up those of ``step`` (0: raw values only).

    Where raw values are gone the finest roll-up that is left stands for them, and bounds are moved down to its windows.
    """
    picks = _Picks()
    for moment in sorted(known.days):
        if moment + DAY <= start or moment >= end:
            continue
        day = known.days[moment]
        level = _level_of_day(day, moment, (start, end), step)
        if level:
            picks.add(level, moment, moment + DAY, day.whole[level])
            continue
        for hour in range(moment, moment + DAY, HOUR):
            if hour < end and hour + HOUR > start:
                _pick(picks, known, hour, (max(start, hour), min(end, hour + HOUR)), step)
    return picks.parts()


def _level_of_day(day: Day, moment: int, bounds: Stretch, step: int) -> str:
    """Return the level whose one file answers for the whole day, "" when it takes a closer look."""
    if day.fresh or not step or bounds[0] > moment or bounds[1] < moment + DAY:
        return ""
    level = next((name for name in reversed(ROLLED) if step % ROLLED[name] == 0), "")
    file = day.whole.get(level)
    return level if file and file.cut <= moment and not day.hourly.get(level) else ""


def _pick(picks: _Picks, known: Shelf, hour: int, bounds: Stretch, step: int) -> None:
    day = known.day_of(hour)
    start, end = bounds

    def fits(level: str) -> bool:
        width = ROLLED[level]
        return bool(step) and not (step % width or start % width or end % width)

    there = {level: file for level in ROLLED if (file := day.rolled(level, hour))}
    raw_left = hour >= known.raw_from or hour in day.fresh or not there
    level = next((level for level in reversed(there) if fits(level)), "" if raw_left else next(iter(there)))
    if level:
        picks.add(level, floor(start, ROLLED[level]), end, there[level])
        return
    if hour in day.fresh:
        picks.add(RAW, start, end)
    if raw := day.raw(hour):
        picks.add(RAW, max(start, raw.cut), end, raw, overruled=day.mixed(raw))


def floor(time: int, width: int) -> int:
    """Return the start of the window of a moment."""
    return time - time % width


def ceil(time: int, width: int) -> int:
    """Return the first start of a window at or after a moment."""
    return -floor(-time, width)
