"""Planned work (pemeliharaan): who proposed it, who approved it and when; only work approved before it starts counts as such."""

from collections.abc import Collection

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from server.calendar.intervals import Stretch
from server.state.tables import maintenance


class Work(msgspec.Struct, frozen=True):
    """One planned work; ``cancelled`` is when it was called off, if it was. Times are ms since the epoch."""

    id: int
    subject: str
    start: int
    end: int
    reason: str
    author: str
    approver: str
    approved: int
    cancelled: int | None = None

    @property
    def counted(self) -> Stretch:
        """The stretch that counts as maintenance: none if approved too late, and no longer than until it was called off."""
        if self.approved >= self.start:
            return self.start, self.start
        return self.start, self.end if self.cancelled is None else max(self.start, min(self.end, self.cancelled))


def add(
    tx: Connection, *, subject: str, start: int, end: int, reason: str, author: str, approver: str, now: int
) -> Work:
    """Write down work approved now. ValueError when it ends before it starts, or lacks a reason or a name."""
    if end <= start:
        raise ValueError("maintenance must end after it starts")
    for name, value in (("reason", reason), ("author", author), ("approver", approver)):
        if not value.strip():
            raise ValueError(f"maintenance needs {name}: who answers for it, and why")
    values = {"subject": subject, "start_ms": start, "end_ms": end, "reason": reason, "author": author}
    row = insert(maintenance).values(**values, approver=approver, approved_ms=now)
    work_id = tx.execute(row.returning(maintenance.c.id)).scalar_one()
    return Work(
        id=work_id,
        subject=subject,
        start=start,
        end=end,
        reason=reason,
        author=author,
        approver=approver,
        approved=now,
    )


def cancel(tx: Connection, work_id: int, *, now: int) -> Work:
    """Call work off; what has passed of it stays counted. LookupError when there is none, ValueError when it is too late."""
    row = tx.execute(select(maintenance).where(maintenance.c.id == work_id)).one_or_none()
    if row is None:
        raise LookupError(f"there is no maintenance {work_id}")
    if row.cancelled_ms is not None:
        raise ValueError(f"maintenance {work_id} was cancelled already")
    if row.end_ms <= now:
        raise ValueError(f"maintenance {work_id} is over")
    tx.execute(update(maintenance).where(maintenance.c.id == work_id).values(cancelled_ms=now))
    return msgspec.structs.replace(_work(row), cancelled=now)


def within(tx: Connection, start: int, end: int, subjects: Collection[str] | None = None) -> list[Work]:
    """Return the work (of ``subjects``, or all) that overlaps ``[start, end)``, called off or not, by start."""
    query = select(maintenance).where(maintenance.c.start_ms < end, maintenance.c.end_ms > start)
    if subjects is not None:
        query = query.where(maintenance.c.subject.in_(subjects))
    return [_work(row) for row in tx.execute(query.order_by(maintenance.c.start_ms, maintenance.c.id))]


def _work(row: Row[tuple[object, ...]]) -> Work:
    return Work(
        id=row.id,
        subject=row.subject,
        start=row.start_ms,
        end=row.end_ms,
        reason=row.reason,
        author=row.author,
        approver=row.approver,
        approved=row.approved_ms,
        cancelled=row.cancelled_ms,
    )
