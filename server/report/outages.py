"""The outages of one service: whole ones, told with what they cost the period, and what follows for repair and response."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from statistics import median

import msgspec

from collectors.result import Reason, Status
from server.calendar.intervals import Stretch, clip, common, total
from server.evaluation import standard
from server.evaluation.standard import SETTLE, Parts
from server.ledger.history import History, Span
from server.report.model import Outage, Times


class Acknowledged(msgspec.Struct, frozen=True):
    """An incident that somebody took: when it was open, and when it was taken."""

    opened: int
    closed: int | None
    at: int


def list_outages(
    history: History, start: int, end: int, within: Parts, acknowledged: Sequence[Acknowledged]
) -> list[Outage]:
    """Return the outages that touch ``[start, end)``; ``history`` reaches far enough to hold them whole, ``within`` is the period."""
    wide = history.timeline(*history.window)
    everywhere = standard.part(wide)
    touching = [each for each in standard.outages(wide) if each.start < end and each.end >= start]
    failures = [span for span in history.spans if span.status is Status.DOWN]
    return [_outage(history, each, (start, end), within, everywhere, failures, acknowledged) for each in touching]


def cut_off(history: History, start: int, end: int, now: int) -> bool:
    """Return whether the window of ``history`` is too short to hold every outage of ``[start, end)`` whole."""
    low, high = history.window
    born = history.life[0]
    for each in standard.outages(history.timeline(low, high)):
        if each.start >= end or each.end < start:
            continue
        earlier = born is None or born < low
        if (earlier and _working(history, low, each.start) < SETTLE) or (
            high < now and _working(history, each.end, high) < SETTLE
        ):
            return True
    return False


def times(lengths: Iterable[int]) -> Times | None:
    """Sum up some stretches; None when there are none."""
    known = sorted(lengths)
    if not known:
        return None
    return Times(
        count=len(known),
        mean=Fraction(sum(known), len(known)),
        median=Fraction(median(map(Fraction, known))),
        longest=known[-1],
    )


def _outage(
    known: History,
    each: standard.Outage,
    period: Stretch,
    within: Parts,
    everywhere: Parts,
    failures: Sequence[Span],
    acknowledged: Sequence[Acknowledged],
) -> Outage:
    whole = [(each.start, each.end)]
    after = _working(known, each.end, known.window[1])
    seen = [span for span in failures if span.start < each.end and span.end > each.start]
    taken = [
        one.at for one in acknowledged if one.opened < each.end and (one.closed is None or one.closed > each.start)
    ]
    ended = after > 0
    return Outage(
        start=each.start,
        end=each.end,
        down=total(common(each.down, within.down)),
        hours=total(whole if known.service is None else common(whole, known.service)),
        check=seen[0].check if seen else "",
        reasons=_distinct(span.reason for span in seen),
        acknowledged=min(taken, default=None),
        ended=ended,
        exact=ended and not clip(known.unknown, each.end, each.end + 1),
        counted=bool(common(each.down, everywhere.down)),
        begun=period[0] <= each.start < period[1],
        finished=ended and period[0] <= each.end < period[1],
    )


def _working(known: History, start: int, end: int) -> int:
    return end - start - total(clip(known.unknown, start, end)) - total(clip(known.down, start, end))


def _distinct(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    return tuple(dict.fromkeys(reasons))
