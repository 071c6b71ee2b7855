"""State: what we believe of one subject by one check, and how one look changes it.

``step`` is pure; below it stand the few functions that read and write the table. All times and stretches are milliseconds.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, RowMapping, Select, and_, insert, select, update

from alerts import tables
from collectors.result import Reason, Result, Status

Severity = Literal["critical", "high", "medium", "low"]

# A look speaks until 2.5 intervals after it: one look that was skipped or lost, and half an interval of lateness, is no gap.
REACH: Final = (5, 2)

_RANK: Final = {Status.UNKNOWN: 0, Status.UP: 0, Status.DEGRADED: 1, Status.DOWN: 2}


def reach(step: int) -> int:
    """Return how long after it a look of an interval of ``step`` ms still speaks."""
    return step * REACH[0] // REACH[1]


class Policy(msgspec.Struct, frozen=True):
    """How much it takes to change our mind about the subjects of one check. Stretches are seconds.

    Away from UP (and between DEGRADED and DOWN): ``confirm`` looks in a row spanning at least ``hold``; back to UP: ``recover``
    looks spanning ``recover_hold``. ``interval`` is the time between looks. ``severity`` None: from the subject's criticality.
    ``counts``: whether the check speaks for availability.
    """

    interval: float
    confirm: int = 2
    hold: float = 0.0
    recover: int = 1
    recover_hold: float = 0.0
    severity: Severity | None = None
    counts: bool = True


class State(msgspec.Struct, frozen=True):
    """What we believe of ``subject`` by ``check``: one row of table ``state``.

    ``status`` is hard; UNKNOWN there means never yet known, and ``since`` is its onset. ``pending_*`` is a change that waits for
    confirmation, ``blind_since`` is set while looks say UNKNOWN, ``last_*`` is the latest look, ``last_up`` the latest good one.
    """

    check: str
    subject: str
    status: Status
    reason: Reason
    detail: str
    since: int
    pending_status: Status | None
    pending_reason: Reason | None
    pending_since: int | None
    pending_count: int
    blind_since: int | None
    last_at: int
    last_status: Status
    last_reason: Reason
    last_detail: str
    last_took: int | None
    last_phases: Mapping[str, float]
    last_facts: Mapping[str, str | int | float | bool]
    last_up: int | None


class Flip(msgspec.Struct, frozen=True):
    """A change of hard status: ``at`` is its onset (the first look that showed it), ``confirmed`` the look that settled it."""

    check: str
    subject: str
    from_status: Status
    to_status: Status
    at: int
    confirmed: int
    reason: Reason
    detail: str


class Seen(msgspec.Struct, frozen=True):
    """What the ledger is told after a look: at ``at`` the subject was ``status``.

    ``since`` equals ``at`` unless this look confirmed a change: then it is the first look of the change, and what was told since
    then (as the old status) is to be corrected; stretches told as UNKNOWN meanwhile stay unobserved. ``step`` is the check's
    interval in ms. ``at`` runs backwards only after the wall clock was set back.
    """

    check: str
    subject: str
    status: Status
    reason: Reason
    at: int
    since: int
    step: int
    counts: bool


class Step(msgspec.Struct, frozen=True):
    """What one look led to; ``flip`` and ``seen`` are None when nothing changed and nothing is to be told."""

    state: State
    flip: Flip | None = None
    seen: Seen | None = None


class _Run(msgspec.Struct, frozen=True):
    """Looks in a row that contradict the hard status to the same side; ``status`` is what all of them agree on."""

    status: Status
    reason: Reason
    since: int
    count: int


def step(state: State | None, result: Result, policy: Policy, *, steady: int | None = None) -> Step:
    """Return what is believed after ``result``; looks not later than the last one change nothing.

    With ``steady``, a last look that lies in the future means that the clock was set back: its times are drawn back to the new look.
    """
    if state is None:
        state = _unknown(result)
    elif steady is not None and state.last_at > steady >= result.at:
        state = _rewound(state, result.at)
    elif result.at <= state.last_at:
        return Step(state)
    state = _looked(state, result)
    if result.status is Status.UNKNOWN:
        blind_since = result.at if state.blind_since is None else state.blind_since
        return Step(
            replace(state, blind_since=blind_since),
            seen=_seen(result, policy, Status.UNKNOWN, result.reason, result.at),
        )
    state = replace(state, blind_since=None)
    if result.status is state.status:
        return Step(_settled(state), seen=_seen(result, policy, state.status, state.reason, result.at))
    run = _run(state, result)
    if _confirmed(state, run, result, policy):
        return _flip(state, run, result, policy)
    told = None
    if state.status is not Status.UNKNOWN:
        told = _seen(result, policy, state.status, state.reason, result.at)
    return Step(_pending(state, run), seen=told)


def _unknown(result: Result) -> State:
    return State(
        check=result.check,
        subject=result.subject,
        status=Status.UNKNOWN,
        reason=result.reason,
        detail=result.detail,
        since=result.at,
        pending_status=None,
        pending_reason=None,
        pending_since=None,
        pending_count=0,
        blind_since=None,
        last_at=result.at,
        last_status=result.status,
        last_reason=result.reason,
        last_detail=result.detail,
        last_took=None,
        last_phases={},
        last_facts={},
        last_up=None,
    )


def _rewound(state: State, at: int) -> State:
    def back(time: int | None) -> int | None:
        return None if time is None else min(time, at)

    return replace(
        state,
        since=min(state.since, at),
        pending_since=back(state.pending_since),
        blind_since=back(state.blind_since),
        last_up=back(state.last_up),
    )


def _looked(state: State, result: Result) -> State:
    return replace(
        state,
        last_at=result.at,
        last_status=result.status,
        last_reason=result.reason,
        last_detail=result.detail,
        last_took=None if result.took is None else round(result.took * 1000),
        last_phases=result.phases,
        last_facts=result.facts,
        last_up=result.at if result.status is Status.UP else state.last_up,
    )


def _run(state: State, result: Result) -> _Run:
    """Add a look to the pending run, or begin a new one when it points the other way.

    A run of DOWN and DEGRADED looks agrees on the one nearer to the hard status: alternating failures are confirmed, too.
    """
    hard, shown = _RANK[state.status], _RANK[result.status]
    pending, reason, since = state.pending_status, state.pending_reason, state.pending_since
    if pending is None or reason is None or since is None or (_RANK[pending] > hard) != (shown > hard):
        return _Run(result.status, result.reason, result.at, 1)
    if abs(shown - hard) <= abs(_RANK[pending] - hard):
        pending, reason = result.status, result.reason
    return _Run(pending, reason, since, state.pending_count + 1)


def _confirmed(state: State, run: _Run, result: Result, policy: Policy) -> bool:
    if run.status is Status.UP:
        if state.status is Status.UNKNOWN:
            return True
        looks, hold = policy.recover, policy.recover_hold
    else:
        looks, hold = policy.confirm, policy.hold
    return run.count >= looks and result.at - run.since >= round(hold * 1000)


def _flip(state: State, run: _Run, result: Result, policy: Policy) -> Step:
    detail = result.detail if result.status is run.status else ""
    flip = Flip(
        check=state.check,
        subject=state.subject,
        from_status=state.status,
        to_status=run.status,
        at=run.since,
        confirmed=result.at,
        reason=run.reason,
        detail=detail,
    )
    state = _settled(replace(state, status=run.status, reason=run.reason, detail=detail, since=run.since))
    if result.status is not run.status:
        state = _pending(state, _run(state, result))
    return Step(state, flip, _seen(result, policy, run.status, run.reason, run.since))


def _pending(state: State, run: _Run) -> State:
    return replace(
        state,
        pending_status=run.status,
        pending_reason=run.reason,
        pending_since=run.since,
        pending_count=run.count,
    )


def _settled(state: State) -> State:
    return replace(state, pending_status=None, pending_reason=None, pending_since=None, pending_count=0)


def _seen(result: Result, policy: Policy, status: Status, reason: Reason, since: int) -> Seen:
    return Seen(
        check=result.check,
        subject=result.subject,
        status=status,
        reason=reason,
        at=result.at,
        since=since,
        step=round(policy.interval * 1000),
        counts=policy.counts,
    )


def load(tx: Connection, check: str, subject: str) -> State | None:
    """Return what is believed of ``subject`` by ``check``, None when it was never looked at."""
    row = tx.execute(select(tables.state).where(_is(check, subject))).mappings().one_or_none()
    return None if row is None else _from_row(row)


def save(tx: Connection, state: State) -> None:
    """Write a state over the one before it."""
    values = to_row(state)
    if not tx.execute(update(tables.state).where(_is(state.check, state.subject)).values(values)).rowcount:
        tx.execute(insert(tables.state).values(values))


def forget(tx: Connection, check: str, subject: str) -> bool:
    """Delete a state; tell whether there was one."""
    return bool(tx.execute(tables.state.delete().where(_is(check, subject))).rowcount)


def all_states(tx: Connection) -> list[State]:
    """Return every state, by subject and check."""
    return _rows(tx, select(tables.state))


def of_subject(tx: Connection, subject: str) -> list[State]:
    """Return the states of a subject and of its parts (``host/srv-1`` and ``host/srv-1/path=/var``)."""
    return _rows(tx, select(tables.state).where(tables.within(tables.state.c.subject, subject)))


def of_check(tx: Connection, check: str) -> list[State]:
    """Return the states of every subject that a check or rule speaks of."""
    return _rows(tx, select(tables.state).where(tables.state.c.check_id == check))


def _rows(tx: Connection, query: Select[Any]) -> list[State]:
    ordered = query.order_by(tables.state.c.subject, tables.state.c.check_id)
    return [_from_row(row) for row in tx.execute(ordered).mappings()]


def _is(check: str, subject: str) -> Any:
    return and_(tables.state.c.check_id == check, tables.state.c.subject == subject)


def _from_row(row: RowMapping) -> State:
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
    )


def to_row(state: State) -> dict[str, Any]:
    """Return a state as a row of the table."""
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
    }
