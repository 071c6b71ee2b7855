"""The step as it was before states lived in memory (issue 10): what today's does, new features off, must be what this one did."""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from alerts.state import Flip, Policy, Seen
from collectors.result import Reason, Result, Status

_RANK: Final = {Status.UNKNOWN: 0, Status.UP: 0, Status.DEGRADED: 1, Status.DOWN: 2}


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


def step(state: State | None, result: Result, policy: Policy, *, now: int | None = None) -> Step:
    """Return what is believed after ``result``; looks not later than the last one change nothing.

    With ``now``, a last look that lies in the future means that the clock was set back: its times are drawn back to the new look.
    """
    if state is None:
        state = _unknown(result)
    elif now is not None and state.last_at > now >= result.at:
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
