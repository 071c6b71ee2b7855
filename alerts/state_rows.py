"""The table ``state``: what is believed, as rows. While a centre runs, ``alerts.states`` knows it first.

The steady time of one process means nothing to the next. In rows such times stand beside the wall clock of the latest look, as far from it
as they were of its steady time; ``alerts.unseen.resumed`` puts what is read on the scale of who reads it.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, and_, select

from alerts import tables
from alerts.recent import Recent
from alerts.state import State
from collectors.result import Reason, Status


def load(tx: Connection, check: str, subject: str) -> State | None:
    """Return what is believed of ``subject`` by ``check``, None when it was never looked at."""
    row = tx.execute(select(tables.state).where(_is(check, subject))).mappings().one_or_none()
    return None if row is None else from_row(row)


def forget(tx: Connection, check: str, subject: str) -> bool:
    """Delete a state; return whether there was one."""
    return bool(tx.execute(tables.state.delete().where(_is(check, subject))).rowcount)


def all_states(tx: Connection) -> list[State]:
    """Return every state, by subject and check."""
    rows = tx.execute(select(tables.state).order_by(tables.state.c.subject, tables.state.c.check_id))
    return [from_row(row) for row in rows.mappings()]


def _is(check: str, subject: str) -> Any:
    return and_(tables.state.c.check_id == check, tables.state.c.subject == subject)


def from_row(row: RowMapping | Mapping[str, Any]) -> State:
    """Return the state that a row holds, steady times beside the wall clock."""
    return State(
        check=row["check_id"],
        subject=row["subject"],
        status=Status(row["status"]),
        reason=Reason(row["reason"]),
        detail=row["detail"],
        since=row["since_ms"],
        pending_status=None if row["pending_status"] is None else Status(row["pending_status"]),
        pending_reason=None if row["pending_reason"] is None else Reason(row["pending_reason"]),
        pending_since=row["pending_since_ms"],
        pending_count=row["pending_count"],
        blind_since=row["blind_since_ms"],
        last_at=row["last_at_ms"],
        last_status=Status(row["last_status"]),
        last_reason=Reason(row["last_reason"]),
        last_detail=row["last_detail"],
        last_took=row["last_took_ms"],
        last_phases=msgspec.json.decode(row["last_phases"], type=dict[str, float]),
        last_facts=msgspec.json.decode(row["last_facts"], type=dict[str, str | int | float | bool]),
        last_up=row["last_up_ms"],
        seen_steady=row["last_at_ms"],
        pending_last=row["pending_last_ms"] or 0,
        pending_held=row["pending_held_ms"],
        blind=bool(row["blind"]),
        blind_count=row["blind_count"],
        blind_last=row["blind_last_ms"] or 0,
        blind_held=row["blind_held_ms"],
        recent=msgspec.json.decode(row["recent"], type=Recent),
        flapping_since=row["flapping_since_ms"],
    )


def to_row(state: State) -> dict[str, Any]:
    """Return a state as a row of the table."""
    ahead = state.last_at - state.seen_steady
    return {
        "check_id": state.check,
        "subject": state.subject,
        "status": state.status.value,
        "reason": state.reason.value,
        "detail": state.detail,
        "since_ms": state.since,
        "pending_status": state.pending_status and state.pending_status.value,
        "pending_reason": state.pending_reason and state.pending_reason.value,
        "pending_since_ms": state.pending_since,
        "pending_count": state.pending_count,
        "blind_since_ms": state.blind_since,
        "last_at_ms": state.last_at,
        "last_status": state.last_status.value,
        "last_reason": state.last_reason.value,
        "last_detail": state.last_detail,
        "last_took_ms": state.last_took,
        "last_phases": msgspec.json.encode(state.last_phases).decode(),
        "last_facts": msgspec.json.encode(state.last_facts).decode(),
        "last_up_ms": state.last_up,
        "pending_last_ms": state.pending_last + ahead,
        "pending_held_ms": state.pending_held,
        "blind": state.blind,
        "blind_count": state.blind_count,
        "blind_last_ms": state.blind_last + ahead,
        "blind_held_ms": state.blind_held,
        "recent": msgspec.json.encode(state.recent.shifted(ahead)).decode(),
        "flapping_since_ms": state.flapping_since,
    }
