"""Questions to an open embedded store: newest values from memory, all else from its tables and files."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from numpy.typing import NDArray

from server.store import Latest, Range, Series
from server.store.embedded.reading import Columns, newest, over_time
from server.store.embedded.tables import Tables
from server.store.embedded.views import View
from server.store.sql import Sql

_FIELDS_MAX: Final = 10_000
_FIELD_OF: Final = "SELECT field FROM keys WHERE id = ?"


class Questions:
    """Answers for any thread. Every call may raise StoreUnavailable."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._fields: dict[int, int] = {}

    def latest(self, measurement: str, fields: Sequence[str], since: int, where: Mapping[str, str]) -> list[Latest]:
        """See ``Store.latest``."""
        kinds = self.tables.lookup.fields(measurement)
        series = self.tables.lookup.series(measurement, where)
        asked = [field for field in dict.fromkeys(fields) if field in kinds]
        found: dict[int, tuple[int, Any]] = {}
        for kind in dict.fromkeys(kinds[field] for field in asked):
            names = [field for field in asked if kinds[field] == kind]
            keys = [one.keys[name] for one in series for name in names if name in one.keys]
            if keys:
                self._look_up(kind, keys, since)
                found |= self.tables.newest.of(kind, keys, since)
        answers = []
        for one in series:
            newest = {name: found[one.keys[name]] for name in asked if one.keys.get(name) in found}
            if newest:
                now = {name: value for name, (_, value) in newest.items()}
                answers.append(Latest(one.tags, now, max(time for time, _ in newest.values())))
        return answers

    def _look_up(self, kind: str, keys: Sequence[int], since: int) -> None:
        """Find the newest values of keys that nobody asked for and nobody wrote to since the start."""
        unknown = self.tables.newest.unknown(keys, since)
        if unknown:
            bounds = since, self.tables.future() + 1
            found = self.tables.views.answer(
                lambda seen: newest(kind, unknown, bounds, seen.shelves, _asker(seen), self.tables.folder)
            )
            self.tables.newest.found(kind, found, unknown, since)

    def range(self, query: Range) -> list[Series]:
        """See ``Store.range``; ValueError when the aggregate does not suit the field's type."""
        return self.tables.views.answer(
            lambda seen: over_time(
                query,
                self.tables.lookup,
                seen.shelves,
                _asker(seen),
                self.tables.folder,
                self.tables.held,
                self._field_of,
            )
        )

    def _field_of(self, key: int) -> int | None:
        """Return the number of the field of a key, None when it is not on disk yet; it never changes."""
        if key not in self._fields:
            if len(self._fields) >= _FIELDS_MAX:
                self._fields.clear()
            found = self.tables.views.answer(lambda seen: seen.cursor.execute(_FIELD_OF, [key]).fetchall())
            if not found:
                return None
            self._fields[key] = int(found[0][0])
        return self._fields[key]

    def tag_values(self, measurement: str, tag: str, where: Mapping[str, str]) -> list[str]:
        """See ``Store.tag_values``."""
        return sorted({one.tags[tag] for one in self.tables.lookup.series(measurement, where) if tag in one.tags})


def _asker(seen: View) -> Callable[[Sql, Mapping[str, int], Mapping[str, NDArray[Any]]], Columns]:
    def ask(statement: Sql, parameters: Mapping[str, int], wanted: Mapping[str, NDArray[Any]]) -> Columns:
        if " wanted " in statement:
            seen.cursor.register("wanted", dict(wanted))
        return seen.cursor.execute(statement, dict(parameters)).fetchnumpy()

    return ask
