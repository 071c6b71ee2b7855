"""The calculator for auditors: timelines as JSON in, figures as JSON out, by the same arithmetic as every report.

A case is ``{"id", "period", "down", "degraded", "unknown", "maint", "service", "life"}``; all but ``id`` and ``period`` may be
left out, ``title`` and ``expect`` are ignored; no ``id`` stands twice. A moment is a number of seconds since the epoch or an
ISO 8601 text with an offset, exact to the millisecond; null is "open on that side". Reversed and empty stretches count nothing.
"""

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final

from server.calendar.intervals import Stretch
from server.evaluation.standard import Figures, figures, show3
from server.ledger.timeline import Open, Timeline

_STRETCHES: Final = ("down", "degraded", "unknown", "maint")
_KNOWN: Final = {"id", "title", "period", *_STRETCHES, "service", "life", "expect"}
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND: Final = dt.timedelta(milliseconds=1)
_TOLD: Final = 20  # wrong cases that are named; a file of another kind has as many as cases


class BadCases(ValueError):
    """Cases that cannot be counted; one line for each that is wrong, with its id."""


def compute(text: str) -> list[dict[str, Any]]:
    """Count every case of a JSON text; returns ``{"id", "figures"}`` in the same order. BadCases when any is wrong."""
    results: list[dict[str, Any]] = []
    wrong: list[str] = []
    places: dict[str, int] = {}
    for position, case in enumerate(_load(text), 1):
        name = f"case {case['id']!r}" if isinstance(case, dict) and isinstance(case.get("id"), str) else f"#{position}"
        try:
            timeline = read(case)
        except ValueError as error:
            wrong.append(f"{name}: {error}")
            continue
        if (first := places.setdefault(case["id"], position)) != position:
            wrong.append(f"{name}: 'id' stands twice: cases #{first} and #{position}")
        results.append({"id": case["id"], "figures": show(figures(timeline))})
    if wrong:
        more = [f"and {len(wrong) - _TOLD} more"] if len(wrong) > _TOLD else []
        raise BadCases("\n".join([*wrong[:_TOLD], *more]))
    return results


def read(case: object) -> Timeline:
    """Turn one case into a timeline; ValueError says which key is wrong and what was expected."""
    if not isinstance(case, dict):
        raise ValueError(f"expected an object, got {_kind(case)}")  # noqa: TRY004 - one kind of error for bad cases
    if unknown := sorted(set(case) - _KNOWN):
        raise ValueError(f"unknown key {unknown[0]!r}; known: {', '.join(sorted(_KNOWN))}")
    for key in ("id", "period"):
        if key not in case:
            raise ValueError(f"{key!r} is missing")
    if not isinstance(case["id"], str):
        raise ValueError(f"'id': expected a text, got {_kind(case['id'])}")  # noqa: TRY004 - see above
    service = case.get("service")
    life = case.get("life")
    return Timeline(
        period=_period(case["period"]),
        service=None if service is None else _stretches("service", service),
        life=(None, None) if life is None else _stretch("life", life),
        **{key: _stretches(key, case.get(key)) for key in _STRETCHES},
    )


def write(name: str, timeline: Timeline) -> dict[str, Any]:
    """Turn a timeline into a case that ``read`` understands, its moments as ISO 8601 in UTC."""
    case: dict[str, Any] = {"id": name, "period": _iso_pair(timeline.period), "life": _iso_pair(timeline.life)}
    case |= {key: [_iso_pair(pair) for pair in getattr(timeline, key)] for key in _STRETCHES}
    if timeline.service is not None:
        case["service"] = [_iso_pair(pair) for pair in timeline.service]
    return case


def show(counted: Figures) -> dict[str, Any]:
    """Write figures with the keys and formats of the standard's vectors."""
    return {
        "agreed_s": seconds(counted.agreed),
        "maint_s": seconds(counted.maint),
        "unknown_s": seconds(counted.unknown),
        "observed_s": seconds(counted.observed),
        "down_s": seconds(counted.down),
        "availability": fraction(counted.availability),
        "show3": show3(counted.availability),
        "lower": fraction(counted.lower),
        "lower3": show3(counted.lower),
        "upper": fraction(counted.upper),
        "upper3": show3(counted.upper),
        "coverage3": show3(counted.coverage),
    }


def seconds(ms: int) -> int | float:
    """Write milliseconds as seconds: whole ones as an integer."""
    return ms / 1000 if ms % 1000 else ms // 1000


def fraction(value: Fraction | None) -> str | None:
    """Write a fraction as text, e.g. ``999/10`` or ``100``."""
    return None if value is None else str(value)


def _load(text: str) -> list[Any]:
    try:
        cases = json.loads(
            text, parse_float=_number, parse_int=_number, parse_constant=_refuse_constant, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        raise BadCases(f"not valid JSON: {error}") from error
    except RecursionError as error:
        raise BadCases("not a list of cases: nested too deep") from error
    except ValueError as error:
        raise BadCases(str(error)) from error
    if not isinstance(cases, list):
        raise BadCases(f"expected a list of cases, got {_kind(cases)}")
    return cases


def _number(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation as error:
        raise ValueError(f"the number {digits[:40]} is out of range") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"not valid JSON: {name} is not a number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = dict(pairs)
    if len(whole) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"case {whole.get('id')!r}: key {twice!r} stands twice")
    return whole


def _period(value: object) -> Stretch:
    start, end = _stretch("period", value)
    if start is None or end is None:
        raise ValueError("'period': both ends must be given")
    return start, end


def _stretches(key: str, value: object) -> list[Open]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{key!r}: expected a list of [start, end], got {_kind(value)}")  # noqa: TRY004 - see above
    return [_stretch(f"{key}[{position}]", pair) for position, pair in enumerate(value)]


def _stretch(key: str, value: object) -> Open:
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - a pair
        raise ValueError(f"{key!r}: expected [start, end], got {_kind(value)}")
    return _moment(key, value[0]), _moment(key, value[1])


def _moment(key: str, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, Decimal):
        return _milliseconds(key, value)
    if not isinstance(value, str):
        raise ValueError(f"{key!r}: expected seconds or an ISO 8601 text, got {_kind(value)}")  # noqa: TRY004 - see above
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError as error:
        raise ValueError(f"{key!r}: {value!r} is not an ISO 8601 moment") from error
    if moment.tzinfo is None:
        raise ValueError(f"{key!r}: {value!r} has no offset such as +07:00 or Z")
    whole, rest = divmod(moment - _EPOCH, _MILLISECOND)
    if rest:
        raise ValueError(f"{key!r}: {value!r} is finer than a millisecond")
    return whole


def _milliseconds(key: str, value: Decimal) -> int:
    if abs(value) > 10**12:  # the year 33658: beyond any clock, and Decimal keeps 28 digits
        raise ValueError(f"{key!r}: {value} s is out of range")
    kept = round(value, 3)
    if kept != value:
        raise ValueError(f"{key!r}: {value} s is finer than a millisecond")
    return int(kept * 1000)


def _iso_pair(pair: Open) -> list[str | None]:
    return [None if edge is None else iso(edge) for edge in pair]


def iso(ms: int) -> str:
    """Write a moment as ISO 8601 in UTC, to the millisecond."""
    moment = _EPOCH + dt.timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    names = {type(None): "null", bool: "true or false", str: "a text", Decimal: "a number"}
    return names.get(type(value), type(value).__name__)
