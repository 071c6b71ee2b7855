"""What to show of a subject whose checks have each their own state. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from alerts.state import State
from collectors.result import Reason, Status
from server.watching.planned_checks import PlannedCheck

# the worst first: a known fault outranks blindness, blindness outranks a good look of another check
ORDER: Final = (Status.DOWN, Status.DEGRADED, Status.UNKNOWN, Status.UP)
_MISSED_LOOKS: Final = 3
_GRACE: Final = 30_000


class SubjectStatus(msgspec.Struct, frozen=True):
    """A subject as it looks now; times are ms since epoch, ``took`` is ms; ``at`` is the last look, None before the first."""

    status: Status = Status.UNKNOWN
    reason: Reason | None = None
    detail: str = ""
    since: int | None = None
    at: int | None = None
    took: int | None = None
    pending: bool = False
    flapping: bool = False
    check: str = ""


class Now(NamedTuple):
    """The present on both scales of ``configs.clock``, ms: no step of the wall clock makes a look an old one."""

    wall: int
    steady: int


def of_check(state: State, watch: PlannedCheck | None, now: Now) -> SubjectStatus:
    """Return what one check says: its hard status, or UNKNOWN while it is blind or has stopped looking."""
    status, since = state.status, state.since
    if state.blind_since is not None:
        status, since = Status.UNKNOWN, state.blind_since
    elif watch and _silent(state, now) > _MISSED_LOOKS * watch.interval * 1000 + _GRACE:
        status, since = Status.UNKNOWN, state.last_at
    blind = status is Status.UNKNOWN
    return SubjectStatus(
        status=status,
        reason=state.last_reason if blind else state.reason,
        detail=state.last_detail if blind else state.detail,
        since=since,
        at=state.last_at,
        took=state.last_took,
        pending=state.pending_status is not None,
        flapping=state.flapping_since is not None,
        check=state.check,
    )


def of_subject(states: Iterable[State], checks: Mapping[str, PlannedCheck], now: Now) -> SubjectStatus:
    """Return the worst of what the checks say that speak for the subject; of all checks when none of them does."""
    every = list(states)
    speaking = [state for state in every if _speaks(checks.get(state.check))] or every
    seen = [of_check(state, checks.get(state.check), now) for state in speaking]
    if not seen:
        return SubjectStatus()
    worst = min(seen, key=lambda one: (ORDER.index(one.status), one.since or 0))
    took = worst.took if worst.took is not None else next((one.took for one in seen if one.took is not None), None)
    return msgspec.structs.replace(
        worst, took=took, pending=any(one.pending for one in seen), flapping=any(one.flapping for one in seen)
    )


def _silent(state: State, now: Now) -> int:
    return min(now.wall - state.last_at, now.steady - state.seen_steady)


def _speaks(watch: PlannedCheck | None) -> bool:
    return watch is None or watch.counts
