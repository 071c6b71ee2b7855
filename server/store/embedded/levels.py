"""Where the embedded store keeps which hour, and the cheapest places that answer a question. Pure.

New rows lie in tables. Hours that are settled lie in sorted files of one hour or one day: their raw values, and roll-ups of them.
Roll-ups of several days may be merged in one file; those of a day that has a file of its own do not count there.
An hour with a row in a table is open: its roll-ups do not count, and its rows overrule those of files.
Where raw values are gone their roll-ups stand for them, and what came later lies on a shelf of its own (see ``layers``).
"""

from collections.abc import Iterable, Mapping, Sequence
from math import lcm
from typing import Final, NamedTuple

import msgspec

from server.store.sql import Sql

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
        """Return whether rows of an open hour may overrule some of a file."""
        return any(file.start <= hour < file.end for hour in self.fresh)


class Shelf(msgspec.Struct, frozen=True):
    """All days of one layer, whose new rows are in ``table``; what is older than ``raw_from`` has no raw values any more."""

    table: Sql
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


def shelf(table: Sql, fresh: Iterable[int], files: Iterable[File], raw_from: int) -> Shelf:
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
    return Shelf(table, days, raw_from, merged).opened(fresh)


class Part(NamedTuple):
    """One place to look: stretches of time in a table (no files), in raw files or in roll-ups.

    ``overruled`` says that rows of the table take the place of rows in the files. ``window`` is how wide the windows of an answer
    are here, 0 where none are asked for; ``unit`` is the width of roll-ups that stand for values in these hours, 0 where none do.
    """

    table: Sql
    level: str
    files: tuple[File, ...]
    overruled: bool
    stretches: Sequence[Stretch]
    window: int
    unit: int


# what tells parts apart: table, level, width, overruled, by field, window and unit; a roll-up in a wide file may be overruled by
# that in a narrow one, so each width is a place
_Place = tuple[Sql, str, int, bool, bool, int, int]


class _Asked(NamedTuple):
    """What is asked of an hour; see ``Part``. ``rolled`` tells whether roll-ups will do where values are left."""

    bounds: Stretch
    window: int
    rolled: bool
    unit: int = 0


class _Picks:
    """Stretches by place; stretches that touch become one."""

    def __init__(self) -> None:
        self._stretches: dict[_Place, list[Stretch]] = {}
        self._files: dict[_Place, dict[File, None]] = {}

    def add_table(self, shelf: Shelf, asked: _Asked) -> None:
        """Add a stretch of the table of a shelf."""
        self._add((shelf.table, RAW, 0, False, False, asked.window, asked.unit), asked.bounds)

    def add_raw(self, shelf: Shelf, file: File, asked: _Asked, *, overruled: bool) -> None:
        """Add a stretch of a file of values, without those that are forgotten."""
        start, end = asked.bounds
        place = (shelf.table, RAW, 1, overruled, file.by_field, asked.window, asked.unit)
        self._add(place, (max(start, file.cut), end), file)

    def add_rolled(self, shelf: Shelf, file: File, asked: _Asked) -> None:
        """Add a stretch of a file of roll-ups."""
        place = (shelf.table, file.level, file.end - file.start, False, file.by_field, asked.window, asked.unit)
        self._add(place, asked.bounds, file)

    def _add(self, place: _Place, stretch: Stretch, file: File | None = None) -> None:
        start, end = stretch
        if start >= end:
            return
        known = self._stretches.setdefault(place, [])
        if known and known[-1][1] == start:
            known[-1] = (known[-1][0], end)
        else:
            known.append(stretch)
        if file:
            self._files.setdefault(place, {})[file] = None

    def parts(self) -> list[Part]:
        found = []
        for place, stretches in self._stretches.items():
            table, level, _, overruled, _, window, unit = place
            files = tuple(self._files.get(place, ()))
            found.append(Part(table, level, files, overruled, stretches, window, unit))
        return found


def plan(shelves: Sequence[Shelf], start: int, end: int, step: int, *, rolled: bool = True) -> list[Part]:
    """Choose for each hour the coarsest roll-up whose windows make up those of ``step``, values for a step of 0 or if not ``rolled``.

    Where raw values of the first shelf are gone the finest roll-up that is left stands for them: bounds are moved outward to its
    windows, and the windows of the answer are the least multiple of ``step`` that is made of them, on the other shelves too.
    """
    picks, of_day = _Picks(), _Asked((start, end), step, rolled)
    for moment in sorted({day for shelf in shelves for day in shelf.days if start - DAY < day < end}):
        there = [shelf for shelf in shelves if moment in shelf.days]
        # what is picked on one shelf may widen the windows on those after it
        whole = 0
        while whole < len(there) and _pick_day(picks, there[whole], moment, of_day):
            whole += 1
        left = there[whole:]
        for hour in range(moment, moment + DAY, HOUR) if left else ():
            if hour < end and hour + HOUR > start:
                asked = _Asked((max(start, hour), min(end, hour + HOUR)), step, rolled)
                for shelf in left:
                    asked = _pick_hour(picks, shelf, hour, asked)
    return picks.parts()


def _pick_day(picks: _Picks, shelf: Shelf, moment: int, asked: _Asked) -> bool:
    """Pick the one file that answers for a whole day; False when it takes a closer look."""
    day = shelf.days[moment]
    (start, end), step = asked.bounds, asked.window
    if day.fresh or not step or not asked.rolled or start > moment or end < moment + DAY:
        return False
    level = next((name for name in reversed(ROLLED) if step % ROLLED[name] == 0), "")
    file = day.whole.get(level)
    if file is None or file.cut > moment or day.hourly.get(level):
        return False
    picks.add_rolled(shelf, file, _Asked((moment, moment + DAY), step, asked.rolled))
    return True


def _pick_hour(picks: _Picks, shelf: Shelf, hour: int, asked: _Asked) -> _Asked:
    """Pick what answers for an hour; return what is asked of the next shelf, in wider windows where roll-ups stand for values."""
    day = shelf.day_of(hour)
    (start, end), step = asked.bounds, asked.window

    def fits(level: str) -> bool:
        width = ROLLED[level]
        return bool(step) and asked.rolled and not (step % width or start % width or end % width)

    there = {level: file for level in ROLLED if (file := day.rolled(level, hour))}
    if level := next((level for level in reversed(there) if fits(level)), ""):
        picks.add_rolled(shelf, there[level], asked)
    elif there and hour < shelf.raw_from:
        level, width = next((level, ROLLED[level]) for level in there)
        asked = _Asked((floor(start, width), ceil(end, width)), lcm(step, width), asked.rolled, width)
        picks.add_rolled(shelf, there[level], asked)
    else:
        if hour in day.fresh:
            picks.add_table(shelf, asked)
        if raw := day.raw(hour):
            picks.add_raw(shelf, raw, asked, overruled=day.mixed(raw))
    return asked


def floor(time: int, width: int) -> int:
    """Return the start of the window of a moment."""
    return time - time % width


def ceil(time: int, width: int) -> int:
    """Return the first start of a window at or after a moment."""
    return -floor(-time, width)
