"""InfluxQL: the one query language that InfluxDB 1, 2 and 3 share. Pure text; every name and value is quoted."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from server.store import Aggregate, Deletion, Range

ROLLED: Final = "1h"  # the retention policy of roll-ups, and the width of their windows
KEPT: Final = ("min", "max", "mean", "count", "last")  # of each field, e.g. mean_usage
HOUR: Final = 3600 * 10**9
SIGNED_MAX: Final = 2**63 - 1
# https://docs.influxdata.com/influxdb/v1/troubleshooting/frequently-asked-questions: the times that InfluxDB can store
_OLDEST: Final = -9_223_372_036_854_775_806
_NEWEST: Final = 9_223_372_036_854_775_806

# of a pair of values; no tag has such a name
_GROWN, _SPENT, _MEAN = '"pantau grown"', '"pantau spent"', '"pantau mean"'
_SECONDS: Final = {"h": 3600, "m": 60, "s": 1}
_ESCAPES: Final = {"\\": r"\\", "\n": r"\n"}
_NAME: Final = str.maketrans({**_ESCAPES, '"': r"\""})
_TEXT: Final = str.maketrans({**_ESCAPES, "'": r"\'"})


def name(identifier: str) -> str:
    """Quote the name of a database, measurement, tag or field."""
    return f'"{identifier.translate(_NAME)}"'


def text(value: str) -> str:
    """Quote a string, e.g. the value of a tag."""
    return f"'{value.translate(_TEXT)}'"


def source(measurement: str, policy: str) -> str:
    """Name a measurement, in a retention policy unless that is ""."""
    return f"{name(policy)}.{name(measurement)}" if policy else name(measurement)


def latest(where_from: str, field: str, bounds: tuple[int, int], where: Mapping[str, str]) -> str:
    """Ask for the newest value of a field of each series, from the first to the second of ``bounds`` (ns)."""
    times = [f"time >= {bounds[0]}", f"time <= {bounds[1]}"]
    return f"SELECT last({name(field)}) FROM {where_from} WHERE {_all(times, where)} GROUP BY *"  # noqa: S608 - all of it is quoted


def over_time(where_from: str, query: Range) -> str:
    """Ask for a field over time; rates have questions of their own."""
    return _over_time(f"{query.aggregate}({name(query.field)})", where_from, query)


def rates(where_from: str, query: Range, kind: str) -> list[str]:
    """Ask what each series grew by and in which time (ns) from value to value, and the mean of the two, by step.

    Of RATE the first answer has sums of those that did not fall, the second each of those that did; of IRATE the last ones.
    Unsigned values (``kind``) that fall grow by 2^64 less the fall.
    """
    grew, fell = (f"<= {SIGNED_MAX}", f"> {SIGNED_MAX}") if kind == "unsigned" else (">= 0", "< 0")
    field = name(query.field)
    pairs = (
        f"(SELECT difference({field}) AS {_GROWN}, elapsed({field}, 1ns) AS {_SPENT}, moving_average({field}, 2) AS {_MEAN}"  # noqa: S608 - all of it is quoted
        f" FROM {where_from} WHERE {_all(_bounds(query), query.where)} GROUP BY *)"
    )
    steps = f"GROUP BY time({query.step}ns), * fill(none)"
    bounds = _all(_bounds(query), {})
    if query.aggregate is Aggregate.IRATE:
        return [f"SELECT last({_GROWN}), {_SPENT}, {_MEAN} FROM {pairs} WHERE {bounds} {steps}"]  # noqa: S608 - all of it is quoted
    return [
        f"SELECT sum({_GROWN}), sum({_SPENT}) FROM {pairs} WHERE {_GROWN} {grew} AND {bounds} {steps}",  # noqa: S608 - all of it is quoted
        f"SELECT {_GROWN}, {_SPENT}, {_MEAN} FROM {pairs} WHERE {_GROWN} {fell} GROUP BY *",  # noqa: S608 - all of it is quoted
    ]


def rolled_rates(query: Range) -> str:
    """Ask for what roll-ups of an hour tell of a counter: the last, least and greatest value of each series and hour."""
    kept = ", ".join(name(f"{kept}_{query.field}") for kept in (Aggregate.LAST, Aggregate.MIN, Aggregate.MAX))
    where_from = source(query.measurement, ROLLED)
    return f"SELECT {kept} FROM {where_from} WHERE {_all(_bounds(query), query.where)} GROUP BY *"  # noqa: S608 - all of it is quoted


def rolled_over_time(query: Range) -> list[str]:
    """Ask the roll-ups of an hour for the same; MEAN takes two questions, for sums and for counts."""
    where_from, field = source(query.measurement, ROLLED), query.field
    sums = (
        f"(SELECT {name(f'mean_{field}')} * {name(f'count_{field}')} AS total FROM {where_from}"  # noqa: S608 - all of it is quoted
        f" WHERE {_all(_bounds(query), query.where)} GROUP BY *)"
    )
    total, count = (
        _over_time("sum(total)", sums, query),
        _over_time(f"sum({name(f'count_{field}')})", where_from, query),
    )
    match query.aggregate:
        case Aggregate.SUM:
            return [total]
        case Aggregate.COUNT:
            return [count]
        case Aggregate.MEAN:
            return [total, count]
    kept = name(f"{query.aggregate}_{field}")
    return [_over_time(f"{query.aggregate}({kept})", where_from, query)]


def _over_time(value: str, where_from: str, query: Range) -> str:
    groups = ", ".join([f"time({query.step}ns)", *map(name, query.by)])
    return (
        f"SELECT {value} FROM {where_from} WHERE {_all(_bounds(query), query.where)}"  # noqa: S608 - all of it is quoted
        f" GROUP BY {groups} fill(none)"
    )


def _bounds(query: Range) -> list[str]:
    return [f"time >= {query.start}", f"time < {query.end}"]


def policies(bucket: str) -> str:
    """Ask for the retention policies of a database; to InfluxDB 2 these are buckets named ``database/policy``."""
    return f"SHOW RETENTION POLICIES ON {name(bucket)}"


def seconds(duration: str) -> int:
    """Read a duration as the server tells it, e.g. ``720h0m0s``."""
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))


def roll_up(bucket: str, policy: str, name_of_it: str, days: int) -> str:
    """Make the continuous query that rolls up hours, once a day, and again for ``days``: values may come late."""
    return (
        f"CREATE CONTINUOUS QUERY {name(name_of_it)} ON {name(bucket)} RESAMPLE EVERY 1d FOR {days}d BEGIN"  # noqa: S608 - all of it is quoted
        f" SELECT {', '.join(f'{kept}(*)' for kept in KEPT)} INTO {name(bucket)}.{name(ROLLED)}.:MEASUREMENT"
        f" FROM {name(bucket)}.{name(policy)}./.*/ GROUP BY time({ROLLED}), * END"
    )


def count(policy: str, start: int, end: int) -> str:
    """Count the values of every field of every measurement."""
    where_from = f"{name(policy)}./.*/" if policy else "/.*/"
    return f"SELECT count(*) FROM {where_from} WHERE time >= {start} AND time < {end}"  # noqa: S608 - all of it is quoted


def delete(measurement: str) -> str:
    """Delete the points of a measurement."""
    return f"DELETE FROM {name(measurement)}"  # noqa: S608 - all of it is quoted


def delete_some(deletion: Deletion) -> str:
    """Delete points of some series and time, in all retention policies (InfluxDB 1)."""
    # it takes no ::tag here
    tags = [f"{name(tag)} = {text(value)}" for tag, value in deletion.where.items()]
    return f"DELETE FROM {name(deletion.measurement)} WHERE {' AND '.join([*_within(deletion), *tags])}"  # noqa: S608 - all of it is quoted


def find(where_from: str, deletion: Deletion, *, rolled: bool = False) -> list[str]:
    """Ask for the number of values of each field and series, also of rolled up ones, and for the oldest and the newest point."""
    number = "sum(/^count_/)" if rolled else "count(*)"
    condition = _all(_within(deletion), deletion.where)
    return [
        f"SELECT {number} FROM {where_from} WHERE {condition} GROUP BY *",  # noqa: S608 - all of it is quoted
        *(f"SELECT * FROM {where_from} WHERE {condition} ORDER BY time {order} LIMIT 1" for order in ("ASC", "DESC")),  # noqa: S608 - all of it is quoted
    ]


def _within(deletion: Deletion) -> list[str]:
    # the server refuses times at the ends of what 64 bits hold
    start, end = max(deletion.start, _OLDEST), min(deletion.end, _NEWEST)
    return [f"time >= {start}", f"time < {end}"]


def fields(where_from: str) -> str:
    """Ask for the fields of a measurement and their types."""
    return f"SHOW FIELD KEYS FROM {where_from}"


def tag_values(where_from: str, tag: str, where: Mapping[str, str]) -> str:
    """Ask for the values of a tag."""
    condition = f" WHERE {_all([], where)}" if where else ""
    return f"SHOW TAG VALUES FROM {where_from} WITH KEY = {name(tag)}{condition}"


def _all(conditions: Sequence[str], where: Mapping[str, str]) -> str:
    # ::tag, or an unknown tag would be taken for a field
    return " AND ".join([*conditions, *(f"{name(tag)}::tag = {text(value)}" for tag, value in where.items())])
