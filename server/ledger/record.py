"""The ledger: which check saw which subject in which state, run-length stored, and when the centre itself ran.

What lies in no span was not observed. Times are milliseconds since the Unix epoch, UTC.
"""

import datetime as dt
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Column, Connection, Row, case, func, insert, select, update

from alerts.state import Seen
from collectors.result import Reason, Status
from server.calendar.intervals import Stretch, merge
from server.calendar.service_hours import midnight
from server.evaluation import standard
from server.evaluation.standard import Figures, Open, Timeline
from server.inventory.register import ALWAYS, Register, Service
from server.ledger import history, maintenance
from server.ledger.history import History, Span
from server.state.tables import monitor_run, span

# A look speaks until 2.5 intervals after it: one look that was skipped or lost, and half an interval of lateness, is no gap.
REACH: Final = (5, 2)

# The newest run reaches to now while its last sign of life is younger than this, ms; an older run ends at its last one.
SILENCE: Final = 30_000


class Day(msgspec.Struct, frozen=True):
    """One local day of a subject; ``worst`` is None when nothing was to be rated, UNKNOWN when nobody looked."""

    date: dt.date
    figures: Figures
    worst: Status | None


def reach(step: int) -> int:
    """Return how long after it a look of an interval of ``step`` ms still speaks."""
    return step * REACH[0] // REACH[1]


def record(tx: Connection, seen: Seen) -> None:
    """Write down what a look showed: lengthen the span it agrees with, or begin another one.

    A confirmed change is written from its first look on: what was told since then as the old state is corrected, except what
    was told as UNKNOWN. A look not later than what is there (a repeat, or a clock that was set back) changes nothing.
    """
    _sign_of_life(tx, seen.at)
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


def start_run(tx: Connection, now: int, version: str) -> int:
    """Note that the centre starts; returns the run's id. A run that claims the future (the clock was set back) is cut at now."""
    late = monitor_run.c.beat_ms > now
    tx.execute(update(monitor_run).where(late).values(beat_ms=_later(monitor_run.c.start_ms, now)))
    run = insert(monitor_run).values(start_ms=now, beat_ms=now, version=version)
    run_id: int = tx.execute(run.returning(monitor_run.c.id)).scalar_one()
    return run_id


def beat(tx: Connection, run_id: int, now: int) -> None:
    """Note that the centre still runs; call it every few seconds, well within ``SILENCE``, and when it stops."""
    start = monitor_run.c.start_ms
    earliest = case((start > now, now), else_=start)
    tx.execute(update(monitor_run).where(monitor_run.c.id == run_id).values(beat_ms=now, start_ms=earliest))


def _later(column: Column[Any], now: int) -> Any:
    return case((column > now, column), else_=now)


def _sign_of_life(tx: Connection, at: int) -> None:
    newest = select(func.max(monitor_run.c.id)).scalar_subquery()
    tx.execute(update(monitor_run).where(monitor_run.c.id == newest, monitor_run.c.beat_ms < at).values(beat_ms=at))


def histories(
    tx: Connection, subjects: Sequence[str], *, start: int, end: int, now: int, register: Register, zone: ZoneInfo
) -> dict[str, History]:
    """Return what is known of each subject within ``[start, end)``, not beyond ``now``; four queries for all of them.

    Only checks that count for availability speak. Life and days are those of ``zone``.
    """
    end = max(start, min(end, now))
    looks = _first_and_last_looks(tx, subjects)
    running = _running(tx, start, end, now)
    spans = _spans(tx, subjects, start, end, now)
    work = _maintenance(tx, subjects, start, end)
    return {
        subject: history.compose(
            subject,
            (start, end),
            spans.get(subject, []),
            running=running,
            maint=work.get(subject, []),
            service=_service_hours(register, subject, start, end),
            life=_life(register, subject, zone, looks.get(subject, (end, end))),
        )
        for subject in subjects
    }


def timeline(
    tx: Connection, subject: str, *, start: int, end: int, now: int, register: Register, zone: str = "Asia/Jakarta"
) -> Timeline:
    """Return one subject's timeline over ``[start, end)``, clipped at ``now``, ready for ``availability.figures``."""
    known = histories(tx, [subject], start=start, end=end, now=now, register=register, zone=ZoneInfo(zone))
    return known[subject].timeline(start, end)


def days(
    tx: Connection, subjects: Sequence[str], *, first: dt.date, last: dt.date, zone: str, now: int, register: Register
) -> dict[str, list[Day]]:
    """Return the figures of every local day from ``first`` to ``last``, both included, for each subject."""
    local = ZoneInfo(zone)
    dates = [first + dt.timedelta(days=at) for at in range((last - first).days + 1)]
    if not dates:
        return {subject: [] for subject in subjects}
    edges = [midnight(date, local) for date in (*dates, dates[-1] + dt.timedelta(days=1))]
    known = histories(tx, subjects, start=edges[0], end=edges[-1], now=now, register=register, zone=local)
    return {subject: by_day(known[subject], dates, edges) for subject in subjects}


def by_day(known: History, dates: Sequence[dt.date], edges: Sequence[int]) -> list[Day]:
    """Cut a history into days; ``edges`` holds the beginning of each date, and the end of the last."""
    counted = [standard.figures(known.timeline(start, end)) for start, end in pairwise(edges)]
    return [Day(date=date, figures=each, worst=_worst(each)) for date, each in zip(dates, counted, strict=True)]


def seen_subjects(tx: Connection, kind: str, start: int, end: int) -> list[str]:
    """Return every subject of a kind (``service``) that a counting check looked at within ``[start, end)``, registered or not."""
    query = select(span.c.subject).where(
        span.c.subject.startswith(f"{kind}/", autoescape=True),
        span.c.counts,
        span.c.start_ms < end,
        span.c.end_ms > start,
    )
    return list(tx.scalars(query.distinct().order_by(span.c.subject)))


def _worst(each: Figures) -> Status | None:
    if not each.rated:
        return None
    if each.down:
        return Status.DOWN
    if each.degraded:
        return Status.DEGRADED
    return Status.UP if each.observed else Status.UNKNOWN


def _spans(tx: Connection, subjects: Sequence[str], start: int, end: int, now: int) -> dict[str, list[Span]]:
    columns = (span.c.check_id, span.c.status, span.c.reason, span.c.start_ms, span.c.last_ms, span.c.end_ms)
    rows = tx.execute(
        select(span.c.subject, *columns, span.c.looks)
        .where(
            span.c.subject.in_(subjects),
            span.c.counts,
            span.c.start_ms < end,
            span.c.end_ms > start,
        )
        .order_by(span.c.start_ms.desc(), span.c.id.desc())
    )
    found: dict[str, list[Span]] = {}
    followed: set[tuple[str, str]] = set()
    for subject, check, status, reason, low, seen, high, looks in rows:
        # the newest span of a check still speaks while its next look is only a little late
        late = (subject, check) not in followed and high < now <= seen + reach(high - seen)
        followed.add((subject, check))
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


def known_since(tx: Connection, subject: str | None = None) -> int | None:
    """Return when a subject was first looked at, or when the centre first ran; None when never."""
    ran, seen = select(func.min(monitor_run.c.start_ms)), select(func.min(span.c.start_ms))
    first: int | None = tx.scalar(ran if subject is None else seen.where(span.c.subject == subject))
    return first


def _first_and_last_looks(tx: Connection, subjects: Sequence[str]) -> dict[str, Stretch]:
    first, last = func.min(span.c.start_ms), func.max(span.c.end_ms)
    query = select(span.c.subject, first, last).where(span.c.subject.in_(subjects), span.c.counts)
    return {row[0]: (row[1], row[2]) for row in tx.execute(query.group_by(span.c.subject))}


def _running(tx: Connection, start: int, end: int, now: int) -> list[Stretch]:
    rows = tx.execute(
        select(monitor_run.c.start_ms, monitor_run.c.beat_ms)
        .where(monitor_run.c.start_ms < end, monitor_run.c.beat_ms > start - SILENCE)
        .order_by(monitor_run.c.id)
    ).all()
    runs = [(low, high) for low, high in rows]
    if runs and now - runs[-1][1] <= SILENCE:
        runs[-1] = (runs[-1][0], now)
    return merge(runs)


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
