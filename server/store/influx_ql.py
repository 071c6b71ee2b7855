"""InfluxQL: the one query language that InfluxDB 1, 2 and 3 share. Pure text; every name and value is quoted."""

from collections.abc import Mapping, Sequence
from typing import Final

from server.store import Aggregate, Range

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


def latest(where_from: str, field: str, since: int, where: Mapping[str, str]) -> str:
    """Ask for the newest value of a field of each series."""
    return f"SELECT last({name(field)}) FROM {where_from} WHERE {_all([f'time >= {since}'], where)} GROUP BY *"  # noqa: S608 - all of it is quoted


def over_time(where_from: str, query: Range) -> str:
    """Ask for a field over time: RATE gets the last value of each series and step, to be worked out by the asker."""
    rate = query.aggregate is Aggregate.RATE
    value = f"{Aggregate.LAST if rate else query.aggregate}({name(query.field)})"
    bounds = [f"time >= {query.start}", f"time < {query.end}"]
    groups = ["*"] if rate else [name(tag) for tag in query.by]
    return (
        f"SELECT {value} FROM {where_from} WHERE {_all(bounds, query.where)}"  # noqa: S608 - all of it is quoted
        f" GROUP BY {', '.join([f'time({query.step}ns)', *groups])} fill(none)"
    )


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
