"""Answers to InfluxQL: tables in JSON, read into what the store gives. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from alerts.i18n.shorten import shortened
from collectors.linereader import decode
from collectors.point import UInt, Value
from server.store import Found, Spender
from server.store.influx.ql import HOUR
from server.store.kinds import spent

_REASON: Final = 200  # letters of an answer that is no JSON


class Rows(msgspec.Struct):
    """A table in an answer: one series or group, or a part of it."""

    name: str = ""
    tags: dict[str, str] = {}
    columns: list[str] = []
    values: list[list[Any]] = []


class Statement(msgspec.Struct):
    """The answer to one statement, or a part of it."""

    statement_id: int = 0
    series: list[Rows] = []
    error: str = ""


class Answer(msgspec.Struct):
    """One line of an answer in chunks."""

    results: list[Statement] = []
    error: str = ""


def tables(body: bytes, count: int) -> list[list[Rows]]:
    """Read an answer in chunks, one JSON text a line; ValueError when it tells of an error."""
    tables: list[list[Rows]] = [[] for _ in range(count)]
    for answer in msgspec.json.Decoder(Answer).decode_lines(body):
        for error in (answer.error, *(statement.error for statement in answer.results)):
            if error:
                raise ValueError(error)
        for statement in answer.results:
            tables[statement.statement_id] += statement.series
    if any(rows.name == "databases" for table in tables for rows in table):
        # whatever it is asked
        raise ValueError("this is VictoriaMetrics: it takes points, but cannot be read by InfluxQL")
    return tables


def kinds(answer: Iterable[Rows]) -> dict[str, str]:
    """Read the answer to ``ql.fields``: field -> type."""
    return {row[0]: row[1] for rows in answer for row in rows.values}


def typed(value: Any, kind: str) -> Value:
    """Give a value its type back: JSON has 5 for the float 5.0."""
    match kind:
        case "float":
            return float(value)
        case "unsigned":
            return UInt(value)
        case _:
            return value  # type: ignore[no-any-return]


def merged(tables: Iterable[Rows], tags: Sequence[str]) -> dict[tuple[str, ...], dict[int, Any]]:
    """Join the parts of each group: its tags' values -> window -> value."""
    groups: dict[tuple[str, ...], dict[int, Any]] = {}
    for rows in tables:
        group = groups.setdefault(tuple(rows.tags.get(tag, "") for tag in tags), {})
        group.update((time, value) for time, value in rows.values)
    return groups


def whole(
    raw: Mapping[tuple[str, ...], dict[int, Any]], rolled: Sequence[Mapping[tuple[str, ...], dict[int, Any]]], step: int
) -> dict[tuple[str, ...], dict[int, Any]]:
    """Put roll-ups (sums and counts when there are two) to raw values: whole hours of them win, else they fill hours without values."""
    if len(rolled) == 1:
        old = dict(rolled[0])
    else:
        sums, counts = rolled
        old = {
            label: {time: value / counts[label][time] for time, value in values.items() if counts[label].get(time)}
            for label, values in sums.items()
            if label in counts
        }
    found = {}
    for label in {**old, **raw}:
        values = raw.get(label, {})
        hours = set() if step % HOUR == 0 else {time // HOUR for time in values}
        left = {time: value for time, value in old.get(label, {}).items() if time // HOUR not in hours}
        found[label] = dict(sorted({**values, **left}.items()))
    return found


def counted(answer: Iterable[Rows]) -> dict[tuple[str, str], int]:
    """Read the answer to ``ql.count``: (measurement, field) -> number of values."""
    return {
        (rows.name, column.removeprefix("count_")): value
        for rows in answer
        for row in rows.values
        for column, value in zip(rows.columns, row, strict=True)
        if column != "time" and value
    }


def found(places: Iterable[Sequence[Iterable[Rows]]]) -> Found:
    """Read the answers to ``ql.find`` of some places, the older ones first; a series may be in several."""
    values: dict[tuple[tuple[str, str], ...], int] = {}
    times: list[int] = []
    for series, *ends in places:
        for rows in series:
            label = tuple((tag, value) for tag, value in rows.tags.items() if value)
            values[label] = values.get(label, 0) + sum(int(sum(filter(None, row[1:]))) for row in rows.values)
        times += [row[0] for end in ends for rows in end for row in rows.values]
    tags = [dict(label) for label in sorted(values)]
    return Found(len(tags), sum(values.values()), min(times, default=0), max(times, default=0), tags[:5])


def spenders(answer: Iterable[Rows]) -> list[Spender]:
    """Count series by their keys, which are the heads of lines."""
    heads = "".join(f"{row[0]} f=1 0\n" for rows in answer for row in rows.values)
    return spent((point.measurement, point.tags) for point in decode(heads.encode(), now=0).points)


def reason(body: Any) -> str:
    """Return the reason in an error's body; InfluxDB 1 calls it ``error``, 2 ``message``."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        found = json.loads(text)
    except ValueError:
        return shortened(text.strip(), _REASON)
    return str(found.get("message") or found.get("error") or "") if isinstance(found, dict) else text
