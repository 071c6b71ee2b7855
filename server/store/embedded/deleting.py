"""Taking points of some series out of the embedded store: rows of tables, of settled files and of roll-ups, and newest values.

It is done in turns of the writing thread, one file each, so that writers need not wait for all of them; a deletion that was broken off
is finished by the same one again.
"""

from collections.abc import Sequence
from typing import Final
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from server.store import Deletion, Found
from server.store.embedded.file import sync
from server.store.embedded.layers import KIND_OF
from server.store.embedded.levels import HOUR, RAW, ROLLED, File, Part, floor, plan
from server.store.embedded.reading import files_list, place, text, within
from server.store.embedded.series import Series
from server.store.embedded.settling import file_form
from server.store.embedded.tables import Tables
from server.store.kinds import KINDS
from server.store.sql import Sql, sql

Keys = NDArray[np.uint32]

_OF_RAW: Final = Sql("count(*) AS n, min(time) AS oldest, max(time) AS newest")
_OF_ROLLED: Final = Sql("sum(n)::BIGINT AS n, min(time) AS oldest, max(last_time) AS newest")


def found(tables: Tables, deletion: Deletion) -> Found:
    """Return what a deletion would take, as one state of the store has it."""
    values: dict[int, int] = {}
    oldest, newest = [], []
    with tables.views.lasting() as seen:
        for layer, keys in _keys(tables, deletion).items():
            seen.cursor.register("gone", {"id": keys})
            for part in plan([seen.shelves[layer]], deletion.start, deletion.end, 0):
                question = sql(
                    "SELECT key, {columns} FROM {place} JOIN gone ON key = id WHERE {within} AND {inside} GROUP BY key",
                    columns=_OF_RAW if part.level == RAW else _OF_ROLLED,
                    place=place(part, tables.folder),
                    within=within(part.stretches),
                    inside=_inside(part, deletion),
                )
                for key, count, first, last in seen.cursor.execute(question).fetchall():
                    values[key] = values.get(key, 0) + count
                    oldest.append(first)
                    newest.append(last)
    series = [one.tags for one in _series(tables, deletion) if not values.keys().isdisjoint(one.keys.values())]
    return Found(len(series), sum(values.values()), min(oldest, default=0), max(newest, default=0), series[:5])


class Deleting:
    """One deletion; belongs to the writing thread."""

    def __init__(self, tables: Tables, deletion: Deletion) -> None:
        self._tables = tables
        self._deletion = deletion
        self._keys = _keys(tables, deletion)
        self._clean: set[str] = set()
        self._emptied = False

    def turn(self) -> bool:
        """Do one piece; tell whether there may be more."""
        # values first: hours at the ends of the stretch get new roll-ups, which are made of those that are left
        if self._file_cleaned(raw=True):
            return True
        if not self._emptied:
            self._emptied = True
            for layer, keys in self._keys.items():
                self._empty_table(layer, keys)
            return True
        if self._file_cleaned(raw=False):
            return True
        for keys in self._keys.values():
            self._tables.newest.forget(keys)
        self._tables.dropped = True
        return False

    def _file_cleaned(self, *, raw: bool) -> bool:
        """Clean the next file that has something of the deletion; tell whether there was one."""
        for layer, keys in self._keys.items():
            for file in self._tables.shelves[layer].files():
                if (file.level == RAW) is not raw or file.name in self._clean:
                    continue
                self._clean.add(file.name)
                if file.start < self._deletion.end and file.end > self._deletion.start and self._clean_file(file, keys):
                    return True
        return False

    def _clean_file(self, file: File, keys: Keys) -> bool:
        """Put a file without the deleted rows in the place of one; tell whether there were any."""
        tables = self._tables
        source = files_list([tables.folder / file.name])
        matches = sql("key IN (SELECT id FROM gone) AND {matches}", matches=self._matches(file))
        with tables.views.lasting() as seen:
            seen.cursor.register("gone", {"id": keys})
            question = sql(
                "SELECT count(*), count(*) FILTER ({matches}) FROM {source} WHERE time >= {cut}",
                matches=matches,
                source=source,
                cut=file.cut,
            )
            rows, going = seen.cursor.execute(question).fetchall()[0]
            if not going:
                return False
            path = tables.folder / f"{file.name.removesuffix('.parquet').rpartition('-')[0]}-{uuid4().hex[:8]}.parquet"
            new = [file._replace(name=path.name)] if rows > going else []
            if new:
                # rows keep their order, by which they are found
                copy = sql(
                    "COPY (SELECT * FROM {source} WHERE time >= {cut} AND NOT ({matches})) TO {path} {form}",
                    source=source,
                    cut=file.cut,
                    matches=matches,
                    path=text(path, wild=False),
                    form=file_form(file.level),
                )
                seen.cursor.execute(copy)
                sync(path)
                sync(tables.folder)
        tables.cleaned(file, new)
        self._clean.add(path.name)
        return True

    def _matches(self, file: File) -> Sql:
        start, end = self._deletion.start, self._deletion.end
        if file.level == RAW:
            return within([(start, end)])
        bare = [(hour, hour + HOUR) for hour in self._edges() if self._bare(file.kind, hour)]
        return within([(start, end - ROLLED[file.level] + 1), *bare])

    def _edges(self) -> list[int]:
        """Return the hours of which the deletion takes only a part."""
        start, end = self._deletion.start, self._deletion.end
        return sorted({floor(time, HOUR) for time in (start, end) if time % HOUR})

    def _bare(self, layer: str, hour: int) -> bool:
        """Return whether an hour whose values are not rolled up yet, or still there, has none left."""
        known = self._tables.shelves[layer]
        return hour >= known.raw_from and not any(
            self._left(part) for part in plan([known], hour, hour + HOUR, 0) if part.level == RAW
        )

    def _left(self, part: Part) -> bool:
        question = sql(
            "SELECT 1 FROM {place} WHERE {within} LIMIT 1",
            place=place(part, self._tables.folder),
            within=within(part.stretches),
        )
        return bool(self._tables.database.all(question))

    def _empty_table(self, layer: str, keys: Keys) -> None:
        """Delete rows of a table; an hour that was taken in part is opened by one of its values, so that it is rolled up again."""
        start, end = self._deletion.start, self._deletion.end
        known = self._tables.shelves[layer]
        opening = {
            hour: sql(
                "{file} WHERE {within}",
                file=files_list([self._tables.folder / file.name]),
                within=within([(max(hour, file.cut), hour + HOUR)]),
            )
            for hour in self._edges()
            if hour >= known.raw_from and (file := known.day_of(hour).raw(hour))
        }
        self._tables.emptied(layer, keys, (start, end), opening)


def _inside(part: Part, deletion: Deletion) -> Sql:
    return within([(deletion.start, deletion.end - ROLLED.get(part.level, 1) + 1)])


def _series(tables: Tables, deletion: Deletion) -> Sequence[Series]:
    return tables.lookup.series(deletion.measurement, deletion.where)


def _keys(tables: Tables, deletion: Deletion) -> dict[str, Keys]:
    """Return the keys of the series of a deletion by layer; layers of types without any are not there."""
    kinds = tables.lookup.fields(deletion.measurement)
    keys: dict[str, list[int]] = {kind: [] for kind in KINDS.values()}
    for series in _series(tables, deletion):
        for field, key in series.keys.items():
            keys[kinds[field]].append(key)
    return {layer: np.array(keys[kind], dtype=np.uint32) for layer, kind in KIND_OF.items() if keys[kind]}
