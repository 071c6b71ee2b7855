"""Families of rules: several rules about one thing (a disk that fills: warning, critical) are one incident with one severity. Pure.

Each member keeps a state of its own, with its own ``for``; the incident of the family is as bad as the worst of them.
"""

from collections.abc import Callable, Sequence

import msgspec

from alerts.incident import rank
from alerts.state import Flip, Severity, State
from collectors.result import Status

_RANK = {Status.UNKNOWN: 0, Status.UP: 0, Status.DEGRADED: 2, Status.DOWN: 3}


class Whole(msgspec.Struct, frozen=True):
    """A family as a whole after one of its members flipped: as a flip of the family, the state that is worst, and how severe that is.

    ``broken`` are the checks of the members that are bad.
    """

    flip: Flip
    worst: State
    severity: Severity
    broken: tuple[str, ...]


def is_family(check: str) -> bool:
    """Return whether an incident's check names a family."""
    return check.startswith("family/")


def is_bad(member: State) -> bool:
    """Return whether a member is believed to be broken, or to be blind."""
    return _badness(member) > 0


def worst_of(members: Sequence[State], severity: Callable[[str, Status], Severity]) -> State:
    """Return the worst of members, the first one when nothing is wrong; ``severity`` is how severe a status by a check is."""
    worst = max(members, key=lambda one: (_badness(one), rank(severity(one.check, one.status))))
    return worst if is_bad(worst) else members[0]


def whole(flip: Flip, members: Sequence[State], family: str, severity: Callable[[str, Status], Severity]) -> Whole:
    """Return what a flip of a member makes of its family; ``members`` are the states of all, the flipped one first.

    ``severity`` is how severe a status by a check is.
    """
    worst = worst_of(members, severity)
    changed = msgspec.structs.replace(
        flip, check=family, to_status=worst.status, reason=worst.reason, detail=worst.detail
    )
    broken = tuple(one.check for one in members if is_bad(one))
    return Whole(changed, worst, severity(worst.check, worst.status), broken)


def _badness(member: State) -> int:
    """Return how bad a member is: what is blind is worse than what is well, and not as bad as what is known to be broken."""
    return 1 if member.blind else _RANK[member.status]
