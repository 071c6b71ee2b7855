"""InfluxQL: the one query language that InfluxDB 1, 2 and 3 share. Pure text; every name and value is quoted."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from server.store import Aggregate, Deletion, Range
from server.store.sql import Sql, joined, sql

ROLLED: Final = "1h"  # the retention policy of roll-ups, and the width of their windows
KEPT: Final = ("min", "max", "mean", "count", "last")  # of each field, e.g. mean_usage
HOUR: Final = 3600 * 10**9
SIGNED_MAX: Final = 2**63 - 1
# https://docs.influxdata.com/influxdb/v1/troubleshooting/frequently-asked-questions: the times that InfluxDB can store
_OLDEST: Final = -9_223_372_036_854_775_806
_NEWEST: Final = 9_223_372_036_854_775_806

# of a pair of values; no tag has such a name
_GROWN, _SPENT, _MEAN = Sql('"pantau grown"'), Sql('"pantau spent"'), Sql('"pantau mean"')
_SECONDS: Final = {"h": 3600, "m": 60, "s": 1}
_ESCAPES: Final = {"\\": r"\\", "\n": r"\n"}
_NAME: Final = str.maketrans({**_ESCAPES, '"': r"\""})
_TEXT: Final = str.maketrans({**_ESCAPES, "'": r"\'"})


def name(identifier: str) -> Sql:
    """Quote the name of a database, measurement, tag or field."""
    return Sql(f'"{identifier.translate(_NAME)}"')


def text(value: str) -> Sql:
    """Quote a string, e.g. the value of a tag."""
    return Sql(f"'{value.translate(_TEXT)}'")


def source(measurement: str, policy: str) -> Sql:
    """Name a measurement, in a retention policy unless that is ""."""
    return joined(".", map(name, [policy, measurement] if policy else [measurement]))


def latest(where_from: Sql, field: str, bounds: tuple[int, int], where: Mapping[str, str]) -> Sql:
    """Ask for the newest value of a field of each series, from the first to the second of ``bounds`` (ns)."""
    times = [sql("time >= {first}", first=bounds[0]), sql("time <= {last}", last=bounds[1])]
    return sql(
        "SELECT last({field}) FROM {source} WHERE {conditions} GROUP BY *",
        field=name(field),
        source=where_from,
        conditions=_all(times, where),
    )


def over_time(where_from: Sql, query: Range) -> Sql:
    """Ask for a field over time; rates have questions of their own."""
    return _over_time(_of(query.aggregate, query.field), where_from, query)


def rates(where_from: Sql, query: Range, kind: str) -> list[Sql]:
    """Ask what each series grew by and in which time (ns) from value to value, and the mean of the two, by step.

    Of RATE the first answer has sums of those that did not fall, the second each of those that did; of IRATE the last ones.
    Unsigned values (``kind``) that fall grow by 2^64 less the fall.
    """
    unsigned = kind == "unsigned"
    grew = sql("<= {most}", most=SIGNED_MAX) if unsigned else Sql(">= 0")
    fell = sql("> {most}", most=SIGNED_MAX) if unsigned else Sql("< 0")
    names = {"grown": _GROWN, "spent": _SPENT, "mean": _MEAN}
    pairs = sql(
        "(SELECT difference({field}) AS {grown}, elapsed({field}, 1ns) AS {spent}, moving_average({field}, 2) AS {mean}"
        " FROM {source} WHERE {conditions} GROUP BY *)",
        field=name(query.field),
        source=where_from,
        conditions=_all(_bounds(query), query.where),
        **names,
    )
    asked = {
        "pairs": pairs,
        "bounds": _all(_bounds(query), {}),
        "steps": sql("GROUP BY time({step}ns), * fill(none)", step=query.step),
        **names,
    }
    if query.aggregate is Aggregate.IRATE:
        return [sql("SELECT last({grown}), {spent}, {mean} FROM {pairs} WHERE {bounds} {steps}", **asked)]
    return [
        sql(
            "SELECT sum({grown}), sum({spent}) FROM {pairs} WHERE {grown} {grew} AND {bounds} {steps}",
            grew=grew,
            **asked,
        ),
        sql("SELECT {grown}, {spent}, {mean} FROM {pairs} WHERE {grown} {fell} GROUP BY *", fell=fell, **asked),
    ]


def rolled_rates(query: Range) -> Sql:
    """Ask for what roll-ups of an hour tell of a counter: the last, least and greatest value of each series and hour."""
    kept = (name(f"{kept}_{query.field}") for kept in (Aggregate.LAST, Aggregate.MIN, Aggregate.MAX))
    return sql(
        "SELECT {kept} FROM {source} WHERE {conditions} GROUP BY *",
        kept=joined(", ", kept),
        source=source(query.measurement, ROLLED),
        conditions=_all(_bounds(query), query.where),
    )


def rolled_over_time(query: Range) -> list[Sql]:
    """Ask the roll-ups of an hour for the same; MEAN takes two questions, for sums and for counts."""
    where_from, field = source(query.measurement, ROLLED), query.field
    sums = sql(
        "(SELECT {mean} * {count} AS total FROM {source} WHERE {conditions} GROUP BY *)",
        mean=name(f"mean_{field}"),
        count=name(f"count_{field}"),
        source=where_from,
        conditions=_all(_bounds(query), query.where),
    )
    total, count = (
        _over_time(Sql("sum(total)"), sums, query),
        _over_time(_of(Aggregate.SUM, f"count_{field}"), where_from, query),
    )
    match query.aggregate:
        case Aggregate.SUM:
            return [total]
        case Aggregate.COUNT:
            return [count]
        case Aggregate.MEAN:
            return [total, count]
    return [_over_time(_of(query.aggregate, f"{query.aggregate}_{field}"), where_from, query)]


def _of(aggregate: Aggregate, field: str) -> Sql:
    return sql("{aggregate}({field})", aggregate=Sql(aggregate), field=name(field))


def _over_time(value: Sql, where_from: Sql, query: Range) -> Sql:
    return sql(
        "SELECT {value} FROM {source} WHERE {conditions} GROUP BY {groups} fill(none)",
        value=value,
        source=where_from,
        conditions=_all(_bounds(query), query.where),
        groups=joined(", ", [sql("time({step}ns)", step=query.step), *map(name, query.by)]),
    )


def _bounds(query: Range) -> list[Sql]:
    return _between(query.start, query.end)


def _between(start: int, end: int) -> list[Sql]:
    return [sql("time >= {start}", start=start), sql("time < {end}", end=end)]


def policies(bucket: str) -> Sql:
    """Ask for the retention policies of a database; to InfluxDB 2 these are buckets named ``database/policy``."""
    return sql("SHOW RETENTION POLICIES ON {bucket}", bucket=name(bucket))


def seconds(duration: str) -> int:
    """Read a duration as the server tells it, e.g. ``720h0m0s``."""
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))


def roll_up(bucket: str, policy: str, name_of_it: str, days: int) -> Sql:
    """Make the continuous query that rolls up hours, once a day, and again for ``days``: values may come late."""
    return sql(
        "CREATE CONTINUOUS QUERY {name} ON {bucket} RESAMPLE EVERY 1d FOR {days}d BEGIN"
        " SELECT {kept} INTO {bucket}.{rolled}.:MEASUREMENT"
        " FROM {bucket}.{policy}./.*/ GROUP BY time({width}), * END",
        name=name(name_of_it),
        bucket=name(bucket),
        days=days,
        kept=joined(", ", (sql("{kept}(*)", kept=Sql(kept)) for kept in KEPT)),
        rolled=name(ROLLED),
        policy=name(policy),
        width=Sql(ROLLED),
    )


def count(policy: str, start: int, end: int) -> Sql:
    """Count the values of every field of every measurement."""
    return sql(
        "SELECT count(*) FROM {source} WHERE {conditions}",
        source=sql("{policy}./.*/", policy=name(policy)) if policy else Sql("/.*/"),
        conditions=_all(_between(start, end), {}),
    )


def delete(measurement: str) -> Sql:
    """Delete the points of a measurement."""
    return sql("DELETE FROM {measurement}", measurement=name(measurement))


def delete_some(deletion: Deletion) -> Sql:
    """Delete points of some series and time, in all retention policies (InfluxDB 1)."""
    # it takes no ::tag here
    tags = (sql("{tag} = {value}", tag=name(tag), value=text(value)) for tag, value in deletion.where.items())
    return sql(
        "DELETE FROM {measurement} WHERE {conditions}",
        measurement=name(deletion.measurement),
        conditions=joined(" AND ", [*_within(deletion), *tags]),
    )


def find(where_from: Sql, deletion: Deletion, *, rolled: bool = False) -> list[Sql]:
    """Ask for the number of values of each field and series, also of rolled up ones, and for the oldest and the newest point."""
    asked = {"source": where_from, "conditions": _all(_within(deletion), deletion.where)}
    number = Sql("sum(/^count_/)" if rolled else "count(*)")
    return [
        sql("SELECT {number} FROM {source} WHERE {conditions} GROUP BY *", number=number, **asked),
        sql("SELECT * FROM {source} WHERE {conditions} ORDER BY time ASC LIMIT 1", **asked),
        sql("SELECT * FROM {source} WHERE {conditions} ORDER BY time DESC LIMIT 1", **asked),
    ]


def _within(deletion: Deletion) -> list[Sql]:
    # the server refuses times at the ends of what 64 bits hold
    return _between(max(deletion.start, _OLDEST), min(deletion.end, _NEWEST))


def fields(where_from: Sql) -> Sql:
    """Ask for the fields of a measurement and their types."""
    return sql("SHOW FIELD KEYS FROM {source}", source=where_from)


def tag_values(where_from: Sql, tag: str, where: Mapping[str, str]) -> Sql:
    """Ask for the values of a tag."""
    condition = sql(" WHERE {conditions}", conditions=_all([], where)) if where else Sql("")
    return sql(
        "SHOW TAG VALUES FROM {source} WITH KEY = {tag}{condition}",
        source=where_from,
        tag=name(tag),
        condition=condition,
    )


def _all(conditions: Sequence[Sql], where: Mapping[str, str]) -> Sql:
    # ::tag, or an unknown tag would be taken for a field
    tags = (sql("{tag}::tag = {value}", tag=name(tag), value=text(value)) for tag, value in where.items())
    return joined(" AND ", [*conditions, *tags])
