"""State: what we believe of one subject by one check, and how one look changes it.

``step`` is pure; ``alerts.state_rows`` reads and writes the table. All times and stretches are milliseconds.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from alerts.recent import Recent
from collectors.result import Reason, Result, Status

Severity = Literal["critical", "high", "medium", "low"]

# A look speaks until 2.5 intervals after it: one look that was skipped or lost, and half an interval of lateness, is no gap.
REACH: Final = (5, 2)

_BLIND: Final = 3  # looks in a row that cannot tell, before that is believed
_FEW: Final = 10  # looks that are kept where no policy says how many
# what an incident of its own tells: the store, the database of state, a host that is silent
_TOLD_ELSEWHERE: Final = frozenset({Reason.STORE_UNREADABLE, Reason.STATE_AWAY, Reason.SILENT})
_RANK: Final = {Status.UNKNOWN: 0, Status.UP: 0, Status.DEGRADED: 1, Status.DOWN: 2}


def reach(step: int) -> int:
    """Return how long after it a look of an interval of ``step`` ms still speaks."""
    return step * REACH[0] // REACH[1]


class Policy(msgspec.Struct, frozen=True):
    """How much it takes to change our mind about the subjects of one check. Stretches are seconds.

    Away from UP (and between DEGRADED and DOWN): ``confirm`` looks in a row spanning at least ``hold``; back to UP: ``recover``
    looks spanning ``recover_hold``. ``unstable`` is N of the last M looks that fail: then the subject is DEGRADED, though never enough
    failed in a row. UNKNOWN in the place of UP: three looks in a row spanning ``blind_for`` (None: never). ``flaps`` is N flips within T
    seconds: then it flaps. ``interval`` is the time between looks. ``severity`` None: from the subject's criticality. ``counts``: whether
    the check speaks for availability. ``family`` names the check of the incident that its ``siblings`` share with it.
    """

    interval: float
    confirm: int = 2
    hold: float = 0.0
    recover: int = 1
    recover_hold: float = 0.0
    severity: Severity | None = None
    counts: bool = True
    unstable: tuple[int, int] | None = None
    blind_for: float | None = None
    flaps: tuple[int, float] = (4, 1800.0)
    family: str = ""
    siblings: tuple[str, ...] = ()


def reach_of(policy: Policy) -> int:
    """Return for how many ms a look at a subject still speaks."""
    return reach(round(policy.interval * 1000))


class State(msgspec.Struct, frozen=True):
    """What we believe of ``subject`` by ``check``: one row of table ``state``.

    ``status`` is hard; UNKNOWN there means never yet known, or ``blind`` for so long that this is believed; ``since`` is its onset.
    ``pending_*`` is a change that waits for confirmation. ``blind_since`` is set while looks say UNKNOWN: when the first of those began
    that count together. ``last_*`` is the latest look, ``last_up`` the latest good one. ``seen_steady``, ``pending_last`` and
    ``blind_last`` are steady time: of the latest look, and of the latest of those that wait; ``pending_held`` and ``blind_held`` is the
    time that was observed between them. All else is wall clock.
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
    seen_steady: int = 0
    pending_last: int = 0
    pending_held: int = 0
    blind: bool = False
    blind_count: int = 0
    blind_last: int = 0
    blind_held: int = 0
    recent: Recent = Recent()
    flapping_since: int | None = None


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
    held: int


def step(state: State | None, result: Result, policy: Policy, *, steady: int) -> Step:
    """Return what is believed after ``result``, whose look began at ``steady``; looks not later than the last one change nothing.

    Durations are those of steady time. A later look with an earlier time of the wall clock means that this was set back: times that
    lie ahead of it are drawn back to it.
    """
    if state is None:
        state = _unknown(result)
    elif steady <= state.seen_steady:
        return Step(state)
    elif result.at <= state.last_at:
        state = _rewound(state, result.at)
    if result.status is Status.UNKNOWN:
        return _blinded(_looked(state, result, steady), result, policy, steady)
    after = _stepped(_counted(state, result, policy, steady), result, policy, steady)
    return replace(after, state=_flapping(after.state, policy, result.at, steady))


def _stepped(state: State, result: Result, policy: Policy, steady: int) -> Step:
    """Return what is believed after a look that was not UNKNOWN and is among the latest ones."""
    if result.status is state.status:
        return Step(settled(state), seen=_seen(result, policy, state.status, state.reason, result.at))
    run = _run(state, result, policy, steady)
    if _confirmed(state, run, policy):
        return _flip(state, run, result, policy, steady)
    if _is_unstable(state, result, policy):
        return _unstable(state, result, policy, steady)
    told = None
    if state.status is not Status.UNKNOWN:
        told = _seen(result, policy, state.status, state.reason, result.at)
    return Step(_pending(state, run, steady), seen=told)


def _blinded(state: State, result: Result, policy: Policy, steady: int) -> Step:
    """Return what is believed after a look that could not tell: what was bad stays so, and what was well is UNKNOWN after a while."""
    seen = _seen(result, policy, Status.UNKNOWN, result.reason, result.at)
    if result.reason in _TOLD_ELSEWHERE:
        since = result.at if state.blind_since is None else state.blind_since
        return Step(replace(state, blind_since=since, blind_count=0, blind_held=0), seen=seen)
    passed = steady - state.blind_last
    goes_on = state.blind_count > 0 and passed <= reach_of(policy)
    state = replace(
        state,
        blind_since=state.blind_since if goes_on else result.at,
        blind_count=state.blind_count + 1 if goes_on else 1,
        blind_held=state.blind_held + max(passed, 0) if goes_on else 0,
        blind_last=steady,
    )
    enough = (
        state.blind_count >= _BLIND and policy.blind_for is not None and state.blind_held >= policy.blind_for * 1000
    )
    if not enough or state.blind or state.status not in {Status.UP, Status.UNKNOWN}:
        return Step(state, seen=seen)
    since = result.at if state.blind_since is None else state.blind_since
    flip = _flip_of(state, Status.UNKNOWN, result.reason, result.detail, at=since, confirmed=result.at)
    state = settled(
        replace(state, status=Status.UNKNOWN, reason=result.reason, detail=result.detail, since=since, blind=True)
    )
    return Step(state, flip, seen)


def _counted(state: State, result: Result, policy: Policy, steady: int) -> State:
    """Return the state with a look among the latest ones, which ends all blindness but a believed one."""
    recent = state.recent.looked(
        failed=result.status is not Status.UP,
        changed=state.last_status not in {result.status, Status.UNKNOWN},
        at=result.at,
        steady=steady,
        most=policy.unstable[1] if policy.unstable else _FEW,
        reach=reach_of(policy),
    )
    state = _looked(state, result, steady)
    return replace(state, recent=recent, blind_since=None, blind_count=0, blind_held=0)


def _is_unstable(state: State, result: Result, policy: Policy) -> bool:
    if policy.unstable is None or result.status is Status.UP or _RANK[state.status]:
        return False
    return state.recent.failures >= policy.unstable[0]


def _unstable(state: State, result: Result, policy: Policy, steady: int) -> Step:
    """Believe that a subject is unstable since the first of the N looks that failed."""
    since = state.recent.failed_at[-policy.unstable[0]] if policy.unstable else result.at
    run = _Run(Status.DEGRADED, Reason.UNSTABLE, since, 0, 0)
    return _flip(state, run, result, policy, steady)


def _flapping(state: State, policy: Policy, at: int, steady: int) -> State:
    flaps = state.recent.flaps(steady, policy.flaps, already=state.flapping_since is not None)
    if flaps == (state.flapping_since is not None):
        return state
    return replace(state, flapping_since=at if flaps else None)


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
        flapping_since=back(state.flapping_since),
        recent=replace(state.recent, failed_at=tuple(min(failed, at) for failed in state.recent.failed_at)),
    )


def _looked(state: State, result: Result, steady: int) -> State:
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
        seen_steady=steady,
    )


def _run(state: State, result: Result, policy: Policy, steady: int) -> _Run:
    """Add a look to the pending run, or begin a new one when it points the other way or is out of reach of the last of them.

    A run of DOWN and DEGRADED looks agrees on the one nearer to the hard status: alternating failures are confirmed, too.
    """
    hard, shown = _RANK[state.status], _RANK[result.status]
    pending, reason, since = state.pending_status, state.pending_reason, state.pending_since
    passed = steady - state.pending_last
    alone = passed > reach_of(policy)
    if pending is None or reason is None or since is None or (_RANK[pending] > hard) != (shown > hard) or alone:
        return _Run(result.status, result.reason, result.at, 1, 0)
    if abs(shown - hard) <= abs(_RANK[pending] - hard):
        pending, reason = result.status, result.reason
    return _Run(pending, reason, since, state.pending_count + 1, state.pending_held + max(passed, 0))


def _confirmed(state: State, run: _Run, policy: Policy) -> bool:
    if run.status is Status.UP:
        if state.status is Status.UNKNOWN:
            return True
        if state.reason is Reason.UNSTABLE and policy.unstable and state.recent.failures * 2 >= policy.unstable[0]:
            return False
        looks, hold = policy.recover, policy.recover_hold
    else:
        looks, hold = policy.confirm, policy.hold
    return run.count >= looks and run.held >= round(hold * 1000)


def _flip(state: State, run: _Run, result: Result, policy: Policy, steady: int) -> Step:
    detail = result.detail if result.status is run.status or run.reason is Reason.UNSTABLE else ""
    flip = _flip_of(state, run.status, run.reason, detail, at=run.since, confirmed=result.at)
    recent = state.recent.flipped(steady, policy.flaps[0])
    state = settled(
        replace(
            state,
            status=run.status,
            reason=run.reason,
            detail=detail,
            since=run.since,
            blind=False,
            # an outage is over: what failed in it says nothing of what follows
            recent=recent.calm if run.status is Status.UP else recent,
        )
    )
    if result.status is not run.status:
        state = _pending(state, _run(state, result, policy, steady), steady)
    return Step(state, flip, _seen(result, policy, run.status, run.reason, run.since))


def _flip_of(state: State, status: Status, reason: Reason, detail: str, *, at: int, confirmed: int) -> Flip:
    return Flip(
        check=state.check,
        subject=state.subject,
        from_status=state.status,
        to_status=status,
        at=at,
        confirmed=confirmed,
        reason=reason,
        detail=detail,
    )


def _pending(state: State, run: _Run, steady: int) -> State:
    return replace(
        state,
        pending_status=run.status,
        pending_reason=run.reason,
        pending_since=run.since,
        pending_count=run.count,
        pending_last=steady,
        pending_held=run.held,
    )


def settled(state: State) -> State:
    """Return a state in which no change waits."""
    return replace(state, pending_status=None, pending_reason=None, pending_since=None, pending_count=0, pending_held=0)


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
