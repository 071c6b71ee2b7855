"""Incident: from the flip away from UP to the flip back. Identity is (check, subject); at most one is open. Times are ms."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, RowMapping, Select, insert, select, update

from alerts import audit, tables
from alerts.state import Flip, Policy, Severity
from collectors.result import Reason, Status

CloseReason = Literal["recovered", "retired"]

_SCALE: Final[tuple[Severity, ...]] = ("low", "medium", "high", "critical")
_BY_CRITICALITY: Final[dict[int, Severity]] = {5: "critical", 3: "high", 1: "medium"}
_table: Final = tables.incident


class Incident(msgspec.Struct, frozen=True):
    """One row: ``status`` now (or last when closed), ``severity`` the worst so far, ``opened`` the first failed look."""

    id: int
    check: str
    subject: str
    status: Status
    severity: Severity
    reason: Reason
    detail: str
    opened: int
    confirmed: int
    closed: int | None
    close_reason: CloseReason | None
    acked: int | None
    acked_by: str | None
    ack_note: str | None


class Notification(msgspec.Struct, frozen=True):
    """One message owed for an incident and what became of it: one row of the outbox; ``last_error`` holds no secret."""

    id: int
    kind: str
    channel: str
    recipient: str
    status: str
    attempt: int
    created: int
    sent: int | None
    last_error: str | None


def rank(severity: Severity) -> int:
    """Return how bad a severity is: 0 (low) to 3 (critical)."""
    return _SCALE.index(severity)


def severity_of(policy: Policy, criticality: int, status: Status) -> Severity:
    """Return a rule's own severity, or that of the subject's criticality (5, 3, 1); DEGRADED is one lower, UNKNOWN always."""
    severity = policy.severity or _BY_CRITICALITY.get(criticality, "high")
    milder = status is Status.UNKNOWN or (status is Status.DEGRADED and policy.severity is None)
    return _SCALE[max(rank(severity) - 1, 0)] if milder else severity


def follow(tx: Connection, flip: Flip, severity: Severity, as_whole: Flip | None = None) -> tuple[Incident | None, int]:
    """Record a flip and open, change or close its incident; return the incident (None: nothing was or is wrong) and flip's id.

    ``as_whole`` is what it makes of the family whose incident it is.
    """
    whole = as_whole or flip
    current = open_of(tx, whole.check, whole.subject)
    if whole.to_status is Status.UP or (current is None and flip.to_status is Status.UP):
        if current is not None:
            current = close(tx, current, at=whole.at, why="recovered")
    elif current is None:
        current = _open(tx, whole, severity)
    else:
        values = {
            "status": whole.to_status.value,
            "severity": max(current.severity, severity, key=rank),
            "reason": whole.reason.value,
            "detail": whole.detail,
        }
        current = _change(tx, current.id, values)
    return current, _record(tx, flip, current)


def record_first(tx: Connection, flips: Sequence[Flip]) -> None:
    """Record flips of subjects that were never bad, which concern no incident."""
    if flips:
        tx.execute(insert(tables.flip), [_flip_row(flip, None) for flip in flips])


def is_recorded(tx: Connection, flip: Flip) -> bool:
    """Return whether a flip is written already: the answer to its transaction was lost."""
    table = tables.flip.c
    written = select(table.id).where(
        table.check_id == flip.check,
        table.subject == flip.subject,
        table.at_ms == flip.at,
        table.confirmed_ms == flip.confirmed,
        table.to_status == flip.to_status.value,
    )
    return tx.execute(written.limit(1)).first() is not None


def change(tx: Connection, incident: Incident, *, status: Status, reason: Reason, detail: str) -> Incident:
    """Write down that something else is wrong by now; the severity stays the worst so far."""
    return _change(tx, incident.id, {"status": status.value, "reason": reason.value, "detail": detail})


def close(tx: Connection, incident: Incident, *, at: int, why: CloseReason) -> Incident:
    """Close an incident; never before it was opened, even when the clock was set back."""
    return _change(tx, incident.id, {"closed_ms": max(at, incident.opened), "close_reason": why})


def acknowledge(tx: Connection, incident_id: int, *, by: str, note: str, at: int) -> Incident | None:
    """Mark an open incident as taken care of, with an audit row; None when it is unknown or closed.

    A second acknowledgement takes over; the first stays in the audit.
    """
    current = get(tx, incident_id)
    if current is None or current.closed is not None:
        return None
    audit.note(
        tx,
        at=at,
        actor=by,
        action="incident.acknowledge",
        subject=current.subject,
        detail={"incident": incident_id, "note": note},
    )
    return _change(tx, incident_id, {"acked_ms": at, "acked_by": by, "ack_note": note})


def get(tx: Connection, incident_id: int) -> Incident | None:
    """Return one incident."""
    return next(iter(_incidents(tx, select(_table).where(_table.c.id == incident_id))), None)


def open_of(tx: Connection, check: str, subject: str) -> Incident | None:
    """Return the open incident of a check on a subject, if any."""
    query = select(_table).where(_table.c.check_id == check, _table.c.subject == subject, _table.c.closed_ms.is_(None))
    return next(iter(_incidents(tx, query)), None)


def open_incidents(tx: Connection) -> list[Incident]:
    """Return every open incident, the newest first."""
    return _incidents(tx, select(_table).where(_table.c.closed_ms.is_(None)).order_by(_table.c.id.desc()))


def recent(
    tx: Connection, *, limit: int = 50, before_id: int | None = None, subject: str | None = None
) -> list[Incident]:
    """Return incidents, open or closed, the newest first; of a subject and its parts; page on with ``before_id``."""
    query = select(_table).order_by(_table.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(_table.c.id < before_id)
    if subject is not None:
        query = query.where(tables.within(_table.c.subject, subject))
    return _incidents(tx, query)


def flips(tx: Connection, incident_id: int) -> list[Flip]:
    """Return the changes of status within an incident, in order."""
    table = tables.flip
    rows = tx.execute(select(table).where(table.c.incident_id == incident_id).order_by(table.c.id)).mappings()
    return [
        Flip(
            check=row["check_id"],
            subject=row["subject"],
            from_status=Status(row["from_status"]),
            to_status=Status(row["to_status"]),
            at=row["at_ms"],
            confirmed=row["confirmed_ms"],
            reason=Reason(row["reason"]),
            detail=row["detail"],
        )
        for row in rows
    ]


def messages(tx: Connection, incident_id: int) -> list[Notification]:
    """Return the messages owed for an incident, in order of planning."""
    table = tables.outbox
    rows = tx.execute(select(table).where(table.c.incident_id == incident_id).order_by(table.c.id)).mappings()
    return [
        Notification(
            id=row["id"],
            kind=row["kind"],
            channel=row["channel"],
            recipient=row["recipient"],
            status=row["status"],
            attempt=row["attempt"],
            created=row["created_ms"],
            sent=row["sent_ms"],
            last_error=row["last_error"],
        )
        for row in rows
    ]


def _open(tx: Connection, flip: Flip, severity: Severity) -> Incident:
    values = {
        "check_id": flip.check,
        "subject": flip.subject,
        "status": flip.to_status.value,
        "severity": severity,
        "reason": flip.reason.value,
        "detail": flip.detail,
        "opened_ms": flip.at,
        "confirmed_ms": flip.confirmed,
    }
    return _incident(tx.execute(insert(_table).values(values).returning(_table)).mappings().one())


def _change(tx: Connection, incident_id: int, values: dict[str, Any]) -> Incident:
    query = update(_table).where(_table.c.id == incident_id).values(values).returning(_table)
    return _incident(tx.execute(query).mappings().one())


def _record(tx: Connection, flip: Flip, incident: Incident | None) -> int:
    values = _flip_row(flip, None if incident is None else incident.id)
    return int(tx.execute(insert(tables.flip).values(values).returning(tables.flip.c.id)).scalar_one())


def _flip_row(flip: Flip, incident_id: int | None) -> dict[str, Any]:
    return {
        "incident_id": incident_id,
        "check_id": flip.check,
        "subject": flip.subject,
        "from_status": flip.from_status.value,
        "to_status": flip.to_status.value,
        "at_ms": flip.at,
        "confirmed_ms": flip.confirmed,
        "reason": flip.reason.value,
        "detail": flip.detail,
    }


def _incidents(tx: Connection, query: Select[Any]) -> list[Incident]:
    return [_incident(row) for row in tx.execute(query).mappings()]


def _incident(row: RowMapping) -> Incident:
    return Incident(
        id=row["id"],
        check=row["check_id"],
        subject=row["subject"],
        status=Status(row["status"]),
        severity=row["severity"],
        reason=Reason(row["reason"]),
        detail=row["detail"],
        opened=row["opened_ms"],
        confirmed=row["confirmed_ms"],
        closed=row["closed_ms"],
        close_reason=row["close_reason"],
        acked=row["acked_ms"],
        acked_by=row["acked_by"],
        ack_note=row["ack_note"],
    )
