"""Rates of counters out of answers to InfluxQL, as ``Aggregate`` words them. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from server.store import Aggregate, Range
from server.store.influx.answers import Rows
from server.store.influx.ql import HOUR, SIGNED_MAX

Number = int | float
Label = tuple[tuple[str, str], ...]  # the tags of a series
Rates = dict[tuple[str, ...], dict[int, float]]  # values of a group's tags -> window -> rate


class _Pair(NamedTuple):
    """What a series grew by, and in which time (ns), to a moment or in the window that starts at it."""

    moment: int
    grown: Number
    spent: int


_Reader = Callable[[Sequence[Sequence[Any]], Range], Iterator[_Pair]]


def growth(before: Number, low: Number, high: Number, last: Number) -> Number | None:
    """Return what a counter grew by from ``before`` over a stretch, of which these are the least, greatest and last value.

    None where it was set back: it fell, but not to less than half. Where it began again more than once this is the least.
    """
    if low >= before and high <= last:
        return last - before
    if low < 0 or max(before, high) - low <= low:
        return None
    if high <= last:
        return last
    return high + last if high < before else high - before + last


def over_time(query: Range, raw: Sequence[Iterable[Rows]], rolled: Iterable[Rows] | None) -> Rates:
    """Return the rates that ``ql.rates`` and, unless there are none, ``ql.rolled_rates`` answer, summed over groups."""
    if query.aggregate is Aggregate.IRATE:
        found = _by_series(raw[0], _single, query)
    else:
        found = _by_series(raw[0], _sums, query)
        for label, pairs in _by_series(raw[1], _single, query).items():
            found.setdefault(label, []).extend(pairs)
    each = {label: _windows(pairs, query) for label, pairs in found.items()}
    if rolled is not None:
        old = {label: _windows(pairs, query) for label, pairs in _by_series(rolled, _hours, query).items()}
        each = {label: _filled(each.get(label, {}), old.get(label, {}), query.step) for label in {**old, **each}}
    groups: Rates = {}
    for label, values in each.items():
        tags = dict(label)
        group = groups.setdefault(tuple(tags.get(tag, "") for tag in query.by), {})
        for moment, value in values.items():
            group[moment] = group.get(moment, 0.0) + value
    return {label: dict(sorted(values.items())) for label, values in groups.items()}


def _by_series(answer: Iterable[Rows], read: _Reader, query: Range) -> dict[Label, list[_Pair]]:
    rows_of: dict[Label, list[list[Any]]] = {}
    for rows in answer:  # a series may come in several parts
        rows_of.setdefault(tuple(sorted(rows.tags.items())), []).extend(rows.values)
    return {label: list(read(rows, query)) for label, rows in rows_of.items()}


def _sums(rows: Sequence[Sequence[Any]], _query: Range) -> Iterator[_Pair]:
    for moment, grown, spent in rows:
        yield _Pair(moment, grown, spent)


def _single(rows: Sequence[Sequence[Any]], query: Range) -> Iterator[_Pair]:
    """Read pairs of values, by their difference and mean."""
    for moment, told, spent, mean in rows:
        change = told - 2**64 if told > SIGNED_MAX else told
        last = mean + change / 2
        # below 0 no counter is, but what the server adds up beyond 64 bits
        if change >= 0 or (mean >= 0 and 0 <= last < -change):
            yield _Pair(moment - moment % query.step, change if change >= 0 else last, spent)


def _hours(rows: Sequence[Sequence[Any]], query: Range) -> Iterator[_Pair]:
    """Read roll-ups of hours; their last values are taken to be as far apart as their starts."""
    for (before, last_before, _, _), (moment, last, low, high) in pairwise(rows):
        grown = growth(last_before, last if low is None else low, last if high is None else high, last)
        if grown is not None:
            yield _Pair(moment - moment % query.step, grown, moment - before)


def _windows(pairs: Sequence[_Pair], query: Range) -> dict[int, float]:
    """Return the rate of each window: of all pairs in it, or of the last one."""
    sums: dict[int, tuple[Number, int]] = {}
    for moment, grown, spent in pairs:
        before = (0, 0) if query.aggregate is Aggregate.IRATE else sums.get(moment, (0, 0))
        sums[moment] = (before[0] + grown, before[1] + spent)
    return {moment: grown / (spent / 1e9) for moment, (grown, spent) in sorted(sums.items())}


def _filled(raw: dict[int, float], rolled: dict[int, float], step: int) -> dict[int, float]:
    """Return rates of values, and those of roll-ups where there are none: also of a part of its values a rate is right."""
    hours = set() if step % HOUR == 0 else {moment // HOUR for moment in raw}
    left = {moment: value for moment, value in rolled.items() if moment // HOUR not in hours}
    return dict(sorted({**left, **raw}.items()))
