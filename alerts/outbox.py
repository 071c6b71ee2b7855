"""Outbox: the table of messages owed, each to one recipient on one channel. Planned with the change they tell of, leased, settled.

Every function works inside the transaction it is given and does no other I/O. Times are ms: those of waiting (when a message is due, how
long it is worth sending, leases, when a channel may be tried again) are on the ``steady`` scale of the process (``configs.clock``), those
that people read are on the wall clock, ``now``.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    bindparam,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)

from alerts import tables
from alerts.i18n.catalogue import LanguageCode
from alerts.incident import Incident, rank
from alerts.message import Facts, Kind
from alerts.route import Owed
from alerts.state import Severity
from collectors.result import Status

Outcome = Literal["delivered", "transient", "uncertain", "permanent"]

_HOUR: Final = 3_600_000
LEASE: Final = 60_000
LONGEST_WAIT: Final = _HOUR  # that the other side may ask for; no pause of ours is longer
_LIFE: Final[dict[Severity, int]] = {"critical": 24 * _HOUR, "high": 24 * _HOUR, "medium": 6 * _HOUR, "low": _HOUR}
_CLOSING_LIFE: Final = 24 * _HOUR
_MAX_UNCERTAIN: Final = 3
_PROBLEMS: Final = ("problem", "update")
_table: Final = tables.outbox
# asked again and again, so it is made once
_ANY: Final = (
    select(_table.c.id)
    .where(_table.c.channel == bindparam("channel"), _table.c.status.in_(("queued", "leased")))
    .limit(1)
)


class Leased(msgspec.Struct, frozen=True):
    """One message that is ours to send now; ``uncertain`` counts earlier tries that may have arrived."""

    id: int
    kind: Kind
    channel: str
    recipient: str
    key: str
    facts: Facts
    attempt: int
    uncertain: int


class Idle(msgspec.Struct, frozen=True):
    """Nothing to send now; ``until`` is when to look again, None when only a new message can change that."""

    until: int | None


def owe_problem(
    tx: Connection,
    incident: Incident,
    flip_id: int,
    owed: Iterable[Owed],
    facts: Callable[[LanguageCode], Facts],
    now: int,
    steady: int,
) -> int:
    """Plan a message to everyone in ``owed`` who was not yet told this much of the incident; return how many."""
    planned = 0
    for one in owed:
        told = _last_told(tx, incident.id, one.channel, one.recipient)
        if told is not None and not _is_worse(incident, told):
            continue
        kind: Kind = "problem" if told is None else "update"
        planned += _plan(tx, kind, flip_id, one.channel, one.recipient, facts(one.language), now, steady)
    return planned


def _is_worse(incident: Incident, told: Facts) -> bool:
    fell = told.status is Status.DEGRADED and incident.status is Status.DOWN
    return fell or rank(incident.severity) > rank(told.severity)


def owe_closing(
    tx: Connection,
    incident: Incident,
    flip_id: int | None,
    facts: Callable[[LanguageCode], Facts],
    now: int,
    steady: int,
) -> int:
    """Plan the closing message of everyone to whom a problem was owed; whether it goes out is decided when it is leased."""
    query = (
        select(_table.c.channel, _table.c.recipient)
        .where(_table.c.incident_id == incident.id, _table.c.kind.in_(_PROBLEMS))
        .group_by(_table.c.channel, _table.c.recipient)
        .order_by(func.min(_table.c.id))
    )
    planned = 0
    for channel, recipient in tx.execute(query).all():
        told = _last_told(tx, incident.id, channel, recipient)
        if told is not None:
            planned += _plan(tx, "recovery", flip_id, channel, recipient, facts(told.language), now, steady)
    return planned


def carry_over(tx: Connection, ahead: int) -> None:
    """Put what waits on the scale of a process that starts: the wall clock was ``ahead`` ms of the steady time of the one before."""
    if not ahead:
        return
    later = {column: column + ahead for column in (_table.c.not_before_ms, _table.c.expires_ms)}
    tx.execute(update(_table).where(_table.c.status.in_(("queued", "leased"))).values(later))
    blocked = tables.channel_state.c.retry_at_ms
    tx.execute(update(tables.channel_state).values({blocked: blocked + ahead}))


def adopt(tx: Connection, owner: str, channels: Collection[str], now: int, steady: int) -> tuple[int, int]:
    """Begin as the only courier: take back what others had leased, bury what no channel can carry; return both numbers.

    A message that was leased may have been sent. What was carried over may still be off by steps of the clock while no process ran:
    nothing waits longer, or is worth sending for less, than was meant.
    """
    taken = tx.execute(
        update(_table)
        .where(_table.c.status == "leased", or_(_table.c.lease_owner.is_(None), _table.c.lease_owner != owner))
        .values(_returned(steady))
    ).rowcount
    far = steady + LONGEST_WAIT
    waiting = (_table.c.status == "queued") & (_table.c.not_before_ms > far)
    tx.execute(update(_table).where(waiting).values(not_before_ms=far))
    blocked = tables.channel_state
    tx.execute(update(blocked).where(blocked.c.retry_at_ms > far).values(retry_at_ms=far))
    for row in tx.execute(select(_table).where(_table.c.status == "queued")).mappings().all():
        life = _life(row["kind"], msgspec.json.decode(row["payload"], type=Facts).severity)
        # its life on the wall clock is the truth wherever that was not set meanwhile
        expires = steady + min(max(row["expires_ms"] - steady, row["created_ms"] + life - now), life)
        if expires != row["expires_ms"]:
            tx.execute(update(_table).where(_table.c.id == row["id"]).values(expires_ms=expires))
    return taken, bury(tx, channels)


def bury(tx: Connection, channels: Collection[str]) -> int:
    """Give up the messages that wait for a channel that is none of ``channels``; return how many."""
    return tx.execute(
        update(_table)
        .where(_table.c.status == "queued", _table.c.channel.not_in(channels))
        .values(status="dead", last_error="its channel is not in the settings any more")
    ).rowcount


def lease(tx: Connection, channel: str, owner: str, steady: int, *, busy: Collection[int] = ()) -> Leased | Idle:
    """Lease the next message of a channel for ``LEASE`` ms, or say until when there is none.

    A message waits for the earlier ones of its incident and recipient. Whether it is still worth sending is decided here.
    ``busy`` are the rows that the caller is sending: however long that takes, their leases do not end.
    """
    if tx.execute(_ANY, {"channel": channel}).first() is None:
        return Idle(None)
    blocked = tx.execute(
        select(tables.channel_state.c.retry_at_ms).where(tables.channel_state.c.channel == channel)
    ).scalar_one_or_none()
    if blocked is not None and blocked > steady:
        return Idle(blocked)
    leased = and_(_table.c.channel == channel, _table.c.status == "leased", _table.c.id.not_in(busy))
    tx.execute(update(_table).where(leased, _table.c.lease_until_ms <= steady).values(_returned(steady)))
    ready = and_(_table.c.channel == channel, _table.c.status == "queued", not_(_waits()))
    due = select(_table).where(ready, _table.c.not_before_ms <= steady).order_by(_table.c.id).limit(1)
    while (row := tx.execute(due.with_for_update(skip_locked=True)).mappings().one_or_none()) is not None:
        values = _revalidate(tx, row, steady)
        if "status" in values:
            tx.execute(update(_table).where(_table.c.id == row["id"]).values(values))
            continue
        values |= {
            "status": "leased",
            "lease_until_ms": steady + LEASE,
            "lease_owner": owner,
            "attempt": row["attempt"] + 1,
        }
        taken = update(_table).where(_table.c.id == row["id"]).values(values).returning(_table)
        return _leased(tx.execute(taken).mappings().one())
    next_due = tx.execute(select(func.min(_table.c.not_before_ms)).where(ready)).scalar_one()
    lease_ends = tx.execute(select(func.min(_table.c.lease_until_ms)).where(leased)).scalar_one()
    return Idle(min((at for at in (next_due, lease_ends) if at is not None), default=None))


def settle(
    tx: Connection,
    row: Leased,
    outcome: Outcome,
    *,
    at: int,
    now: int,
    took: int,
    detail: str = "",
    provider_id: str = "",
    retry_at: int | None = None,
    blocked_until: int | None = None,
) -> tuple[str, int]:
    """Record one try (begun ``at``, over ``now``, ``took`` ms): the row is sent, dead, or queued again for ``retry_at``.

    ``blocked_until`` stops the whole channel. Returns the row's new status and how often the channel had failed in a row before.
    """
    tx.execute(
        insert(tables.delivery_attempt).values(outbox_id=row.id, at_ms=at, took_ms=took, outcome=outcome, detail=detail)
    )
    values: dict[str, Any] = {"lease_until_ms": None, "lease_owner": None, "last_error": detail or None}
    if outcome == "delivered":
        values |= {"status": "sent", "sent_ms": now, "provider_id": provider_id}
    else:
        uncertain = row.uncertain + (outcome == "uncertain")
        hopeless = outcome == "permanent" or (outcome == "uncertain" and uncertain >= _MAX_UNCERTAIN)
        values |= {"status": "dead" if hopeless else "queued", "uncertain": uncertain}
        values |= {} if retry_at is None else {"not_before_ms": retry_at}
    tx.execute(update(_table).where(_table.c.id == row.id).values(values))
    return values["status"], _mark_channel(
        tx, row.channel, outcome, now=now, detail=detail, blocked_until=blocked_until
    )


def _plan(
    tx: Connection,
    kind: Kind,
    flip_id: int | None,
    channel: str,
    recipient: str,
    facts: Facts,
    now: int,
    steady: int,
) -> bool:
    """Add a row unless it is there; what was planned once is never planned again."""
    identity = f"{facts.incident}|{facts.opened}|{flip_id}|{kind}|{channel}|{recipient}|0"
    key = hashlib.sha256(identity.encode()).hexdigest()
    if tx.execute(select(_table.c.id).where(_table.c.idem_key == key)).first() is not None:
        return False
    tx.execute(
        insert(_table).values(
            incident_id=facts.incident,
            flip_id=flip_id,
            kind=kind,
            channel=channel,
            recipient=recipient,
            idem_key=key,
            payload=msgspec.json.encode(facts).decode(),
            status="queued",
            not_before_ms=steady,
            expires_ms=steady + _life(kind, facts.severity),
            created_ms=now,
        )
    )
    return True


def _revalidate(tx: Connection, row: RowMapping, steady: int) -> dict[str, Any]:
    """Return what must change in a row before it is sent; with a ``status`` in it, the row is not to be sent."""
    if row["expires_ms"] <= steady:
        return {"status": "dead", "last_error": row["last_error"] or "expired before it could be sent"}
    others = _same_recipient(tx, row)
    if row["kind"] in _PROBLEMS and any(other["id"] > row["id"] for other in others):
        return {"status": "superseded"}  # worse news or the end of it follows
    earlier = [other for other in others if other["id"] < row["id"]]
    told = any(other["status"] == "sent" or other["uncertain"] for other in earlier)
    if row["kind"] == "update" and not told:
        return {"kind": "problem"}
    if row["kind"] == "recovery" and not told:
        retired = msgspec.json.decode(row["payload"], type=Facts).close_reason == "retired"
        return {"status": "superseded"} if retired or _was_refused(tx, earlier) else {"kind": "brief"}
    return {}


def _same_recipient(tx: Connection, row: RowMapping) -> Sequence[RowMapping]:
    query = select(_table.c.id, _table.c.status, _table.c.uncertain).where(
        _table.c.incident_id == row["incident_id"],
        _table.c.channel == row["channel"],
        _table.c.recipient == row["recipient"],
        _table.c.id != row["id"],
    )
    return tx.execute(query).mappings().all()


def _was_refused(tx: Connection, rows: Iterable[RowMapping]) -> bool:
    attempt = tables.delivery_attempt.c
    ids = [row["id"] for row in rows]
    query = select(attempt.id).where(attempt.outbox_id.in_(ids), attempt.outcome == "permanent").limit(1)
    return tx.execute(query).first() is not None


def _waits() -> ColumnElement[bool]:
    """Return the SQL condition that an earlier message of the same incident to the same recipient is not settled."""
    earlier = _table.alias()
    return exists(
        select(earlier.c.id).where(
            earlier.c.incident_id == _table.c.incident_id,
            earlier.c.channel == _table.c.channel,
            earlier.c.recipient == _table.c.recipient,
            earlier.c.id < _table.c.id,
            earlier.c.status.in_(("queued", "leased")),
        )
    )


def _life(kind: Kind, severity: Severity) -> int:
    """Return for how many ms a message is worth sending."""
    return _LIFE[severity] if kind in _PROBLEMS else _CLOSING_LIFE


def _returned(steady: int) -> dict[str, Any]:
    return {
        "status": "queued",
        "uncertain": _table.c.uncertain + 1,
        "not_before_ms": steady,
        "lease_until_ms": None,
        "lease_owner": None,
    }


def _last_told(tx: Connection, incident_id: int, channel: str, recipient: str) -> Facts | None:
    query = (
        select(_table.c.payload)
        .where(
            _table.c.incident_id == incident_id,
            _table.c.channel == channel,
            _table.c.recipient == recipient,
            _table.c.kind.in_(_PROBLEMS),
        )
        .order_by(_table.c.id.desc())
        .limit(1)
    )
    payload = tx.execute(query).scalar_one_or_none()
    return None if payload is None else msgspec.json.decode(payload, type=Facts)


def _mark_channel(
    tx: Connection, channel: str, outcome: Outcome, *, now: int, detail: str, blocked_until: int | None
) -> int:
    """Keep a channel's count of failures in a row; a refused message is the recipient's fault, not the channel's."""
    table = tables.channel_state
    failures = tx.execute(select(table.c.failures).where(table.c.channel == channel)).scalar_one_or_none()
    if failures is None:
        tx.execute(insert(table).values(channel=channel))
    values: dict[str, Any]
    if outcome == "delivered":
        values = {"failures": 0, "last_error": None, "last_sent_ms": now}
    elif outcome == "permanent":
        values = {"last_error": detail}
    else:
        values = {"failures": table.c.failures + 1, "last_error": detail}
    if blocked_until is not None:
        values["retry_at_ms"] = blocked_until
    tx.execute(update(table).where(table.c.channel == channel).values(values))
    return failures or 0


def _leased(row: RowMapping) -> Leased:
    return Leased(
        id=row["id"],
        kind=row["kind"],
        channel=row["channel"],
        recipient=row["recipient"],
        key=row["idem_key"],
        facts=msgspec.json.decode(row["payload"], type=Facts),
        attempt=row["attempt"],
        uncertain=row["uncertain"],
    )
