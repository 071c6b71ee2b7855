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
from server.store.embedded.file_cache import Held
from server.store.embedded.layers import TABLES, is_late, late
from server.store.embedded.levels import DAY, HOUR, RAW, File, Shelf, Stretch, ceil, floor, shelf
from server.store.embedded.lookup import Lookup
from server.store.embedded.newest import Newest
from server.store.embedded.reading import window_of, within
from server.store.embedded.series import Dictionary, Fresh
from server.store.embedded.series import Series as Known
from server.store.embedded.views import Views
from server.store.sql import Sql, identifier, sql

_EVER: Final = -(2**63)
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
        # rows written to an hour of a layer since the start, and how many of an hour lie in its table
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
        older = schema.prepare(self.database)
        schema.load(self.database, self.dictionary)
        files = schema.files(self.database)
        self._raw_from = schema.raw_from(self.database, files if older else ())
        schema.note_format(self.database)
        shelves = {}
        for layer, table in TABLES.items():
            fresh = schema.hours(self.database, table)
            self.rows.update({(layer, hour): count for hour, count in fresh.items()})
            mine = (one for one in files if one.kind == layer)
            shelves[layer] = shelf(table, fresh, mine, _EVER if is_late(layer) else self._raw_from)
        self.views.shelves = shelves
        last = [time for table in TABLES.values() if (time := schema.last(self.database, table)) is not None]
        self._marks = Marks(self.dictionary.key_count, max(last, default=None))
        ends = [*(time + 1 for time in last), *(one.end for one in files)]
        self.newest = Newest(self.dictionary.key_count, min(max(ends, default=-(2**63)), self.future()))
        self.newest_time: int | None = max(ends, default=None)

    @property
    def shelves(self) -> Mapping[str, Shelf]:
        """Return what lies where now, by layer."""
        return self.views.shelves

    @property
    def folder(self) -> Path:
        """Return where the files lie."""
        return self.database.folder

    @property
    def broken(self) -> bool:
        """Return whether only opening anew helps."""
        return self.database.broken

    def close(self) -> None:
        """Move what the log holds into the file and close it."""
        self.database.close()

    def write(self, chunks: Mapping[str, Chunk]) -> None:
        """Write columns by type, and what is fresh in the dictionary, in one transaction; on disk when this returns."""
        layers = self._by_layer(chunks)
        hours = {layer: _hours(rows.time) for layer, rows in layers.items()}
        shelves = {layer: self.shelves[layer].opened(counts) for layer, counts in hours.items()}
        with self.views.transaction(shelves):
            self._save(self.dictionary.fresh)
            for layer, rows in layers.items():
                table = TABLES[layer]
                repeated = self._marks.late(rows)
                if repeated.any():
                    self._delete(table, rows.only(repeated))
                self.database.insert(table, rows._asdict())
        self.dictionary.saved()
        # counted when it can be seen: who counts before looking sees at least what was counted
        counted = {(layer, hour): count for layer, counts in hours.items() for hour, count in counts.items()}
        self.writes.update(counted)
        self.rows.update(counted)
        future = self.future()
        for kind, rows in chunks.items():
            self._marks.note(rows)
            self.newest.note(kind, rows.until(future))
            self.newest_time = max(int(rows.time[-1]), self.newest_time or int(rows.time[-1]))

    def _by_layer(self, chunks: Mapping[str, Chunk]) -> dict[str, Chunk]:
        """Part rows, sorted by time, into those whose raw values would be gone already and the others."""
        layers = {}
        for kind, rows in chunks.items():
            at = int(np.searchsorted(rows.time, self._raw_from))
            if at:
                layers[late(kind)] = rows.only(slice(None, at))
            if at < len(rows.time):
                layers[kind] = rows.only(slice(at, None)) if at else rows
        return layers

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
            delete=lambda _: sql("time < {time}", time=time),
            closed=lambda _, hour: hour + HOUR <= time,
        )
        self.newest.drop_before(time)
        self.dropped = True

    def drop_level(self, level: str, time: int) -> None:
        """Delete files of one level that end before ``time``; raw values of late layers stay.

        Points older than the last raw values that went belong to the late layers from then on.
        """
        gone = [
            one
            for one in self._files()
            if one.level == level and one.end <= time and not (level == RAW and is_late(one.kind))
        ]
        if not gone:
            return
        last = ceil(max(one.end for one in gone), DAY)
        self._swap(gone=gone, raw_from=max(self._raw_from, last) if level == RAW else None)
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
                for (key,) in self.database.all(
                    sql("SELECT DISTINCT key FROM {table} JOIN gone ON key = id", table=table)
                )
            }
            dead = [one for one in silent if alive.isdisjoint(one.keys.values())]
            for name, numbers in (
                ("keys", [key for one in dead for key in one.keys.values()]),
                ("series", [one.id for one in dead]),
                ("fields", [field.id for field in self.dictionary.orphans(dead)]),
            ):
                self.database.register("gone", {"id": np.array(numbers, dtype=np.uint32)})
                statement = sql("DELETE FROM {table} USING gone WHERE {table}.id = gone.id", table=identifier(name))
                self.database.execute(statement)
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

    def settled(self, layer: str, hours: Mapping[int, int], gone: Sequence[File], new: Sequence[File]) -> bool:
        """Put files in the place of rows of some hours.

        Not done (False) when an hour has not the number of ``writes`` any more that goes with it, or a file has changed.
        """
        if any(self.writes[layer, hour] != count for hour, count in hours.items()):
            return False
        if not set(self._files()) >= set(gone):
            return False
        self._swap(
            gone=gone,
            new=new,
            delete=lambda one: within([(hour, hour + HOUR) for hour in hours]) if one == layer and hours else None,
            closed=lambda one, hour: one == layer and hour in hours,
        )
        return True

    def cleaned(self, file: File, new: Sequence[File]) -> None:
        """Put a file without its deleted rows (none when nothing is left) in the place of another."""
        self._swap(gone=[file], new=new)
        self._disturb(file.kind, range(floor(file.start, DAY), file.end, HOUR))

    def emptied(self, layer: str, keys: NDArray[np.uint32], stretch: Stretch, opening: Mapping[int, Sql]) -> None:
        """Delete rows of some keys and a stretch; then open hours that have no row left by one of those that ``opening`` names."""
        table = TABLES[layer]
        matches = sql("key IN (SELECT id FROM gone) AND {within}", within=within([stretch]))
        self.database.register("gone", {"id": keys})
        left: dict[int, int] = {}
        touched = set(opening)
        counts = sql(
            "SELECT {hour} AS hour, count(*), count(*) FILTER ({matches}) FROM {table} GROUP BY hour",
            hour=window_of(HOUR),
            matches=matches,
            table=table,
        )
        for hour, count, going in self.database.all(counts):
            left[hour] = count - going
            touched |= {hour} if going else set()
        opened = {
            hour
            for hour, source in opening.items()
            if not left.get(hour) and self.database.all(sql("SELECT 1 FROM {source} LIMIT 1", source=source))
        }
        self._swap(
            gone=[],
            delete=lambda one: matches if one == layer else None,
            insert=[
                sql("INSERT INTO {table} SELECT key, time, value FROM {row} LIMIT 1", table=table, row=opening[hour])
                for hour in sorted(opened)
            ],
            closed=lambda one, hour: one == layer and hour in touched and not left.get(hour) and hour not in opened,
            opened={layer: opened},
        )
        self.rows.update(
            {(layer, hour): left.get(hour, 0) + (hour in opened) - self.rows[layer, hour] for hour in touched}
        )
        self._disturb(layer, touched)

    def _disturb(self, layer: str, hours: Iterable[int]) -> None:
        """Count hours as written to: what is being settled of them comes from rows that are no more."""
        self.writes.update((layer, hour) for hour in hours)

    def _swap(
        self,
        *,
        gone: Sequence[File],
        new: Sequence[File] = (),
        delete: Callable[[str], Sql | None] = lambda _: None,
        insert: Sequence[Sql] = (),
        closed: Callable[[str, int], bool] = lambda _kind, _hour: False,
        opened: Mapping[str, Collection[int]] = MappingProxyType({}),
        raw_from: int | None = None,
    ) -> None:
        """Remove files and rows and put files in, in one transaction.

        ``delete`` gives the condition for the rows of a layer that go, None for none of them; ``closed`` tells whether an hour of a
        layer has no row left then. ``opened`` hours have rows in a table then, which ``insert`` puts there. With
        ``raw_from`` rows of before move to the late layers.
        """
        moved = {} if raw_from is None else self._before(raw_from)
        shelves = {}
        for layer, old in self.shelves.items():
            open_hours = [hour for day in old.days.values() for hour in day.fresh if not closed(layer, hour)]
            open_hours = [hour for hour in open_hours if (layer, hour) not in moved]
            open_hours += [hour for kind, hour in moved if late(kind) == layer]
            kept = [one for one in old.files() if one not in gone]
            mine = [one for one in new if one.kind == layer]
            since = old.raw_from if raw_from is None or is_late(layer) else raw_from
            shelves[layer] = shelf(old.table, [*open_hours, *opened.get(layer, ())], [*kept, *mine], since)
        names = {one.name for one in gone} - {one.name for one in new}
        with self.views.transaction(shelves):
            for layer, table in TABLES.items():
                if condition := delete(layer):
                    self.database.execute(sql("DELETE FROM {table} WHERE {rows}", table=table, rows=condition))
            for statement in insert:
                self.database.execute(statement)
            for one in gone:
                self.database.execute("DELETE FROM files WHERE name = ?", [one.name])
            for one in new:
                self.database.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", list(one))
            if raw_from is not None:
                schema.save_raw_from(self.database, raw_from)
        self._deleted = True
        self._raw_from = self._raw_from if raw_from is None else raw_from
        for layer, hour in [one for one in self.rows if closed(*one)]:
            del self.rows[layer, hour]
        for (kind, hour), count in moved.items():
            self.rows[late(kind), hour] += count
            self.writes[late(kind), hour] += count
            self.writes[kind, hour] += count
            del self.rows[kind, hour]
        self.views.retire(names)

    def _before(self, time: int) -> dict[tuple[str, int], int]:
        """Count the rows from before a whole hour that lie in the tables, by type and hour; those of late layers do not count."""
        return {
            (layer, hour): self.rows[layer, hour]
            for layer, known in self.shelves.items()
            if not is_late(layer)
            for day in known.days.values()
            for hour in day.fresh
            if hour < time
        }

    def _files(self) -> list[File]:
        return [one for known in self.shelves.values() for one in known.files()]

    def _save(self, fresh: Fresh) -> None:
        if fresh.series:
            encode = msgspec.json.encode
            rows = [(series.id, series.measurement, encode(series.tags).decode()) for series in fresh.series]
            self.database.insert(Sql("series"), _columns(("id", "measurement", "tags"), rows))
        if fresh.fields:
            self.database.insert(Sql("fields"), _columns(("id", "measurement", "name", "kind"), fresh.fields))
        if fresh.keys:
            self.database.insert(Sql("keys"), _columns(("id", "series", "field"), fresh.keys))

    def _delete(self, table: Sql, rows: Chunk) -> None:
        self.database.register("late", {"key": rows.key, "time": rows.time})
        # the range lets DuckDB pass over everything that is older or newer
        self.database.execute(
            sql(
                "DELETE FROM {table} USING late WHERE {table}.key = late.key AND {table}.time = late.time"
                " AND {table}.time BETWEEN {first} AND {last}",
                table=table,
                first=int(rows.time[0]),
                last=int(rows.time[-1]),
            )
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
