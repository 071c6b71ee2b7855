"""Stretches in which nobody observed, and why: as they were noticed, and as rows of running time have them."""

from typing import Final, Literal, get_args

import msgspec
from sqlalchemy import Connection, func, select

from configs.clock import Gap
from server.state.tables import monitor_run

Cause = Literal["not running", "stopped", "asleep or set forward", "set back"]

_SHORTEST: Final = 1_000  # ms; a shorter one is no more than the time between two looks


class Unobserved(msgspec.Struct, frozen=True):
    """A stretch in ms of the wall clock, and why nobody observed in it.

    After the clock was ``set back``, ``end`` lies before ``start``, and nothing is missing.
    """

    start: int
    end: int
    cause: Cause


def noticed(gap: Gap) -> Unobserved:
    """Return what a gap was that this process noticed."""
    cause: Cause = "asleep or set forward"
    if gap.after < gap.before:
        cause = "set back"
    elif gap.awake * 2 >= gap.after - gap.before:
        cause = "stopped"
    return Unobserved(gap.before, gap.after, cause)


def written(tx: Connection, most: int) -> list[Unobserved]:
    """Return at most ``most`` stretches before rows of running time, the newest first; none from before causes were written down."""
    columns = (monitor_run.c.start_ms, monitor_run.c.gap_ms, monitor_run.c.cause)
    known = monitor_run.c.cause.in_(get_args(Cause)) & (func.abs(monitor_run.c.gap_ms) >= _SHORTEST)
    rows = tx.execute(select(*columns).where(known).order_by(monitor_run.c.id.desc()).limit(most))
    return [Unobserved(row.start_ms - row.gap_ms, row.start_ms, row.cause) for row in rows]
