"""What the embedded store holds, hour by hour, as points: values as they came, and roll-ups as other databases are given them.

Every function looks at open tables in a reading thread.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from collectors.point import Point, UInt, Value
from server.store.embedded.layers import late
from server.store.embedded.levels import DAY, HOUR, RAW, Shelf, plan
from server.store.embedded.reading import ONE, ROLL_UP, place, within
from server.store.embedded.tables import Tables
from server.store.embedded.views import View
from server.store.kinds import KINDS
from server.store.sql import Sql, joined, sql

Counts = dict[tuple[str, str], int]

_ROLLED: Final = """
    SELECT key, sum(n)::BIGINT AS n, min(low) AS low, max(high) AS high, sum(total) AS total, arg_max(last, last_time) AS last
    FROM ({rows}) GROUP BY key"""
_NO_NUMBER: Final = Sql("1 AS n, NULL AS low, NULL AS high, 0 AS total, value AS last, time AS last_time")
_NUMBERS: Final = frozenset({"float", "integer", "unsigned"})


class Key(NamedTuple):
    """What the number of a series and field stands for."""

    measurement: str
    tags: Mapping[str, str]
    field: str


def hours(tables: Tables) -> list[int]:
    """Return the start of every hour that may hold something, the newest first."""
    found: set[int] = set()
    for shelf in tables.shelves.values():
        for moment, day in shelf.days.items():
            found |= day.fresh
            found.update(hour for files in day.hourly.values() for hour in files)
            if day.whole:
                oldest = min(file.cut for file in day.whole.values())
                found.update(hour for hour in range(moment, moment + DAY, HOUR) if hour + HOUR > oldest)
    return sorted(found, reverse=True)


def keys(tables: Tables) -> dict[int, Key]:
    """Return what every number stands for."""
    known = tables.lookup
    return {
        number: Key(measurement, series.tags, field)
        for measurement in known.measurements()
        for series in known.series(measurement, {})
        for field, number in series.keys.items()
    }


def counts(tables: Tables, start: int, end: int, names: Mapping[int, Key]) -> Counts:
    """Count the values of each field as they came, in ``[start, end)``."""
    found: Counts = {}
    with tables.views.lasting() as seen:
        for kind in KINDS.values():
            for rows in _raw(kind, seen, start, end, tables):
                answer = _ask(seen, sql("SELECT key, count(*) AS n FROM ({rows}) GROUP BY key", rows=rows))
                for number, count in zip(answer["key"].tolist(), answer["n"].tolist(), strict=True):
                    name = names[number]
                    field = (name.measurement, name.field)
                    found[field] = found.get(field, 0) + count
    return found


def points(tables: Tables, start: int, end: int, names: Mapping[int, Key]) -> list[Point]:
    """Return the points of ``[start, end)`` as they came, fields of one series and time together."""
    found: dict[tuple[int, int], tuple[Key, dict[str, Value]]] = {}
    with tables.views.lasting() as seen:
        for kind in KINDS.values():
            convert = UInt if kind == "unsigned" else None
            for rows in _raw(kind, seen, start, end, tables):
                answer = _ask(seen, rows)
                columns = (answer["key"].tolist(), answer["time"].tolist(), answer["value"].tolist())
                for number, time, value in zip(*columns, strict=True):
                    name = names[number]
                    # the tags of a series are one object
                    _, fields = found.setdefault((id(name.tags), time), (name, {}))
                    fields[name.field] = convert(value) if convert else value
    return [Point(name.measurement, name.tags, fields, time) for (_, time), (name, fields) in found.items()]


def rolled(tables: Tables, hour: int, names: Mapping[int, Key]) -> list[Point]:
    """Return one point for each series of an hour: min, max, mean, count and last of each field, e.g. ``mean_usage``."""
    found: dict[int, tuple[Key, dict[str, Value]]] = {}
    with tables.views.lasting() as seen:
        for kind in KINDS.values():
            if rows := _all(kind, seen, hour, tables):
                answer = _ask(seen, sql(_ROLLED, rows=rows))
                for row in _rows(answer):
                    name = names[row["key"]]
                    _, fields = found.setdefault(id(name.tags), (name, {}))
                    fields |= _kept(name.field, kind, row)
    return [Point(name.measurement, name.tags, fields, hour) for name, fields in found.values()]


def _raw(kind: str, seen: View, start: int, end: int, tables: Tables) -> Iterator[Sql]:
    for part in plan(_shelves(kind, seen), start, end, 0):
        if part.level == RAW:
            # what is picked may begin earlier, where roll-ups stand for values
            stretches = [(max(start, first), min(end, last)) for first, last in part.stretches]
            yield sql(
                "SELECT key, time, value FROM {place} WHERE {within}",
                place=place(part, tables.folder),
                within=within(stretches),
            )


def _all(kind: str, seen: View, hour: int, tables: Tables) -> Sql:
    one = _NO_NUMBER if kind == "string" else ONE
    return joined(
        " UNION ALL ",
        (
            sql(
                "SELECT key, time, {columns} FROM {place} WHERE {within}",
                columns=one if part.level == RAW else ROLL_UP,
                place=place(part, tables.folder),
                within=within(part.stretches),
            )
            for part in plan(_shelves(kind, seen), hour, hour + HOUR, 0)
        ),
    )


def _shelves(kind: str, seen: View) -> list[Shelf]:
    return [seen.shelves[kind], seen.shelves[late(kind)]]


def _ask(seen: View, statement: Sql) -> dict[str, Any]:
    return seen.cursor.execute(statement).fetchnumpy()


def _rows(answer: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    columns = {name: np.asarray(column).tolist() for name, column in answer.items()}
    return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def _kept(field: str, kind: str, row: Mapping[str, Any]) -> dict[str, Value]:
    def typed(value: Any) -> Value:
        match kind:
            case "unsigned":
                return UInt(value)
            case "integer":
                return int(value)
            case "boolean":
                return bool(value)
        return value  # type: ignore[no-any-return]

    fields: dict[str, Value] = {f"count_{field}": int(row["n"]), f"last_{field}": typed(row["last"])}
    if kind != "string":
        fields |= {f"min_{field}": typed(row["low"]), f"max_{field}": typed(row["high"])}
    if kind in _NUMBERS:
        fields[f"mean_{field}"] = row["total"] / row["n"]
    return fields
