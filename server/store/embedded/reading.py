"""Questions to the embedded store as SQL over tables, raw files and roll-ups; and their answers. Knows no connection."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.store import RATES, Aggregate, Range, Series
from server.store.embedded import rates
from server.store.embedded.columns import Chunk
from server.store.embedded.file_cache import Block, Held, Name, cut, form
from server.store.embedded.layers import late
from server.store.embedded.levels import HOUR, RAW, ROLLED, File, Part, S, Shelf, Stretch, plan
from server.store.embedded.lookup import Lookup
from server.store.embedded.windows import NEEDED, windows
from server.store.kinds import require_suited
from server.store.sql import Sql, joined, literal, sql

Column = NDArray[Any]
Columns = dict[str, Column]
# runs a statement over a table "wanted" with these columns
Ask = Callable[[Sql, Mapping[str, int], Mapping[str, NDArray[Any]]], Columns]

_TIME: Final = Sql("time")
_FEW: Final = 64  # hours of one series: some ten thousand rows
_OFTEN: Final = 10 * S  # how often a series may have a value, for guessing what it takes
# every place gives the same columns, a raw value as a roll-up of one
ROLL_UP: Final = Sql("n, low, high, total, last, last_time")
ONE: Final = Sql(
    "1 AS n, value AS low, value AS high, CAST(value AS DOUBLE) AS total, value AS last, time AS last_time"
)
_ONE_TEXT: Final = Sql("1 AS n, value AS low, value AS high, 0 AS total, value AS last, time AS last_time")
_ONE_COUNT: Final = Sql("1 AS n, NULL AS low, NULL AS high, 0 AS total, NULL AS last, time AS last_time")
_JOINED: Final = {
    "n": Sql("CAST(sum(n) AS DOUBLE) AS n"),
    "low": Sql("CAST(min(low) AS DOUBLE) AS low"),
    "high": Sql("CAST(max(high) AS DOUBLE) AS high"),
    "total": Sql("sum(total) AS total"),
    # of several series that are equally new the greatest counts, as in InfluxDB
    "last": Sql("arg_max(last, (last_time, last)) AS last"),
    "last_time": Sql("max(last_time) AS last_time"),
}
_LAST_ALONE: Final = Sql("arg_max(last, last_time) AS last")  # three times as fast
_PLAIN: Final = {
    **{name: sql("CAST({name} AS DOUBLE) AS {name}", name=Sql(name)) for name in ("n", "low", "high")},
    **{name: Sql(name) for name in ("time", "total", "last", "last_time")},
}


class _Question(NamedTuple):
    """What is asked for: some keys of one type, each with the number of its group."""

    kind: str
    keys: Column
    groups: Column
    aggregate: Aggregate
    field: int | None


def over_time(
    query: Range,
    lookup: Lookup,
    shelves: Mapping[str, Shelf],
    ask: Ask,
    folder: Path,
    held: Held,
    field_of: Callable[[int], int | None],
) -> list[Series]:
    """Answer ``Store.range``; ValueError when the aggregate does not suit the field's type."""
    kind = lookup.fields(query.measurement).get(query.field)
    labels = lookup.groups(query.measurement, query.field, query.where, query.by)
    if kind is None or not labels:
        return []
    require_suited(query, kind)
    keys = np.array([key for members in labels.values() for key in members], dtype=np.uint32)
    groups = np.repeat(np.arange(len(labels), dtype=np.uint32), [len(members) for members in labels.values()])
    # one key is found as quickly without its field
    field = field_of(int(keys[0])) if len(keys) > 1 else None
    question = _Question(kind, keys, groups, query.aggregate, field)
    # a roll-up does not tell how often a counter began again
    parts = plan(_both(shelves, kind), query.start, query.end, query.step, rolled=query.aggregate not in RATES)
    rows = _found(question, parts, ask, folder, held)
    if not rows:
        return []
    group, moments, values = windows(query.aggregate, rows)
    edges = np.searchsorted(group, np.arange(len(labels) + 1)).tolist()
    return [
        Series(
            dict(zip(query.by, label, strict=True)),
            moments[edges[index] : edges[index + 1]].tolist(),
            values[edges[index] : edges[index + 1]].tolist(),
        )
        for index, label in enumerate(labels)
        if edges[index] < edges[index + 1]
    ]


def _both(shelves: Mapping[str, Shelf], kind: str) -> list[Shelf]:
    return [shelves[kind], shelves[late(kind)]]


def _found(question: _Question, parts: Sequence[Part], ask: Ask, folder: Path, held: Held) -> Columns:
    """Return rows of all parts: those of files from memory, into which they are read first; else what SQL joins."""
    kind, keys, groups, aggregate, field = question
    lasting = [part for part in parts if _lasting(question, part)]
    count = len(keys) * sum(file.width // ROLLED.get(part.level, _OFTEN) for part in lasting for file in part.files)
    found = []
    if lasting and aggregate not in RATES and held.has_room(count * form(kind, NEEDED[aggregate]).itemsize):
        found = _remembered(question, lasting, ask, folder, held)
        parts = [part for part in parts if part not in lasting]
    if parts:
        hours = sum(end - start for part in parts for start, end in part.stretches) / HOUR
        rows = _rows(kind, parts, aggregate, folder, keys.tolist(), field)
        alone, few = len(keys) == groups[-1] + 1, hours * len(keys) <= _FEW
        statement = (
            rates.statement(aggregate, kind, rows, merged=len({part.table for part in parts if part.unit}) > 1)
            if aggregate in RATES
            else _statement(aggregate, rows, alone=alone, few=few)
        )
        found.append(ask(statement, {}, {"key": keys, "grp": groups}))
    return {name: np.concatenate([rows[name] for rows in found]) for name in found[0]} if found else {}


def _lasting(question: _Question, part: Part) -> bool:
    """Return whether a part is worth being held: whole files that nothing overrules, of values as they came only a few."""
    if not part.files or part.overruled or question.kind == "string":
        return False
    if part.level != RAW:
        return True
    files = sorted(part.files, key=lambda file: file.start)
    apart = all(file.end <= later.start for file, later in pairwise(files))
    return apart and len(question.keys) * sum(file.width for file in files) <= _FEW * HOUR


def _remembered(question: _Question, parts: Sequence[Part], ask: Ask, folder: Path, held: Held) -> list[Columns]:
    """Return the rows of each part from memory."""
    _, keys, groups, aggregate, _ = question
    needed = NEEDED[aggregate]
    names = [(file.name, key, needed) for part in parts for file in part.files for key in keys.tolist()]
    blocks = held.blocks(names, lambda missing: _read(question, parts, missing, ask, folder))
    answers = []
    for part in parts:
        count = len(part.files) * len(keys)
        mine, blocks = blocks[:count], blocks[count:]
        rows, lengths = np.concatenate(mine), [len(block) for block in mine]
        there = np.zeros(len(rows), dtype=np.bool_)
        for start, end in part.stretches:
            there |= (rows["time"] >= start) & (rows["time"] < end)
        answer = {name: rows[name][there] for name in needed}
        answer["moment"] = rows["time"][there] // part.window * part.window
        answer["grp"] = np.repeat(np.tile(groups, len(part.files)), lengths)[there]
        answers.append(answer)
    return answers


def _read(question: _Question, parts: Sequence[Part], names: Sequence[Name], ask: Ask, folder: Path) -> list[Block]:
    """Read blocks from files in one statement."""
    needed = NEEDED[question.aggregate]
    columns = joined(", ", (_PLAIN[name] for name in ("time", *needed)))
    keys = np.array(sorted({key for _, key, _ in names}), dtype=np.uint32)
    among = sql("WHERE key = {key}", key=int(keys[0])) if len(keys) == 1 else Sql("JOIN wanted USING (key)")
    wanted = {name for name, _, _ in names}
    files = [
        sorted((file for file in part.files if file.name in wanted), key=lambda file: file.start) for part in parts
    ]
    selects = [
        sql(
            "SELECT {number} AS part, key, {columns} FROM {rows} {among}",
            number=number,
            columns=columns,
            rows=_rolled(question, part, some, folder),
            among=among,
        )
        for number, (part, some) in enumerate(zip(parts, files, strict=True))
        if some
    ]
    answer = ask(joined(" UNION ALL ", selects), {}, {"key": keys})
    rows = np.empty(len(answer["key"]), dtype=form(question.kind, needed))
    for name in ("time", *needed):
        rows[name] = answer[name]
    numbers: dict[str, int] = {}
    places = np.zeros(len(rows), dtype=np.int64)
    for number, some in enumerate(files):
        # files of one part do not overlap
        mine = answer["part"] == number
        places[mine] = len(numbers) - 1 + np.searchsorted([file.start for file in some], rows["time"][mine], "right")
        numbers |= {file.name: place for place, file in enumerate(some, len(numbers))}
    return cut(rows, places, answer["key"].astype(np.int64), [(numbers[name], key) for name, key, _ in names])


def _rolled(question: _Question, part: Part, files: Sequence[File], folder: Path) -> Sql:
    """Return the rows of some files of a part as roll-ups."""
    source = place(part._replace(files=tuple(files)), folder, question.field)
    if part.level != RAW:
        return source
    return sql("(SELECT key, time, {columns} FROM {source})", columns=ONE, source=source)


def newest(
    kind: str, keys: Sequence[int], bounds: Stretch, shelves: Mapping[str, Shelf], ask: Ask, folder: Path
) -> Chunk:
    """Find the newest value of each key in a stretch of time."""
    rows = _rows(kind, plan(_both(shelves, kind), *bounds, 0), Aggregate.LAST, folder, keys)
    if not rows:
        return Chunk(np.array([], np.uint32), np.array([], np.int64), np.array([]))
    wanted = {"key": np.array(keys, dtype=np.uint32), "grp": np.zeros(len(keys), dtype=np.uint32)}
    statement = sql(
        "SELECT key, max(last_time) AS time, arg_max(last, last_time) AS value"
        " FROM ({rows}) GROUP BY key HAVING max(last_time) >= $since",
        rows=rows,
    )
    found = ask(statement, {"since": bounds[0]}, wanted)
    return Chunk(found["key"], found["time"], found["value"])


def files_list(paths: Iterable[Path]) -> Sql:
    """Name files as DuckDB reads them."""
    return sql("read_parquet([{quoted}])", quoted=joined(", ", map(text, paths)))


def text(path: Path, *, wild: bool = True) -> Sql:
    """Quote a path; where wildcards are ``wild`` they are written so that they stand for themselves."""
    return literal(re.sub(r"[*?\[]", r"[\g<0>]", str(path)) if wild else str(path))


def window_of(width: int) -> Sql:
    """Return the start of the window of a time: a whole multiple of its width, also before 1970."""
    return sql("time - ((time % {width}) + {width}) % {width}", width=width)


def _statement(aggregate: Aggregate, rows: Sql, *, alone: bool, few: bool) -> Sql:
    """Return the question that joins rows to one of each window; ``alone`` when no group has two series.

    A ``few`` rows are joined later: planning that takes longer.
    """
    if few:
        columns = joined(", ", (_PLAIN[name] for name in NEEDED[aggregate]))
        return sql("SELECT grp, moment, {columns} FROM ({rows})", columns=columns, rows=rows)
    how = {**_JOINED, "last": _LAST_ALONE} if alone else _JOINED
    columns = joined(", ", (how[name] for name in NEEDED[aggregate]))
    return sql(
        "SELECT grp, moment, {columns} FROM ({rows}) GROUP BY grp, moment",
        columns=columns,
        rows=rows,
    )


def _rows(
    kind: str,
    parts: Sequence[Part],
    aggregate: Aggregate,
    folder: Path,
    keys: Sequence[int],
    field: int | None = None,
) -> Sql:
    """Return the rows of all parts as roll-ups with their window and the column ``grp`` of ``wanted``; "" when there are no parts.

    ``field`` is that of all keys, None when they may have several.
    """
    group, join, condition = Sql("grp"), Sql(" JOIN wanted USING (key)"), Sql("")
    if len(keys) == 1:
        # a plain condition is planned and pruned faster than a join
        group, join, condition = Sql("0 AS grp"), Sql(""), sql("key = {key} AND ", key=keys[0])
    value = ONE if kind != "string" else _ONE_TEXT if aggregate is Aggregate.LAST else _ONE_COUNT
    return joined(
        " UNION ALL ",
        (
            sql(
                "SELECT {group}, key, {unit} AS unit, {window} AS moment, {columns} FROM {place}{join} WHERE {condition}{within}",
                group=group,
                unit=window_of(part.unit) if part.unit else _TIME,
                window=window_of(part.window) if part.window else 0,
                columns=value if part.level == RAW else ROLL_UP,
                place=place(part, folder, field),
                join=join,
                condition=condition,
                within=within(part.stretches),
            )
            for part in parts
        ),
    )


def place(part: Part, folder: Path, field: int | None = None) -> Sql:
    """Return where the rows of a part are: the table, or files without what the table overrules; of one field or of all."""
    if not part.files:
        return part.table
    files = files_list([folder / file.name for file in part.files])
    if field is not None and part.files[0].by_field:
        files = sql("(SELECT * FROM {files} WHERE field = {field})", files=files, field=field)
    return sql("({rows})", rows=not_overruled(part.table, files, part.stretches)) if part.overruled else files


def not_overruled(table: Sql, files: Sql, stretches: Sequence[Stretch]) -> Sql:
    """Return the rows of raw files whose time and key is not in the table."""
    return sql(
        "SELECT old.key, old.time, old.value FROM {files} AS old"
        " ANTI JOIN (SELECT key, time FROM {table} WHERE {within}) AS new"
        " ON old.key = new.key AND old.time = new.time WHERE {old_within}",
        files=files,
        table=table,
        within=within(stretches),
        old_within=within(stretches, Sql("old.time")),
    )


def within(stretches: Sequence[Stretch], column: Sql = _TIME) -> Sql:
    """Return the condition that a time lies in one of the stretches."""
    conditions = (
        sql("{column} >= {start} AND {column} < {end}", column=column, start=start, end=end) for start, end in stretches
    )
    return sql("({any})", any=joined(" OR ", conditions))
