"""The ledger read: the history of subjects over a window of time, from spans, running time, planned work and service hours."""

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, or_, select

from alerts.state import REACH, reach
from collectors.result import Reason, Status
from server.calendar.intervals import Stretch
from server.calendar.service_hours import midnight
from server.inventory.register import ALWAYS, Register, Service
from server.ledger import history, maintenance
from server.ledger.history import History, Span
from server.ledger.running_time import running
from server.ledger.timeline import Open, Timeline
from server.state.tables import monitor_run, span


def histories(
    tx: Connection, subjects: Sequence[str], *, start: int, end: int, now: int, register: Register, zone: ZoneInfo
) -> dict[str, History]:
    """Return what is known of each subject within ``[start, end)``, not beyond ``now``; four queries for all of them.

    Only checks that count for availability speak. Life and days are those of ``zone``.
    """
    end = max(start, min(end, now))
    looks = _first_and_last_looks(tx, subjects)
    ran = running(tx, start, end, now)
    spans = _spans(tx, subjects, start, end, now)
    work = _maintenance(tx, subjects, start, end)
    return {
        subject: history.compose(
            subject,
            (start, end),
            spans.get(subject, []),
            running=ran,
            maint=work.get(subject, []),
            service=_service_hours(register, subject, start, end),
            life=_life(register, subject, zone, looks.get(subject, (end, end))),
        )
        for subject in subjects
    }


def timeline(
    tx: Connection, subject: str, *, start: int, end: int, now: int, register: Register, zone: str = "Asia/Jakarta"
) -> Timeline:
    """Return one subject's timeline over ``[start, end)``, clipped at ``now``, ready for ``standard.figures``."""
    composed = histories(tx, [subject], start=start, end=end, now=now, register=register, zone=ZoneInfo(zone))
    return composed[subject].timeline(start, end)


def seen_subjects(tx: Connection, kind: str, start: int, end: int) -> list[str]:
    """Return every subject of a kind (``service``) that a counting check looked at within ``[start, end)``, registered or not."""
    query = select(span.c.subject).where(
        span.c.subject.startswith(f"{kind}/", autoescape=True),
        span.c.counts,
        span.c.start_ms < end,
        span.c.end_ms > start,
    )
    return list(tx.scalars(query.distinct().order_by(span.c.subject)))


def known_since(tx: Connection, subject: str | None = None) -> int | None:
    """Return when a subject was first looked at, or when the centre first ran; None when never."""
    ran, seen = select(func.min(monitor_run.c.start_ms)), select(func.min(span.c.start_ms))
    first: int | None = tx.scalar(ran if subject is None else seen.where(span.c.subject == subject))
    return first


def _spans(tx: Connection, subjects: Sequence[str], start: int, end: int, now: int) -> dict[str, list[Span]]:
    columns = (span.c.check_id, span.c.status, span.c.reason, span.c.start_ms, span.c.last_ms, span.c.end_ms)
    rows = tx.execute(
        select(span.c.subject, *columns, span.c.looks)
        .where(
            span.c.subject.in_(subjects),
            span.c.counts,
            span.c.start_ms < end,
            # what ended before the window may be the newest look of its check, and still speak within it
            or_(span.c.end_ms > start, _speaks_until(span.c) > start * REACH[1]),
        )
        .order_by(span.c.start_ms.desc(), span.c.id.desc())
    )
    found: dict[str, list[Span]] = {}
    followed: set[tuple[str, str]] = set()
    for subject, check, status, reason, low, seen, high, looks in rows:
        # the newest span of a check still speaks while its next look is only a little late
        late = (subject, check) not in followed and high < now <= seen + reach(high - seen)
        followed.add((subject, check))
        if high <= start and not late:
            continue
        found.setdefault(subject, []).append(
            Span(
                check=check,
                status=Status(status),
                reason=Reason(reason),
                start=low,
                last=seen,
                end=now if late else min(high, now),
                looks=looks,
            )
        )
    return {subject: newest_first[::-1] for subject, newest_first in found.items()}


def _speaks_until(columns: Any) -> Any:
    """Return in SQL until when a span's newest look speaks (see ``reach``), times ``REACH[1]`` so that all are whole numbers."""
    return columns.last_ms * REACH[1] + (columns.end_ms - columns.last_ms) * REACH[0]


def _first_and_last_looks(tx: Connection, subjects: Sequence[str]) -> dict[str, Stretch]:
    first, last = func.min(span.c.start_ms), func.max(span.c.end_ms)
    query = select(span.c.subject, first, last).where(span.c.subject.in_(subjects), span.c.counts)
    return {row[0]: (row[1], row[2]) for row in tx.execute(query.group_by(span.c.subject))}


def _maintenance(tx: Connection, subjects: Sequence[str], start: int, end: int) -> dict[str, list[Stretch]]:
    counted: dict[str, list[Stretch]] = {}
    for work in maintenance.within(tx, start, end, subjects):
        counted.setdefault(work.subject, []).append(work.counted)
    return counted


def _service_hours(register: Register, subject: str, start: int, end: int) -> list[Stretch] | None:
    entry = register.entry(subject)
    if not isinstance(entry, Service) or entry.hours == ALWAYS:
        return None
    return register.calendars[entry.hours].stretches(start, end)


def _life(register: Register, subject: str, zone: ZoneInfo, looks: Stretch) -> Open:
    """Return the registered life; without dates it begins at the first look, and ends at the last when not registered at all."""
    entry = register.entry(subject)
    if entry is None and subject.startswith("service/"):
        return looks
    registered = entry.registered if isinstance(entry, Service) else None
    retired = entry.retired if isinstance(entry, Service) else None
    return (
        looks[0] if registered is None else midnight(registered, zone),
        None if retired is None else midnight(retired, zone),
    )
