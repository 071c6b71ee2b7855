"""Settling: closed hours become sorted files with their roll-ups, and the roll-ups of a closed day one file a level.

The roll-ups of 1 h of a closed week are merged into one file: a question over months opens few files.

The work is done beside reading and writing; only the exchange of rows for files is a (short) turn of the writing thread.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import uuid4

import msgspec

from server.store.embedded.file import sync
from server.store.embedded.layers import KIND_OF, TABLES, is_late
from server.store.embedded.levels import DAY, HOUR, RAW, ROLLED, Day, File, floor
from server.store.embedded.reading import ROLL_UP, files_list, not_overruled, text, window_of, within
from server.store.embedded.tables import Tables
from server.store.embedded.views import View
from server.store.sql import Sql, joined, sql

if TYPE_CHECKING:
    from pathlib import Path

_MERGED: Final = "1h"  # what a question over weeks reads; finer ones go sooner
# a question is for one field of one or of all hosts: its rows lie together, and like values next to one another
_COPY: Final = """
    COPY (SELECT keys.field, rows.* FROM ({rows}) AS rows LEFT JOIN keys ON keys.id = rows.key
    ORDER BY keys.field, rows.key, rows.time) TO {path} {form}"""
_RAW_FILE: Final = Sql("(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)")
# a question over a month reads little of each of many files: smaller groups, in an encoding that is quicker to read
_ROLLED_FILE: Final = Sql("(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 32768, PARQUET_VERSION v2)")
_OF_RAW: Final = Sql(
    "count(*)::UINTEGER AS n, min(value) AS low, max(value) AS high, sum(CAST(value AS DOUBLE)) AS total,"
    " arg_max(value, time) AS last, max(time) AS last_time"
)
_OF_FINER: Final = Sql(
    "sum(n)::UINTEGER AS n, min(low) AS low, max(high) AS high, sum(total) AS total,"
    " arg_max(last, last_time) AS last, max(last_time) AS last_time"
)
_OPTIONAL: Final = frozenset({"1m", "5m"})
_NEVER: Final = -(2**63)


class Limits(msgspec.Struct, frozen=True):
    """What is worth settling, and when.

    ``hour_rows`` of a type make a file of their hour, fewer wait for the end of the day; fewer than ``day_rows`` of a day stay in the
    table, as a file would be larger. ``hour_quiet`` and ``day_quiet`` are seconds without a write. A roll-up of minutes is made where
    it has ``worth`` times fewer rows than there are values; else values are quick enough, and it is made when they go. A ``week`` (ns,
    whole days) is merged unless its files are larger than ``merged_max`` bytes together: then sorting costs more than opening them.
    """

    hour_rows: int = 50_000
    day_rows: int = 2_000
    hour_quiet: float = 120.0
    day_quiet: float = 1800.0
    worth: float = 8
    week: int = 7 * DAY
    merged_max: int = 200_000_000


_LIMITS: Final = Limits()


class Work(NamedTuple):
    """One hour, day or week of one layer that is to be settled; ``must`` names roll-ups that are wanted whatever they save."""

    kind: str
    start: int
    width: int
    must: frozenset[str] = frozenset()


class Settler:
    """Finds what is quiet enough to be settled, and settles it; ``clock`` is monotonic seconds. Belongs to one thread."""

    def __init__(self, tables: Tables, clock: Callable[[], float], limits: Limits = _LIMITS) -> None:
        self.limits = limits
        self.tables = tables
        self._clock = clock
        self._heard: dict[tuple[str, int], tuple[int, float]] = {}

    def due(self, *, everything: bool = False, going: int = _NEVER, must: Collection[str] = ()) -> list[Work]:
        """Return the work that is due, the newest first; ``everything`` without waiting for quiet.

        Raw values before ``going`` (ns) are about to be dropped: their days must have the roll-ups ``must`` first.
        """
        now = self._clock()
        found = [work for work in self.lacking(going, must) if not self._day(work).fresh]
        for kind, known in self.tables.shelves.items():
            for start, day in known.days.items():
                found += self._due(kind, start, day, now, everything=everything)
            found += self._weeks(kind)
        return sorted(found, key=lambda work: -work.start)

    def lacking(self, going: int, must: Collection[str]) -> list[Work]:
        """Return the days whose raw values go before ``going`` and that have not the roll-ups ``must`` yet."""
        days = [
            Work(kind, start, DAY, frozenset(must) - day.whole.keys())
            for kind, known in self.tables.shelves.items()
            for start, day in known.days.items()
            if KIND_OF[kind] != "string"
            and not is_late(kind)
            and start + DAY <= going
            and (RAW in day.whole or RAW in day.hourly)
        ]
        return [work for work in days if work.must]

    def _day(self, work: Work) -> Day:
        return self.tables.shelves[work.kind].day_of(work.start)

    def _due(self, kind: str, start: int, day: Day, now: float, *, everything: bool) -> list[Work]:
        hours = [start + offset for offset in range(0, DAY, HOUR) if start + offset in day.fresh or self._hourly(day)]
        quiet = {hour: everything or now - self._since(kind, hour, now) for hour in hours}
        rows = {hour: self.tables.rows[kind, hour] for hour in day.fresh}
        over = everything or all(quiet[hour] >= self.limits.day_quiet for hour in hours)
        if over and (sum(rows.values()) >= self.limits.day_rows or (day.files() and (day.fresh or self._hourly(day)))):
            late = [Work(kind, hour, HOUR) for hour in sorted(day.fresh) if hour in day.hourly.get(RAW, {})]
            return late or [Work(kind, start, DAY)]
        if RAW in day.whole:
            return []
        return [
            Work(kind, hour, HOUR)
            for hour in day.fresh
            if rows[hour] >= self.limits.hour_rows and (everything or quiet[hour] >= self.limits.hour_quiet)
        ]

    def _weeks(self, kind: str) -> list[Work]:
        """Return the weeks that are over and settled and whose roll-ups lie in files of days."""
        found: dict[int, list[Day]] = {}
        week = self.limits.week
        for start, day in self.tables.shelves[kind].days.items():
            if _MERGED in day.whole and floor(start, week) + week <= (self.tables.newest_time or _NEVER):
                found.setdefault(floor(start, week), []).append(day)
        return [Work(kind, start, week) for start, days in found.items() if self._worth_merging(days)]

    def _worth_merging(self, days: Sequence[Day]) -> bool:
        files = {day.whole[_MERGED] for day in days}
        return (
            sum(file.width == DAY for file in files) > 1
            and not any(day.fresh or self._hourly(day) for day in days)
            and all(file.cut <= file.start for file in files)
            and sum(map(self._size, files)) <= self.limits.merged_max
        )

    def _size(self, file: File) -> int:
        try:
            return (self.tables.folder / file.name).stat().st_size
        except FileNotFoundError:
            return 0  # forgotten meanwhile

    @staticmethod
    def _hourly(day: Day) -> bool:
        return any(hours for level, hours in day.hourly.items() if level != RAW)

    def _since(self, kind: str, hour: int, now: float) -> float:
        """Return since when nothing was written to an hour."""
        count = self.tables.writes[kind, hour]
        known = self._heard.get((kind, hour))
        if known is None or known[0] != count:
            known = self._heard[kind, hour] = (count, now)
        return known[1]

    def settle(self, work: Work, exchange: Callable[[Callable[[], bool]], bool]) -> bool:
        """Do one piece of work; ``exchange`` runs a function in the writing thread. False: written to meanwhile, try later."""
        tables = self.tables
        # rows of tables are none of a week's business
        span = range(work.start, work.start + work.width, HOUR) if work.width <= DAY else ()
        counts = {hour: tables.writes[work.kind, hour] for hour in span}
        with tables.views.lasting() as seen:
            job = _Job(tables, seen, work, self.limits.worth)
            try:
                gone, new = {HOUR: job.hour, DAY: job.day}.get(work.width, job.week)()
            except BaseException:
                job.keep(())
                raise
        # not in the block: space of rows that a view still sees would not be given back
        done = exchange(lambda: tables.settled(work.kind, counts, gone, new))
        job.keep(new if done else ())
        return done


class _Job:
    """Makes the files of one piece of work from one view."""

    def __init__(self, tables: Tables, seen: View, work: Work, worth: float) -> None:
        self._worth = worth
        self._folder = tables.folder
        self._cursor = seen.cursor
        self._work = work
        self._table = TABLES[work.kind]
        self._known = seen.shelves[work.kind]
        self._day = self._known.day_of(work.start)
        self._levels: Mapping[str, int] = {} if KIND_OF[work.kind] == "string" else ROLLED
        self._made: list[Path] = []

    def hour(self) -> tuple[list[File], list[File]]:
        """Settle one hour; return the files that are gone and those that are new."""
        start = self._work.start
        old = self._day.hourly.get(RAW, {}).get(start)
        raw = self._write(RAW, self._rows([start], [old] if old else []))
        files, source, columns = [raw], files_list([self._folder / raw.name]), _OF_RAW
        for level in self._wanted([raw], 1):
            file = self._write(level, _rolled(source, columns, ROLLED[level]))
            files.append(file)
            source, columns = files_list([self._folder / file.name]), _OF_FINER
        gone = [hours[start] for hours in self._day.hourly.values() if start in hours]
        return gone, files

    def day(self) -> tuple[list[File], list[File]]:
        """Settle what is open in a day into one file, and gather the roll-ups of its hours into one file a level."""
        day = self._day
        fresh = sorted(day.fresh)
        gone: list[File] = []
        new: list[File] = []
        raw = day.whole.get(RAW)
        if fresh:
            gone += [raw] if raw else []
            raw = self._write(RAW, self._rows(fresh, [raw] if raw else []))
            new.append(raw)
        known = [*([raw] if raw else []), *day.hourly.get(RAW, {}).values()]
        wanted = self._wanted(known, DAY // HOUR)
        for level in self._levels:
            if level in wanted:
                file = self._gathered(level, fresh, raw)
                new += [file] if file else []
            whole = day.whole.get(level)
            gone += [whole] if whole and whole.width == DAY else []
            gone += day.hourly.get(level, {}).values()
        return gone, new

    def week(self) -> tuple[list[File], list[File]]:
        """Merge the roll-ups of days into one file; nothing changes when some of them were forgotten meanwhile."""
        start, end = self._work.start, self._work.start + self._work.width
        of_day = {day: self._known.day_of(day).whole.get(_MERGED) for day in range(start, end, DAY)}
        files = dict.fromkeys(file for file in of_day.values() if file)
        if any(file.cut > file.start for file in files):
            return [], []
        parts = []
        for file in files:
            hours = [day + hour for day, one in of_day.items() if one == file for hour in range(0, DAY, HOUR)]
            parts.append(self._of_files([file.name], hours))
        gone = [one for one in self._known.files() if one.level == _MERGED and start <= one.start and one.end <= end]
        return gone, [self._write(_MERGED, joined(" UNION ALL ", parts))]

    def _gathered(self, level: str, fresh: Sequence[int], raw: File | None) -> File | None:
        """Make one file of a level: new roll-ups of open hours and of those that have none, and what there is of the others."""
        day, start = self._day, self._work.start
        whole, hourly = day.whole.get(level), day.hourly.get(level, {})
        if whole and whole.cut > start and start >= self._known.raw_from:
            # an hour that was cut has no roll-up: make all of them again
            whole, hourly = None, {}
        hours = range(start, start + DAY, HOUR)
        left = {hour for hour in hours if hour in hourly or (whole and hour >= whole.cut)}.difference(fresh)
        again = [hour for hour in hours if hour not in left and (raw or hour in day.hourly.get(RAW, {}))]
        parts = [self._of_raw(again, raw, ROLLED[level])] if again else []
        names = [file.name for hour, file in hourly.items() if hour in left]
        kept = [hour for hour in sorted(left) if hour not in hourly]
        if names:
            parts.append(self._of_files(names))
        if whole and kept:
            parts.append(self._of_files([whole.name], kept))
        if not parts:
            return None
        file = self._write(level, joined(" UNION ALL ", parts))
        return file._replace(cut=max(whole.cut, start) if whole else start)

    def _of_files(self, names: Sequence[str], hours: Sequence[int] = ()) -> Sql:
        """Return the roll-ups in files, of some hours or of all."""
        files = files_list([self._folder / name for name in names])
        where = sql(" WHERE {hours}", hours=_hours(hours)) if hours else Sql("")
        return sql("SELECT key, time, {columns} FROM {files}{where}", columns=ROLL_UP, files=files, where=where)

    def _wanted(self, raw: Sequence[File], hours: int) -> list[str]:
        """Return the levels that save enough to be made of raw values, those that must be there, and those that stand for them."""
        if not raw or self._work.start < self._known.raw_from:
            return list(self._levels)
        files = files_list([self._folder / file.name for file in raw])
        question = sql("SELECT count(*), count(DISTINCT key) FROM {files}", files=files)
        values, keys = self._cursor.execute(question).fetchall()[0]
        return [
            level
            for level, width in self._levels.items()
            if level not in _OPTIONAL
            or level in self._work.must
            or values >= keys * hours * (HOUR // width) * self._worth
        ]

    def _of_raw(self, hours: Sequence[int], raw: File | None, width: int) -> Sql:
        files = {file.name: file for hour in hours if (file := self._day.hourly.get(RAW, {}).get(hour))}
        if raw:
            files[raw.name] = raw
        if not files:
            return sql(
                "SELECT key, time, {columns} FROM {table} WHERE false GROUP BY ALL", columns=_OF_RAW, table=self._table
            )
        cuts = (sql("time >= {cut}", cut=file.cut) for file in files.values() if file.cut > file.start)
        rows = sql(
            "(SELECT * FROM {files} WHERE {condition})",
            files=files_list([self._folder / name for name in files]),
            condition=joined(" AND ", [_hours(hours), *cuts]),
        )
        return _rolled(rows, _OF_RAW, width)

    def _rows(self, hours: Sequence[int], old: Sequence[File]) -> Sql:
        """Return the rows of open hours and those of files that they do not overrule."""
        rows = [
            sql("SELECT key, time, value FROM {table} WHERE {hours}", table=self._table, hours=_hours(hours)),
        ]
        rows += [
            not_overruled(self._table, files_list([self._folder / file.name]), [(max(file.start, file.cut), file.end)])
            for file in old
        ]
        return joined(" UNION ALL ", rows)

    def _write(self, level: str, rows: Sql) -> File:
        kind, start, width, _ = self._work
        path = self._folder / f"{kind}-{level}-{start // 10**9}-{width // HOUR}h-{uuid4().hex[:8]}.parquet"
        self._made.append(path)
        self._cursor.execute(sql(_COPY, rows=rows, path=text(path, wild=False), form=file_form(level)))
        sync(path)
        sync(self._folder)
        return File(kind, level, start, start + width, start, path.name, by_field=True)

    def keep(self, files: Sequence[File]) -> None:
        """Delete what was made besides these files."""
        names = {file.name for file in files}
        for path in self._made:
            if path.name not in names:
                path.unlink(missing_ok=True)


def file_form(level: str) -> Sql:
    """Return how DuckDB writes the files of a level."""
    return _RAW_FILE if level == RAW else _ROLLED_FILE


def _rolled(source: Sql, columns: Sql, width: int) -> Sql:
    return sql(
        "SELECT key, moment AS time, {names} FROM (SELECT key, {window} AS moment, {columns} FROM {source} GROUP BY key, moment)",
        names=ROLL_UP,
        window=window_of(width),
        columns=columns,
        source=source,
    )


def _hours(hours: Sequence[int]) -> Sql:
    """Return the condition that a time lies in one of the hours, ascending."""
    stretches: list[tuple[int, int]] = []
    for hour in hours:
        if stretches and stretches[-1][1] == hour:
            stretches[-1] = (stretches[-1][0], hour + HOUR)
        else:
            stretches.append((hour, hour + HOUR))
    return within(stretches)


def retention(keep: Mapping[str, float], now: int) -> dict[str, int]:
    """Return the time before which each level is dropped, on whole days; ``keep`` is seconds, ``now`` ns."""
    return {level: floor(now - int(seconds * 10**9), DAY) for level, seconds in keep.items()}
