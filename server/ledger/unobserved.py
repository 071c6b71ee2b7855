"""Stretches in which nobody observed: what was noticed while it happened, and what the rows of running time say of before."""

from itertools import pairwise
from typing import Final, Literal

import msgspec
from sqlalchemy import Connection, select

from configs.clock import Gap
from server.calendar.intervals import merge
from server.state.tables import monitor_run

Cause = Literal["not running", "stopped", "asleep or set forward", "set back"]

_SHORTEST: Final = 1_000  # ms; a shorter one is no more than the time between two looks


class Unobserved(msgspec.Struct, frozen=True):
    """A stretch in ms of the wall clock, and why nobody observed in it, None when that is not known.

    After the clock was ``set back``, ``end`` lies before ``start``, and nothing is missing.
    """

    start: int
    end: int
    cause: Cause | None = None


def noticed(gap: Gap) -> Unobserved:
    """Return what a gap was that this process noticed."""
    cause: Cause = "asleep or set forward"
    if gap.after < gap.before:
        cause = "set back"
    elif gap.awake * 2 >= gap.after - gap.before:
        cause = "stopped"
    return Unobserved(gap.before, gap.after, cause)


def written(tx: Connection, runs: int) -> list[Unobserved]:
    """Return what lies between the newest ``runs`` rows of running time, the newest first.

    Rows tell a cause only where another version ran afterwards: then Pantau was not running in between.
    """
    columns = (monitor_run.c.start_ms, monitor_run.c.beat_ms, monitor_run.c.version)
    rows = tx.execute(select(*columns).order_by(monitor_run.c.id.desc()).limit(runs)).all()[::-1]
    upgraded = {after.start_ms for before, after in pairwise(rows) if after.version != before.version}
    ran = [(start, beat) for start, beat, _ in rows]
    if ran:  # the newest may be so new that it gave no sign of life yet
        ran[-1] = (ran[-1][0], max(ran[-1][0] + 1, ran[-1][1]))
    found = [
        Unobserved(start, end, "not running" if end in upgraded else None)
        for (_, start), (end, _) in pairwise(merge(ran))
        if end - start >= _SHORTEST
    ]
    return found[::-1]
