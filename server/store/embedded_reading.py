"""Questions to the embedded store as SQL over tables, raw files and roll-ups; and their answers. Knows no connection."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.store import Aggregate, Range, Series
from server.store.embedded_columns import Chunk
from server.store.embedded_levels import RAW, Part, Shelf, Stretch, plan
from server.store.embedded_series import Dictionary
from server.store.kinds import KINDS, require_suited

TABLES: Final = {kind: f"{kind}_points" for kind in KINDS.values()}
Columns = dict[str, NDArray[Any]]
# runs a statement over a table "wanted" with these columns
Ask = Callable[[str, Mapping[str, int], Mapping[str, NDArray[Any]]], Columns]

_EVER: Final = 2**63 - 1
# a window starts at a whole multiple of the step, also before 1970
_WINDOW: Final = "time - ((time % $step) + $step) % $step"
# every place gives the same columns, a raw value as a roll-up of one
ROLL_UP: Final = "n, low, high, total, last, last_time"
_ONE: Final = "1 AS n, value AS low, value AS high, {total} AS total, value AS last, time AS last_time"  # as in ROLL_UP
_AGGREGATES: Final = {
    Aggregate.MEAN: "sum(total) / sum(n)",
    Aggregate.MIN: "min(low)",
    Aggregate.MAX: "max(high)",
    # of several series that are equally new the greatest counts, as in InfluxDB
    Aggregate.LAST: "arg_max(last, (last_time, last))",
    Aggregate.SUM: "sum(total)",
    Aggregate.COUNT: "sum(n)",
}
_LAST_ALONE: Final = "arg_max(last, last_time)"  # three times as fast
_RANGE: Final = f"""
    SELECT grp, {_WINDOW} AS moment, CAST({{value}} AS DOUBLE) AS value
    FROM ({{rows}}) GROUP BY grp, moment"""  # noqa: S608 - our own names
# differences are taken as {exact}: a double would round counters beyond 2^53, an unsigned would underflow
_RATE: Final = f"""
    WITH lasts AS (
        SELECT grp, key, {_WINDOW} AS moment, CAST(arg_max(last, last_time) AS {{exact}}) AS value
        FROM ({{rows}}) GROUP BY grp, key, moment),
    changes AS (
        SELECT grp, moment, value - lag(value) OVER series AS change, moment - lag(moment) OVER series AS span
        FROM lasts WINDOW series AS (PARTITION BY key ORDER BY moment))
    SELECT grp, moment, sum(CAST(change AS DOUBLE) / (CAST(span AS DOUBLE) / 1e9)) AS value
    FROM changes WHERE change >= 0 GROUP BY grp, moment"""  # noqa: S608 - our own names
_LATEST: Final = """
    SELECT key, max(last_time) AS time, arg_max(last, last_time) AS value
    FROM ({rows}) GROUP BY key HAVING max(last_time) >= $since"""


def over_time(
    query: Range, dictionary: Dictionary, shelves: Mapping[str, Shelf], ask: Ask, folder: Path
) -> list[Series]:
    """Answer ``Store.range``; ValueError when the aggregate does not suit the field's type."""
    kind = dictionary.fields(query.measurement).get(query.field)
    groups = dictionary.groups(query.measurement, query.field, query.where, query.by)
    if kind is None or not groups:
        return []
    require_suited(query, kind)
    keys = [key for members in groups.values() for key in members]
    parts = plan(shelves[kind], query.start, query.end, query.step)
    rows = _rows(kind, parts, query.aggregate, folder, keys)
    if not rows:
        return []
    grouped = np.repeat(np.arange(len(groups), dtype=np.uint32), [len(members) for members in groups.values()])
    statement = _statement(query.aggregate, kind, rows, alone=len(keys) == len(groups))
    answer = ask(statement, {"step": query.step}, {"key": np.array(keys, dtype=np.uint32), "grp": grouped})
    order = np.lexsort((answer["moment"], answer["grp"]))
    moments, values = answer["moment"][order].tolist(), answer["value"][order].tolist()
    edges = np.searchsorted(answer["grp"][order], np.arange(len(groups) + 1)).tolist()
    return [
        Series(
            dict(zip(query.by, label, strict=True)),
            moments[edges[index] : edges[index + 1]],
            values[edges[index] : edges[index + 1]],
        )
        for index, label in enumerate(groups)
        if edges[index] < edges[index + 1]
    ]


def newest(kind: str, keys: Sequence[int], since: int, shelf: Shelf, ask: Ask, folder: Path) -> Chunk:
    """Find the newest value of each key at or after ``since``."""
    rows = _rows(kind, plan(shelf, since, _EVER, 0), Aggregate.LAST, folder, keys)
    if not rows:
        return Chunk(np.array([], np.uint32), np.array([], np.int64), np.array([]))
    wanted = {"key": np.array(keys, dtype=np.uint32), "grp": np.zeros(len(keys), dtype=np.uint32)}
    found = ask(_LATEST.format(rows=rows), {"since": since}, wanted)
    return Chunk(found["key"], found["time"], found["value"])


def files_list(paths: Iterable[Path]) -> str:
    """Name files as DuckDB reads them."""
    quoted = ", ".join(text(path) for path in paths)
    return f"read_parquet([{quoted}])"


def text(path: Path, *, wild: bool = True) -> str:
    """Quote a path; where wildcards are ``wild`` they are written so that they stand for themselves."""
    plain = re.sub(r"[*?\[]", r"[\g<0>]", str(path)) if wild else str(path)
    return "'" + plain.replace("'", "''") + "'"


def _statement(aggregate: Aggregate, kind: str, rows: str, *, alone: bool) -> str:
    """Return the question for one type of field; ``alone`` when no group has two series."""
    if aggregate is Aggregate.RATE:
        return _RATE.format(rows=rows, exact="DOUBLE" if kind == "float" else "HUGEINT")
    value = _LAST_ALONE if alone and aggregate is Aggregate.LAST else _AGGREGATES[aggregate]
    return _RANGE.format(rows=rows, value=value)


def _rows(kind: str, parts: Sequence[Part], aggregate: Aggregate, folder: Path, keys: Sequence[int]) -> str:
    """Return the rows of all parts as roll-ups with the column ``grp`` of ``wanted``; "" when there are no parts."""
    group, join, condition = "grp", " JOIN wanted USING (key)", ""
    if len(keys) == 1:
        # a plain condition is planned and pruned faster than a join
        group, join, condition = "0 AS grp", "", f"key = {keys[0]} AND "
    if kind == "string" and aggregate is not Aggregate.LAST:
        value = "1 AS n, NULL AS low, NULL AS high, 0 AS total, NULL AS last, time AS last_time"
    else:
        value = _ONE.format(total="0" if kind == "string" else "CAST(value AS DOUBLE)")
    selects = []
    for part in parts:
        columns = value if part.level == RAW else ROLL_UP
        selects.append(
            f"SELECT {group}, key, time, {columns} FROM {place(kind, part, folder)}{join}"  # noqa: S608 - our own names
            f" WHERE {condition}{within(part.stretches)}"
        )
    return " UNION ALL ".join(selects)


def place(kind: str, part: Part, folder: Path) -> str:
    """Return where the rows of a part are: the table, or files without what the table overrules."""
    if not part.files:
        return TABLES[kind]
    files = files_list([folder / name for name in part.files])
    return f"({not_overruled(TABLES[kind], files, part.stretches)})" if part.overruled else files


def not_overruled(table: str, files: str, stretches: Sequence[Stretch]) -> str:
    """Return the rows of raw files whose time and key is not in the table."""
    there = f"SELECT key, time FROM {table} WHERE {within(stretches)}"  # noqa: S608 - our own names
    return (
        f"SELECT old.key, old.time, old.value FROM {files} AS old"  # noqa: S608 - our own names
        f" ANTI JOIN ({there}) AS new ON old.key = new.key AND old.time = new.time WHERE {within(stretches, 'old.time')}"
    )


def within(stretches: Sequence[Stretch], column: str = "time") -> str:
    """Return the condition that a time lies in one of the stretches."""
    return "(" + " OR ".join(starmap(f"{column} >= {{}} AND {column} < {{}}".format, stretches)) + ")"
