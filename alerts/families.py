"""Families of rules: several rules about one thing (a disk that fills: warning, critical) are one incident with one severity. Pure.

Each member keeps a state of its own, with its own ``for``; the incident of the family is as bad as the worst of them.
"""

from collections.abc import Callable, Sequence

import msgspec

from alerts.incident import rank
from alerts.state import Flip, Severity, State
from collectors.result import Status

_RANK = {Status.UNKNOWN: 0, Status.UP: 0, Status.DEGRADED: 1, Status.DOWN: 2}


class Whole(msgspec.Struct, frozen=True):
    """A family as a whole after one of its members flipped: as a flip of the family, the state that is worst, and how severe that is."""

    flip: Flip
    worst: State
    severity: Severity


def is_family(check: str) -> bool:
    """Return whether an incident's check names a family."""
    return check.startswith("family/")


def whole(flip: Flip, members: Sequence[State], family: str, severity: Callable[[str, Status], Severity]) -> Whole:
    """Return what a flip of a member makes of its family; ``members`` are the states of all, the flipped one first.

    ``severity`` is how severe a status by a check is.
    """
    worst = max(members, key=lambda one: (_RANK[one.status], rank(severity(one.check, one.status))))
    bad = _RANK[worst.status] > 0
    changed = msgspec.structs.replace(
        flip,
        check=family,
        to_status=worst.status if bad else flip.to_status,
        reason=worst.reason if bad else flip.reason,
        detail=worst.detail if bad else flip.detail,
    )
    return Whole(changed, worst if bad else members[0], severity(worst.check, worst.status))


def any_bad(members: Sequence[State]) -> bool:
    """Return whether any member is believed to be broken, or to be blind."""
    return any(_RANK[one.status] > 0 or one.blind for one in members)
