"""Questions to the embedded store as SQL over tables, raw files and roll-ups; and their answers. Knows no connection."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise, starmap
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.store import RATES, Aggregate, Range, Series
from server.store.embedded import rates
from server.store.embedded.columns import Chunk
from server.store.embedded.held import Block, Held, Name, cut, form
from server.store.embedded.levels import HOUR, RAW, ROLLED, File, Part, S, Shelf, Stretch, plan
from server.store.embedded.lookup import Lookup
from server.store.embedded.windows import NEEDED, windows
from server.store.kinds import KINDS, require_suited

TABLES: Final = {kind: f"{kind}_points" for kind in KINDS.values()}
Column = NDArray[Any]
Columns = dict[str, Column]
# runs a statement over a table "wanted" with these columns
Ask = Callable[[str, Mapping[str, int], Mapping[str, NDArray[Any]]], Columns]

_FEW: Final = 64  # hours of one series: some ten thousand rows
_OFTEN: Final = 10 * S  # how often a series may have a value, for guessing what it takes
# a window starts at a whole multiple of the step, also before 1970
_WINDOW: Final = "time - ((time % $step) + $step) % $step"
# every place gives the same columns, a raw value as a roll-up of one
ROLL_UP: Final = "n, low, high, total, last, last_time"
_ONE: Final = "1 AS n, value AS low, value AS high, {total} AS total, value AS last, time AS last_time"  # as in ROLL_UP
_JOINED: Final = {
    "n": "CAST(sum(n) AS DOUBLE) AS n",
    "low": "CAST(min(low) AS DOUBLE) AS low",
    "high": "CAST(max(high) AS DOUBLE) AS high",
    "total": "sum(total) AS total",
    # of several series that are equally new the greatest counts, as in InfluxDB
    "last": "arg_max(last, (last_time, last)) AS last",
    "last_time": "max(last_time) AS last_time",
}
_LAST_ALONE: Final = "arg_max(last, last_time) AS last"  # three times as fast
_RANGE: Final = f"""
    SELECT grp, {_WINDOW} AS moment, {{columns}}
    FROM ({{rows}}) GROUP BY grp, moment"""  # noqa: S608 - our own names
_PLAIN: Final = {name: f"CAST({name} AS DOUBLE) AS {name}" for name in ("n", "low", "high")}
_LATEST: Final = """
    SELECT key, max(last_time) AS time, arg_max(last, last_time) AS value
    FROM ({rows}) GROUP BY key HAVING max(last_time) >= $since"""


class _Question(NamedTuple):
    """What is asked for: some keys of one type, each with the number of its group."""

    kind: str
    keys: Column
    groups: Column
    aggregate: Aggregate
    step: int
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
    question = _Question(kind, keys, groups, query.aggregate, query.step, field)
    # a roll-up does not tell how often a counter began again
    parts = plan(shelves[kind], query.start, query.end, 0 if query.aggregate in RATES else query.step)
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


def _found(question: _Question, parts: Sequence[Part], ask: Ask, folder: Path, held: Held) -> Columns:
    """Return rows of all parts: those of files from memory, into which they are read first; else what SQL joins."""
    kind, keys, groups, aggregate, step, field = question
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
            rates.statement(aggregate, kind, rows, _WINDOW)
            if aggregate in RATES
            else _statement(aggregate, rows, alone=alone, few=few)
        )
        found.append(ask(statement, {"step": step}, {"key": keys, "grp": groups}))
    return {name: np.concatenate([rows[name] for rows in found]) for name in found[0]} if found else {}


def _lasting(question: _Question, part: Part) -> bool:
    """Tell whether a part is worth being held: whole files that nothing overrules, of values as they came only a few."""
    if not part.files or part.overruled or question.kind == "string":
        return False
    if part.level != RAW:
        return True
    files = sorted(part.files, key=lambda file: file.start)
    apart = all(file.end <= later.start for file, later in pairwise(files))
    return apart and len(question.keys) * sum(file.width for file in files) <= _FEW * HOUR


def _remembered(question: _Question, parts: Sequence[Part], ask: Ask, folder: Path, held: Held) -> list[Columns]:
    """Return the rows of each part from memory."""
    _, keys, groups, aggregate, step, _ = question
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
        answer["moment"] = rows["time"][there] // step * step
        answer["grp"] = np.repeat(np.tile(groups, len(part.files)), lengths)[there]
        answers.append(answer)
    return answers


def _read(question: _Question, parts: Sequence[Part], names: Sequence[Name], ask: Ask, folder: Path) -> list[Block]:
    """Read blocks from files in one statement."""
    needed = NEEDED[question.aggregate]
    columns = ", ".join(_PLAIN.get(name, name) for name in ("time", *needed))
    keys = np.array(sorted({key for _, key, _ in names}), dtype=np.uint32)
    among = f"WHERE key = {keys[0]}" if len(keys) == 1 else "JOIN wanted USING (key)"
    wanted = {name for name, _, _ in names}
    files = [
        sorted((file for file in part.files if file.name in wanted), key=lambda file: file.start) for part in parts
    ]
    selects = [
        f"SELECT {number} AS part, key, {columns} FROM {_rolled(question, part, some, folder)} {among}"  # noqa: S608 - our own names
        for number, (part, some) in enumerate(zip(parts, files, strict=True))
        if some
    ]
    answer = ask(" UNION ALL ".join(selects), {}, {"key": keys})
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


def _rolled(question: _Question, part: Part, files: Sequence[File], folder: Path) -> str:
    """Return the rows of some files of a part as roll-ups."""
    source = place(question.kind, part._replace(files=tuple(files)), folder, question.field)
    if part.level != RAW:
        return source
    return f"(SELECT key, time, {_ONE.format(total='CAST(value AS DOUBLE)')} FROM {source})"  # noqa: S608 - our own names


def newest(kind: str, keys: Sequence[int], bounds: Stretch, shelf: Shelf, ask: Ask, folder: Path) -> Chunk:
    """Find the newest value of each key in a stretch of time."""
    rows = _rows(kind, plan(shelf, *bounds, 0), Aggregate.LAST, folder, keys)
    if not rows:
        return Chunk(np.array([], np.uint32), np.array([], np.int64), np.array([]))
    wanted = {"key": np.array(keys, dtype=np.uint32), "grp": np.zeros(len(keys), dtype=np.uint32)}
    found = ask(_LATEST.format(rows=rows), {"since": bounds[0]}, wanted)
    return Chunk(found["key"], found["time"], found["value"])


def files_list(paths: Iterable[Path]) -> str:
    """Name files as DuckDB reads them."""
    quoted = ", ".join(text(path) for path in paths)
    return f"read_parquet([{quoted}])"


def text(path: Path, *, wild: bool = True) -> str:
    """Quote a path; where wildcards are ``wild`` they are written so that they stand for themselves."""
    plain = re.sub(r"[*?\[]", r"[\g<0>]", str(path)) if wild else str(path)
    return "'" + plain.replace("'", "''") + "'"


def _statement(aggregate: Aggregate, rows: str, *, alone: bool, few: bool) -> str:
    """Return the question that joins rows to one of each window; ``alone`` when no group has two series.

    A ``few`` rows are joined later: planning that takes longer.
    """
    if few:
        columns = ", ".join(_PLAIN.get(name, name) for name in NEEDED[aggregate])
        return f"SELECT grp, {_WINDOW} AS moment, {columns} FROM ({rows})"  # noqa: S608 - our own names
    joined = {**_JOINED, "last": _LAST_ALONE} if alone else _JOINED
    columns = ", ".join(joined[name] for name in NEEDED[aggregate])
    return _RANGE.format(rows=rows, columns=columns)


def _rows(
    kind: str,
    parts: Sequence[Part],
    aggregate: Aggregate,
    folder: Path,
    keys: Sequence[int],
    field: int | None = None,
) -> str:
    """Return the rows of all parts as roll-ups with the column ``grp`` of ``wanted``; "" when there are no parts.

    ``field`` is that of all keys, None when they may have several.
    """
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
            f"SELECT {group}, key, time, {columns} FROM {place(kind, part, folder, field)}{join}"  # noqa: S608 - our own names
            f" WHERE {condition}{within(part.stretches)}"
        )
    return " UNION ALL ".join(selects)


def place(kind: str, part: Part, folder: Path, field: int | None = None) -> str:
    """Return where the rows of a part are: the table, or files without what the table overrules; of one field or of all."""
    if not part.files:
        return TABLES[kind]
    files = files_list([folder / file.name for file in part.files])
    if field is not None and part.files[0].by_field:
        files = f"(SELECT * FROM {files} WHERE field = {field})"  # noqa: S608 - our own names
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
