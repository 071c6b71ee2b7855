"""The embedded store's tables, an open DuckDB file.

One narrow table for each type of value, ``(key, time, value)``, takes what is written; a time and key stands there once. What
is settled lies in sorted files beside them; the table ``files`` names those that count.
"""

import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from uuid import uuid4

import msgspec
import numpy as np
from numpy.typing import NDArray

from server.store import StoreFull, StoreUnavailable
from server.store.embedded.columns import Chunk, Marks
from server.store.embedded.encoding import Encoder
from server.store.embedded.file import AWAY, BROKEN, Connection, Error, Fatal, connect, words
from server.store.embedded.held import Held
from server.store.embedded.levels import HOUR, RAW, File, Shelf, ceil, floor, shelf
from server.store.embedded.newest import Newest
from server.store.embedded.reading import TABLES, text
from server.store.embedded.series import Dictionary, Fresh
from server.store.embedded.series import Series as Known

T = TypeVar("T")
_FORMAT: Final = 3
_READABLE: Final = frozenset({1, 2, _FORMAT})
_SQL_TYPES: Final = {
    "float": "DOUBLE",
    "integer": "BIGINT",
    "unsigned": "UBIGINT",
    "boolean": "BOOLEAN",
    "string": "VARCHAR",
}
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS about (format INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS series (id UINTEGER NOT NULL, measurement VARCHAR NOT NULL, tags VARCHAR NOT NULL)",
    "CREATE TABLE IF NOT EXISTS fields (id UINTEGER NOT NULL, measurement VARCHAR NOT NULL, name VARCHAR NOT NULL, kind VARCHAR NOT NULL)",
    "CREATE TABLE IF NOT EXISTS keys (id UINTEGER NOT NULL, series UINTEGER NOT NULL, field UINTEGER NOT NULL)",
    *(
        f"CREATE TABLE IF NOT EXISTS {table} (key UINTEGER NOT NULL, time BIGINT NOT NULL, value {_SQL_TYPES[kind]} NOT NULL)"
        for kind, table in TABLES.items()
    ),
    """CREATE TABLE IF NOT EXISTS files (kind VARCHAR NOT NULL, level VARCHAR NOT NULL, start BIGINT NOT NULL,
        "end" BIGINT NOT NULL, cut BIGINT NOT NULL, name VARCHAR NOT NULL)""",
    "ALTER TABLE files ADD COLUMN IF NOT EXISTS by_field BOOLEAN DEFAULT false",  # not in formats 1 and 2
    "CREATE TABLE IF NOT EXISTS raw_from (time BIGINT NOT NULL)",
)
_FULL: Final = tuple(os.strerror(number) for number in (ENOSPC, EDQUOT, EFBIG))
_EVER: Final = 2**63 - 1
_TRIES: Final = 3
_HELD: Final = 16  # such a part of the memory is for rows that were asked for lately
_HOUR_OF: Final = f"time - ((time % {HOUR}) + {HOUR}) % {HOUR}"


class View(NamedTuple):
    """One state of the store: a connection that sees it, and the shelves that belong to it."""

    cursor: Connection
    shelves: Mapping[str, Shelf]


class Tables:
    """An open database file with its dictionary. Writing belongs to one thread, reading to any.

    Every call may raise StoreUnavailable; when ``broken`` is set after that, only opening anew helps.
    """

    def __init__(self, file: Path, *, memory: int, series: int) -> None:
        """Open or create the file; ``memory`` is what rows in memory may take, in bytes, ``series`` the limit of series."""
        self.file = file
        self.folder = file.with_suffix(".files")
        self.broken = False
        self.dictionary = Dictionary(series)
        self.encoder = Encoder(self.dictionary)
        self.shelves: dict[str, Shelf] = {}
        # rows written to an hour since the start, and by type how many of an hour lie in the table
        self.writes: Counter[tuple[str, int]] = Counter()
        self.rows: Counter[tuple[str, int]] = Counter()
        self._state = threading.Lock()
        self.dropped = False
        self._deleted = False
        self.held = Held(memory // _HELD)
        self._turn = 0
        self._readers: dict[int, int] = {}
        self._gone: list[tuple[int, str]] = []
        with self.plain_errors():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._writer = connect(file, memory - self.held.limit)
        try:
            with self.plain_errors():
                self._load()
        except BaseException:
            self._writer.close()
            raise

    def _load(self) -> None:
        for statement in _SCHEMA:
            self._writer.execute(statement)
        found = self._writer.execute("SELECT format FROM about").fetchone()
        if found is not None and found[0] not in _READABLE:
            raise StoreUnavailable(f"{self.file} has format {found[0]}, this version of Pantau reads {_FORMAT}")
        if found is None or found[0] != _FORMAT:
            self._writer.execute("DELETE FROM about")
            self._writer.execute("INSERT INTO about VALUES (?)", [_FORMAT])
        tags = msgspec.json.Decoder(dict[str, str])
        self.dictionary.load(
            [(number, name, tags.decode(text)) for number, name, text in self._all("SELECT * FROM series ORDER BY id")],
            self._all("SELECT id, measurement, name, kind FROM fields"),
            self._all("SELECT id, series, field FROM keys"),
        )
        files = [File(*row) for row in self._all('SELECT kind, level, start, "end", cut, name, by_field FROM files')]
        self._check(files)
        (raw_from,) = self._all("SELECT coalesce(max(time), -9223372036854775808) FROM raw_from")[0]
        self.dictionary.oldest = raw_from
        for kind, table in TABLES.items():
            fresh = dict(self._all(f"SELECT {_HOUR_OF} AS hour, count(*) FROM {table} GROUP BY hour"))  # noqa: S608 - our own names
            self.rows.update({(kind, hour): count for hour, count in fresh.items()})
            self.shelves[kind] = shelf(fresh, (one for one in files if one.kind == kind), raw_from)
        last = [row[0] for table in TABLES.values() for row in self._all(f"SELECT max(time) FROM {table}")]  # noqa: S608 - our own names
        self._marks = Marks(self.dictionary.key_count, max((time for time in last if time is not None), default=None))
        ends = [*(time + 1 for time in last if time is not None), *(one.end for one in files)]
        self.newest = Newest(self.dictionary.key_count, max(ends, default=-(2**63)))
        self.newest_time: int | None = max(ends, default=None)

    def _check(self, files: Iterable[File]) -> None:
        """Delete what a crash has left in the folder; StoreUnavailable when a file that counts is not there."""
        wanted = {one.name for one in files}
        there = {path.name for path in self.folder.iterdir()}
        for name in there - wanted:
            (self.folder / name).unlink()
        if missing := sorted(wanted - there):
            raise StoreUnavailable(f"{self.folder / missing[0]} is missing, and {len(missing) - 1} more")

    def _all(self, statement: str) -> list[tuple[Any, ...]]:
        return self._writer.execute(statement).fetchall()

    def close(self) -> None:
        """Move what the log holds into the file and close it."""
        try:
            self._writer.close()
        except Error as error:
            raise StoreUnavailable(words(error)) from error

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, chunks: Mapping[str, Chunk]) -> None:
        """Write columns by type, and what is fresh in the dictionary, in one transaction; on disk when this returns."""
        hours = {kind: _hours(rows.time) for kind, rows in chunks.items()}
        shelves = {kind: self.shelves[kind].opened(counts) for kind, counts in hours.items()}
        with self.plain_errors(), self._transaction(shelves):
            self._save(self.dictionary.fresh)
            for kind, rows in chunks.items():
                table = TABLES[kind]
                late = self._marks.late(rows)
                if late.any():
                    self._delete(table, rows.only(late))
                self._insert(table, "key, time, value", rows._asdict())
        self.dictionary.saved()
        # counted when it can be seen: who counts before looking sees at least what was counted
        counted = {(kind, hour): count for kind, counts in hours.items() for hour, count in counts.items()}
        self.writes.update(counted)
        self.rows.update(counted)
        for kind, rows in chunks.items():
            self._marks.note(rows)
            self.newest.note(kind, rows)
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

    def forget(self, silent: Sequence[Known]) -> None:
        """Forget series that have no value in files, unless the tables have one."""
        if any(self.dictionary.fresh):
            self.dropped = True  # a write went wrong; another time
            return
        keys = np.array([key for one in silent for key in one.keys.values()], dtype=np.uint32)
        with self.plain_errors(), self._transaction(self.shelves):
            self._writer.register("gone", {"id": keys})
            alive = {
                key
                for table in TABLES.values()
                for (key,) in self._all(f"SELECT DISTINCT key FROM {table} JOIN gone ON key = id")  # noqa: S608 - our own names
            }
            dead = [one for one in silent if alive.isdisjoint(one.keys.values())]
            for table, numbers in (
                ("keys", [key for one in dead for key in one.keys.values()]),
                ("series", [one.id for one in dead]),
                ("fields", [field.id for field in self.dictionary.orphans(dead)]),
            ):
                self._writer.register("gone", {"id": np.array(numbers, dtype=np.uint32)})
                self._writer.execute(f"DELETE FROM {table} USING gone WHERE {table}.id = gone.id")  # noqa: S608 - our own names
        self.dictionary.forget(dead)
        self.encoder = Encoder(self.dictionary)
        self._deleted = True

    def give_back(self) -> None:
        """Give the space of deleted rows back to the file system."""
        if not self._deleted:
            return
        self._deleted = False
        with self.plain_errors():
            for _ in range(2):
                # a checkpoint without a change does nothing; the second one can cut off what the first one freed
                self._writer.execute("UPDATE about SET format = ?", [_FORMAT])
                self._writer.execute("CHECKPOINT")

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

    def _swap(
        self,
        *,
        gone: Sequence[File],
        new: Sequence[File] = (),
        delete: Callable[[str], str] = lambda _: "",
        closed: Callable[[str, int], bool] = lambda _kind, _hour: False,
        raw_from: int | None = None,
    ) -> None:
        """Take files and rows away and put files in, in one transaction."""
        shelves = {}
        for kind, old in self.shelves.items():
            fresh = [hour for day in old.days.values() for hour in day.fresh if not closed(kind, hour)]
            kept = [one for one in old.files() if one not in gone]
            mine = [one for one in new if one.kind == kind]
            shelves[kind] = shelf(fresh, [*kept, *mine], old.raw_from if raw_from is None else raw_from)
        names = {one.name for one in gone} - {one.name for one in new}
        with self.plain_errors(), self._transaction(shelves):
            for table in TABLES.values():
                if statement := delete(table):
                    self._writer.execute(statement)
            for one in gone:
                self._writer.execute("DELETE FROM files WHERE name = ?", [one.name])
            for one in new:
                self._writer.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", list(one))
            if raw_from is not None:
                self._writer.execute("DELETE FROM raw_from")
                self._writer.execute("INSERT INTO raw_from VALUES (?)", [raw_from])
        self._deleted = True
        if raw_from is not None:
            self.dictionary.oldest = raw_from
        for kind, hour in [one for one in self.rows if closed(*one)]:
            del self.rows[kind, hour]
        with self._state:
            self._gone += [(self._turn, name) for name in names]
            self._turn += 1
        self._sweep()

    def _files(self) -> list[File]:
        return [one for known in self.shelves.values() for one in known.files()]

    def _save(self, fresh: Fresh) -> None:
        if fresh.series:
            encode = msgspec.json.encode
            rows = [(series.id, series.measurement, encode(series.tags).decode()) for series in fresh.series]
            self._insert("series", "id, measurement, tags", _columns(("id", "measurement", "tags"), rows))
        if fresh.fields:
            self._insert(
                "fields", "id, measurement, name, kind", _columns(("id", "measurement", "name", "kind"), fresh.fields)
            )
        if fresh.keys:
            self._insert("keys", "id, series, field", _columns(("id", "series", "field"), fresh.keys))

    def _insert(self, table: str, names: str, columns: dict[str, Any]) -> None:
        self._writer.register("batch", columns)
        self._writer.execute(f"INSERT INTO {table} SELECT {names} FROM batch")  # noqa: S608 - our own names

    def _delete(self, table: str, rows: Chunk) -> None:
        self._writer.register("late", {"key": rows.key, "time": rows.time})
        # the range lets DuckDB pass over everything that is older or newer
        self._writer.execute(
            f"DELETE FROM {table} USING late WHERE {table}.key = late.key AND {table}.time = late.time AND {table}.time BETWEEN ? AND ?",  # noqa: S608 - our own names
            [int(rows.time[0]), int(rows.time[-1])],
        )

    @contextmanager
    def _transaction(self, shelves: Mapping[str, Shelf]) -> Iterator[None]:
        """Run a transaction; when it ends the shelves are these, for readers at the same instant as what it wrote."""
        self._writer.execute("BEGIN")
        try:
            yield
            if all(self.shelves[kind] is new for kind, new in shelves.items()):
                self._writer.execute("COMMIT")
            else:
                with self._state:
                    self._writer.execute("COMMIT")
                    self.shelves = {**self.shelves, **shelves}
        except BaseException:
            try:
                self._writer.execute("ROLLBACK")
            except Fatal:
                self.broken = True
            except Error:
                pass  # a commit that fails has ended the transaction
            raise

    # --- reading -----------------------------------------------------------------------------------------------------

    @contextmanager
    def view(self) -> Iterator[View]:
        """See one state of everything until the block ends; its files stay that long."""
        with self._look(lasting=True) as seen:
            yield seen

    @contextmanager
    def _look(self, *, lasting: bool) -> Iterator[View]:
        """See the store until the block ends; each statement sees a state of its own when it is not ``lasting``."""
        with self.plain_errors():
            with self._state:
                cursor = self._writer.cursor()
                if lasting:
                    cursor.execute("BEGIN")
                    # a transaction sees what was there at its first question
                    cursor.execute("SELECT format FROM about").fetchall()
                seen = View(cursor, self.shelves)
                self._readers[id(cursor)] = self._turn
            try:
                yield seen
            finally:
                with self._state:
                    del self._readers[id(cursor)]
                cursor.close()
                self._sweep()

    def answer(self, question: Callable[[View], T]) -> T:
        """Answer a question of one statement, again when rows went into files meanwhile: quicker than a lasting view."""
        for _ in range(_TRIES):
            with self._look(lasting=False) as seen:
                answer = question(seen)
                with self._state:
                    if self.shelves is seen.shelves:
                        return answer
        with self.view() as seen:
            return question(seen)

    def _sweep(self) -> None:
        """Delete files that are gone and that nobody reads any more."""
        with self._state:
            oldest = min(self._readers.values(), default=_EVER)
            free = [name for turn, name in self._gone if turn < oldest]
            self._gone = [one for one in self._gone if one[0] >= oldest]
        for name in free:
            (self.folder / name).unlink(missing_ok=True)

    def copy(self, folder: Path) -> None:
        """Copy one state of everything into a new folder, beside writing and reading."""
        folder, name = folder.absolute(), f"copied_{uuid4().hex}"
        try:
            with self.view() as seen:
                (folder / self.folder.name).mkdir(parents=True)
                seen.cursor.execute(f"ATTACH {text(folder / self.file.name, wild=False)} AS {name}")
                seen.cursor.execute(f'COPY FROM DATABASE "{self.file.stem}" TO {name}')
                seen.cursor.execute("COMMIT")
                for known in seen.shelves.values():
                    for one in known.files():
                        shutil.copyfile(self.folder / one.name, folder / self.folder.name / one.name)
        finally:
            # also of a copy that failed: what is attached would stay open until the end
            with self.plain_errors():
                self._writer.cursor().execute(f"DETACH DATABASE IF EXISTS {name}")

    @contextmanager
    def plain_errors(self) -> Iterator[None]:
        """Turn what the world does to a database into StoreUnavailable."""
        try:
            yield
        except AWAY as error:
            self.broken |= isinstance(error, BROKEN)
            told = words(error)
            raise (StoreFull if any(full in told for full in _FULL) else StoreUnavailable)(told) from error
        except OSError as error:
            told = f"{self.file}: {error.strerror}"
            raise (StoreFull if error.strerror in _FULL else StoreUnavailable)(told) from error


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
