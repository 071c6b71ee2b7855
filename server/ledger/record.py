"""What looks showed, written down as spans: which check saw which subject in which state, run-length stored.

What lies in no span was not observed. Times are milliseconds since the Unix epoch, UTC.
"""

from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from alerts.state import Seen, reach
from collectors.result import Status
from server.state.tables import span


def record(tx: Connection, seen: Seen) -> None:
    """Write down what a look showed: lengthen the span it agrees with, or begin another one.

    A confirmed change is written from its first look on: what was told since then as the old state is corrected, except what
    was told as UNKNOWN. A look not later than what is there (a repeat, or a clock that was set back) changes nothing.
    """
    before = _newest(tx, seen)
    if before is not None and before.last_ms >= seen.at:
        return
    if seen.since < seen.at:
        _correct(tx, seen)
        before = _newest(tx, seen)
    until = _until(tx, seen)
    if before is None:
        _insert(tx, seen, seen.since, until)
        return
    speaks = max(before.end_ms, before.last_ms + reach(seen.step))
    same = before.status == seen.status and before.counts == seen.counts
    if same and seen.at <= speaks:
        _set(tx, before, last_ms=seen.at, end_ms=max(until, before.end_ms), looks=before.looks + 1)
        return
    start = seen.since if seen.since > before.last_ms else seen.at
    if start <= speaks:
        _set(tx, before, end_ms=start)
    _insert(tx, seen, start, until)


def newest(tx: Connection, check: str, subject: str) -> Row[Any] | None:
    """Return the span of a check and a subject that began last."""
    query = select(span).where(span.c.check_id == check, span.c.subject == subject)
    return tx.execute(query.order_by(span.c.start_ms.desc(), span.c.id.desc()).limit(1)).one_or_none()


def _newest(tx: Connection, seen: Seen) -> Row[Any] | None:
    query = select(span).where(*_same_eyes(seen), span.c.start_ms <= seen.at).order_by(span.c.start_ms.desc()).limit(1)
    return tx.execute(query).one_or_none()


def _until(tx: Connection, seen: Seen) -> int:
    """Return until when this look vouches: an interval, or the next span (there is one only after the clock was set back)."""
    following = tx.execute(
        select(func.min(span.c.start_ms)).where(*_same_eyes(seen), span.c.start_ms > seen.at)
    ).scalar()
    return seen.at + seen.step if following is None else min(seen.at + seen.step, following)


def _correct(tx: Connection, seen: Seen) -> None:
    first = tx.execute(select(func.min(span.c.start_ms)).where(*_same_eyes(seen))).scalar()
    if first is not None and seen.since < first < seen.at:
        # the first look ever began the change, so it was told as nothing
        _insert(tx, seen, seen.since, first, last=seen.since)
    wrong = tx.execute(
        select(span).where(
            *_same_eyes(seen),
            span.c.start_ms < seen.at,
            span.c.end_ms > seen.since,
            span.c.status.not_in((Status.UNKNOWN.value, seen.status.value)),
        )
    ).all()
    for row in wrong:
        if row.start_ms >= seen.since:
            _set(tx, row, status=seen.status.value, reason=seen.reason.value)
            continue
        _set(tx, row, last_ms=min(row.last_ms, seen.since), end_ms=seen.since)
        _insert(tx, seen, seen.since, row.end_ms, last=max(row.last_ms, seen.since))


def _same_eyes(seen: Seen) -> tuple[Any, ...]:
    return span.c.check_id == seen.check, span.c.subject == seen.subject


def _set(tx: Connection, row: Row[Any], **values: object) -> None:
    tx.execute(update(span).where(span.c.id == row.id).values(values))


def _insert(tx: Connection, seen: Seen, start: int, end: int, *, last: int | None = None) -> None:
    tx.execute(
        insert(span).values(
            check_id=seen.check,
            subject=seen.subject,
            status=seen.status.value,
            reason=seen.reason.value,
            start_ms=start,
            last_ms=seen.at if last is None else last,
            end_ms=end,
            counts=seen.counts,
            looks=1,
        )
    )
