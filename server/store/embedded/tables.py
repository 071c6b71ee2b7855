"""The embedded store's tables: what is written to them, and what is taken out of them.

One narrow table for each type of value, ``(key, time, value)``, takes what is written; a time and key stands there once. What
is settled lies in sorted files beside them; the table ``files`` names those that count.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from server.store.embedded import schema
from server.store.embedded.columns import Chunk, Marks
from server.store.embedded.database import Database
from server.store.embedded.encoding import Encoder
from server.store.embedded.held import Held
from server.store.embedded.levels import DAY, HOUR, RAW, File, Shelf, Stretch, ceil, floor, shelf
from server.store.embedded.lookup import Lookup
from server.store.embedded.newest import Newest
from server.store.embedded.reading import TABLES, within
from server.store.embedded.schema import HOUR_OF
from server.store.embedded.series import Dictionary, Fresh
from server.store.embedded.series import Series as Known
from server.store.embedded.views import Views

_HELD: Final = 16  # such a part of the memory is for rows that were asked for lately


class Tables:
    """An open database file with its dictionary. Writing belongs to one thread, reading (``views``, ``lookup``) to any.

    Every call may raise StoreUnavailable; when ``broken`` is set after that, only opening anew helps.
    """

    def __init__(self, file: Path, *, memory: int, series: int, future: Callable[[], int]) -> None:
        """Open or create the file; ``memory`` is what rows in memory may take, in bytes, ``series`` the limit of series.

        ``future`` tells the time (ns) after which nothing is the newest value of its key.
        """
        self.future = future
        self.held = Held(memory // _HELD)
        self.database = Database(file, memory - self.held.limit)
        self.views = Views(self.database)
        self.dictionary = Dictionary(series)
        self.lookup = Lookup(self.dictionary)
        self.encoder = Encoder(self.dictionary)
        # rows written to an hour since the start, and by type how many of an hour lie in the table
        self.writes: Counter[tuple[str, int]] = Counter()
        self.rows: Counter[tuple[str, int]] = Counter()
        self.dropped = False
        self._deleted = False
        try:
            with self.database.plain_errors():
                self._load()
        except BaseException:
            self.database.close()
            raise

    def _load(self) -> None:
        schema.prepare(self.database)
        schema.load(self.database, self.dictionary)
        files = schema.files(self.database)
        raw_from = self.dictionary.oldest = schema.raw_from(self.database)
        shelves = {}
        for kind, table in TABLES.items():
            fresh = schema.hours(self.database, table)
            self.rows.update({(kind, hour): count for hour, count in fresh.items()})
            shelves[kind] = shelf(fresh, (one for one in files if one.kind == kind), raw_from)
        self.views.shelves = shelves
        last = [time for table in TABLES.values() if (time := schema.last(self.database, table)) is not None]
        self._marks = Marks(self.dictionary.key_count, max(last, default=None))
        ends = [*(time + 1 for time in last), *(one.end for one in files)]
        self.newest = Newest(self.dictionary.key_count, min(max(ends, default=-(2**63)), self.future()))
        self.newest_time: int | None = max(ends, default=None)

    @property
    def shelves(self) -> Mapping[str, Shelf]:
        """Return what lies where now, by type."""
        return self.views.shelves

    @property
    def folder(self) -> Path:
        """Return where the files lie."""
        return self.database.folder

    @property
    def broken(self) -> bool:
        """Tell whether only opening anew helps."""
        return self.database.broken

    def close(self) -> None:
        """Move what the log holds into the file and close it."""
        self.database.close()

    def write(self, chunks: Mapping[str, Chunk]) -> None:
        """Write columns by type, and what is fresh in the dictionary, in one transaction; on disk when this returns."""
        hours = {kind: _hours(rows.time) for kind, rows in chunks.items()}
        shelves = {kind: self.shelves[kind].opened(counts) for kind, counts in hours.items()}
        with self.views.transaction(shelves):
            self._save(self.dictionary.fresh)
            for kind, rows in chunks.items():
                table = TABLES[kind]
                late = self._marks.late(rows)
                if late.any():
                    self._delete(table, rows.only(late))
                self.database.insert(table, "key, time, value", rows._asdict())
        self.dictionary.saved()
        # counted when it can be seen: who counts before looking sees at least what was counted
        counted = {(kind, hour): count for kind, counts in hours.items() for hour, count in counts.items()}
        self.writes.update(counted)
        self.rows.update(counted)
        future = self.future()
        for kind, rows in chunks.items():
            self._marks.note(rows)
            self.newest.note(kind, rows.until(future))
            self.newest_time = max(int(rows.time[-1]), self.newest_time or int(rows.time[-1]))

    def drop_before(self, time: int) -> None:
        """Delete points older than ``time``; a file's are cut off, and its roll-ups to the next whole hour."""
        new: list[File] = []
        gone: list[File] = []
        for file in self._files():
            cut = max(file.cut, time if file.level == RAW else ceil(time, HOUR))
            if file.end <= cut:
                gone.append(file)
            elif cut != file.cut and cut > file.start:
                new.append(file._replace(cut=cut))
        self._swap(
            gone=[*gone, *(old for old in self._files() if any(old.name == one.name for one in new))],
            new=new,
            delete=lambda table: f"DELETE FROM {table} WHERE time < {time}",  # noqa: S608 - our own names
            closed=lambda _, hour: hour + HOUR <= time,
        )
        self.newest.drop_before(time)
        self.dropped = True

    def drop_level(self, level: str, time: int) -> None:
        """Delete files of one level that end before ``time``; raw values older than the last of them are taken no more."""
        gone = [one for one in self._files() if one.level == level and one.end <= time]
        if not gone:
            return
        raw_from = max(one.end for one in gone) if level == RAW else None
        self._swap(gone=gone, raw_from=raw_from)
        self.dropped = True

    def let_go(self, files: Sequence[File]) -> None:
        """Count files no more and delete them; what they held is missing, unless a roll-up or raw file has it too."""
        self._swap(gone=files)

    def forget(self, silent: Sequence[Known]) -> None:
        """Forget series that have no value in files, unless the tables have one."""
        if any(self.dictionary.fresh):
            self.dropped = True  # a write went wrong; another time
            return
        keys = np.array([key for one in silent for key in one.keys.values()], dtype=np.uint32)
        with self.views.transaction(self.shelves):
            self.database.register("gone", {"id": keys})
            alive = {
                key
                for table in TABLES.values()
                for (key,) in self.database.all(f"SELECT DISTINCT key FROM {table} JOIN gone ON key = id")  # noqa: S608 - our own names
            }
            dead = [one for one in silent if alive.isdisjoint(one.keys.values())]
            for table, numbers in (
                ("keys", [key for one in dead for key in one.keys.values()]),
                ("series", [one.id for one in dead]),
                ("fields", [field.id for field in self.dictionary.orphans(dead)]),
            ):
                self.database.register("gone", {"id": np.array(numbers, dtype=np.uint32)})
                self.database.execute(f"DELETE FROM {table} USING gone WHERE {table}.id = gone.id")  # noqa: S608 - our own names
        self.dictionary.forget(dead)
        self.encoder = Encoder(self.dictionary)
        self._deleted = True

    def give_back(self) -> None:
        """Give the space of deleted rows back to the file system."""
        if not self._deleted:
            return
        self._deleted = False
        with self.database.plain_errors():
            for _ in range(2):
                # a checkpoint without a change does nothing; the second one can cut off what the first one freed
                self.database.execute("UPDATE about SET format = ?", [schema.FORMAT])
                self.database.execute("CHECKPOINT")

    def settled(self, kind: str, hours: Mapping[int, int], gone: Sequence[File], new: Sequence[File]) -> bool:
        """Put files in the place of rows of some hours.

        Not done (False) when an hour has not the number of ``writes`` any more that goes with it, or a file has changed.
        """
        if any(self.writes[kind, hour] != count for hour, count in hours.items()) or not set(self._files()) >= set(
            gone
        ):
            return False
        stretches = " OR ".join(f"time >= {hour} AND time < {hour + HOUR}" for hour in hours)
        self._swap(
            gone=gone,
            new=new,
            delete=lambda table: f"DELETE FROM {table} WHERE {stretches}" if table == TABLES[kind] and hours else "",  # noqa: S608 - our own names
            closed=lambda one, hour: one == kind and hour in hours,
        )
        return True

    def cleaned(self, file: File, new: Sequence[File]) -> None:
        """Put a file without its deleted rows (none when nothing is left) in the place of another."""
        self._swap(gone=[file], new=new)
        self._disturb(file.kind, range(floor(file.start, DAY), file.end, HOUR))

    def emptied(self, kind: str, keys: NDArray[np.uint32], stretch: Stretch, opening: Mapping[int, str]) -> None:
        """Delete rows of some keys and a stretch; then open hours that have no row left by one of those that ``opening`` names."""
        table, matches = TABLES[kind], f"key IN (SELECT id FROM gone) AND {within([stretch])}"  # noqa: S608 - our own names
        self.database.register("gone", {"id": keys})
        left: dict[int, int] = {}
        touched = set(opening)
        for hour, count, going in self.database.all(
            f"SELECT {HOUR_OF} AS hour, count(*), count(*) FILTER ({matches}) FROM {table} GROUP BY hour"  # noqa: S608 - our own names
        ):
            left[hour] = count - going
            touched |= {hour} if going else set()
        opened = {
            hour
            for hour, source in opening.items()
            if not left.get(hour) and self.database.all(f"SELECT 1 FROM {source} LIMIT 1")  # noqa: S608 - our own names
        }
        inserts = [
            f"INSERT INTO {table} SELECT key, time, value FROM {opening[hour]} LIMIT 1"  # noqa: S608 - our own names
            for hour in sorted(opened)
        ]
        statements = "; ".join([f"DELETE FROM {table} WHERE {matches}", *inserts])  # noqa: S608 - our own names
        self._swap(
            gone=[],
            delete=lambda one: statements if one == table else "",
            closed=lambda one, hour: one == kind and hour in touched and not left.get(hour) and hour not in opened,
            opened={kind: opened},
        )
        self.rows.update(
            {(kind, hour): left.get(hour, 0) + (hour in opened) - self.rows[kind, hour] for hour in touched}
        )
        self._disturb(kind, touched)

    def _disturb(self, kind: str, hours: Iterable[int]) -> None:
        """Count hours as written to: what is being settled of them comes from rows that are no more."""
        self.writes.update((kind, hour) for hour in hours)

    def _swap(
        self,
        *,
        gone: Sequence[File],
        new: Sequence[File] = (),
        delete: Callable[[str], str] = lambda _: "",
        closed: Callable[[str, int], bool] = lambda _kind, _hour: False,
        opened: Mapping[str, Collection[int]] = MappingProxyType({}),
        raw_from: int | None = None,
    ) -> None:
        """Take files and rows away and put files in, in one transaction; ``opened`` hours have rows in a table then."""
        shelves = {}
        for kind, old in self.shelves.items():
            fresh = [hour for day in old.days.values() for hour in day.fresh if not closed(kind, hour)]
            kept = [one for one in old.files() if one not in gone]
            mine = [one for one in new if one.kind == kind]
            shelves[kind] = shelf(
                [*fresh, *opened.get(kind, ())], [*kept, *mine], old.raw_from if raw_from is None else raw_from
            )
        names = {one.name for one in gone} - {one.name for one in new}
        with self.views.transaction(shelves):
            for table in TABLES.values():
                if statement := delete(table):
                    self.database.execute(statement)
            for one in gone:
                self.database.execute("DELETE FROM files WHERE name = ?", [one.name])
            for one in new:
                self.database.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", list(one))
            if raw_from is not None:
                self.database.execute("DELETE FROM raw_from")
                self.database.execute("INSERT INTO raw_from VALUES (?)", [raw_from])
        self._deleted = True
        if raw_from is not None:
            self.dictionary.oldest = raw_from
        for kind, hour in [one for one in self.rows if closed(*one)]:
            del self.rows[kind, hour]
        self.views.retire(names)

    def _files(self) -> list[File]:
        return [one for known in self.shelves.values() for one in known.files()]

    def _save(self, fresh: Fresh) -> None:
        if fresh.series:
            encode = msgspec.json.encode
            rows = [(series.id, series.measurement, encode(series.tags).decode()) for series in fresh.series]
            self.database.insert("series", "id, measurement, tags", _columns(("id", "measurement", "tags"), rows))
        if fresh.fields:
            self.database.insert(
                "fields", "id, measurement, name, kind", _columns(("id", "measurement", "name", "kind"), fresh.fields)
            )
        if fresh.keys:
            self.database.insert("keys", "id, series, field", _columns(("id", "series", "field"), fresh.keys))

    def _delete(self, table: str, rows: Chunk) -> None:
        self.database.register("late", {"key": rows.key, "time": rows.time})
        # the range lets DuckDB pass over everything that is older or newer
        self.database.execute(
            f"DELETE FROM {table} USING late WHERE {table}.key = late.key AND {table}.time = late.time AND {table}.time BETWEEN ? AND ?",  # noqa: S608 - our own names
            [int(rows.time[0]), int(rows.time[-1])],
        )


def _hours(times: NDArray[np.int64]) -> dict[int, int]:
    """Count rows by hour; times are sorted."""
    first, last = floor(int(times[0]), HOUR), floor(int(times[-1]), HOUR)
    if first == last:
        return {first: len(times)}
    hours, counts = np.unique(times // HOUR, return_counts=True)
    return dict(zip((hours * HOUR).tolist(), counts.tolist(), strict=True))


def _columns(names: Sequence[str], rows: Sequence[Sequence[object]]) -> dict[str, Any]:
    """Turn rows into named arrays, as DuckDB takes them in at once."""
    columns = zip(*rows, strict=True)
    return {
        name: np.array(column, dtype=object if isinstance(column[0], str) else np.uint32)
        for name, column in zip(names, columns, strict=True)
    }
