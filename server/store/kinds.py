"""The five types of a field value, by InfluxDB's names and rules."""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Final

from collectors.point import UInt, Value
from server.store import Aggregate, Range, Rejected, Spender

KINDS: Final[dict[type, str]] = {float: "float", int: "integer", UInt: "unsigned", bool: "boolean", str: "string"}

_INT_MIN, _INT_MAX, _UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1
_AGGREGATES: Final = {
    "boolean": frozenset({Aggregate.COUNT, Aggregate.LAST, Aggregate.MIN, Aggregate.MAX}),
    "string": frozenset({Aggregate.COUNT}),
}


def kind_of(field: str, value: Value) -> str:
    """Name the type of a value, e.g. ``unsigned``; TypeError names a field that holds something else."""
    # bool and UInt are ints too, so they are asked for first
    for kind in (bool, UInt, int, float, str):
        if isinstance(value, kind):
            return KINDS[kind]
    raise TypeError(f"field {field!r} holds a {type(value).__name__}, not a float, int, bool or str")


def is_sayable(value: Value) -> bool:
    """Return whether line protocol can say a value: finite, and within the 64 bits of its type. What it cannot is left out."""
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, UInt):
        return 0 <= value <= _UINT_MAX
    return not isinstance(value, int) or _INT_MIN <= value <= _INT_MAX


def conflict(measurement: str, field: str, kind: str, fixed: str) -> Rejected:
    """Refuse a field of type ``kind``, because its first write made it ``fixed``; the words are InfluxDB's."""
    return Rejected(
        measurement,
        field,
        f'field type conflict: input field "{field}" on measurement "{measurement}" is type {kind},'
        f" already exists as type {fixed}",
    )


def require_suited(query: Range, kind: str) -> None:
    """Raise ValueError when the aggregate has no meaning for the field's type (numbers take all of them)."""
    allowed = _AGGREGATES.get(kind)
    if allowed is not None and query.aggregate not in allowed:
        raise ValueError(
            f'no {query.aggregate} of field "{query.field}" of measurement "{query.measurement}": its type is {kind}'
        )


def spent(series: Iterable[tuple[str, Mapping[str, str]]]) -> list[Spender]:
    """Return how many series each measurement has, and which tag makes them many; the greatest first."""
    counts: dict[str, int] = {}
    values: dict[str, dict[str, set[str]]] = {}
    for measurement, tags in series:
        counts[measurement] = counts.get(measurement, 0) + 1
        known = values.setdefault(measurement, {})
        for tag, value in tags.items():
            known.setdefault(tag, set()).add(value)
    found = []
    for measurement, count in counts.items():
        known = values[measurement]
        tag = max(sorted(known), key=lambda name: len(known[name]), default="")
        found.append(Spender(measurement, count, tag, len(known.get(tag, ()))))
    return sorted(found, key=lambda one: (-one.series, one.measurement))
