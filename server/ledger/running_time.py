"""When the centre itself ran: a row for each start and for what follows a gap, with its last sign of life. Nobody looked otherwise."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, bindparam, case, func, insert, select, text, update

from alerts.tables import Database
from configs.clock import Gap
from server.calendar.intervals import Stretch, merge
from server.ledger.unobserved import Cause, Unobserved, noticed
from server.state.tables import monitor_run

_log: Final = logging.getLogger("pantau.server")

# The newest run reaches to now while its last sign of life is younger than this, ms; an older run ends at its last one.
SILENCE: Final = 30_000
_NOTICED: Final = 50  # gaps of this run that are remembered for pages
# with every batch of looks, so it is made once
_LIFE: Final = text("""
    UPDATE monitor_run SET beat_ms = :now, ahead_ms = :ahead, start_ms = CASE WHEN start_ms > :now THEN :now ELSE start_ms END
    WHERE id = (SELECT MAX(id) FROM monitor_run)
""").bindparams(bindparam("now", type_=BigInteger()), bindparam("ahead", type_=BigInteger()))


class RunningTime:
    """This run of the centre: ``start`` it once, ``show_life`` every few seconds and when it ends; ``clock`` is ms since epoch.

    ``ahead`` is by how many ms that is ahead of steady time now. ``noticed`` are the latest gaps in it, the oldest first, whether they are
    recorded yet or not.
    """

    def __init__(
        self, database: Database, clock: Callable[[], int], version: str, *, ahead: Callable[[], int] = lambda: 0
    ) -> None:
        self._database = database
        self._clock = clock
        self._version = version
        self._ahead = ahead
        self._gaps: deque[Gap] = deque()
        self._started = False
        self.noticed: deque[Unobserved] = deque(maxlen=_NOTICED)

    async def start(self, carry_over: Callable[[Connection, int], None] = lambda _tx, _ahead: None) -> None:
        """Record that the centre starts, and within the same transaction let what waits in steady time be carried over.

        ``carry_over`` is told by how many ms the wall clock was ahead of the steady time of the run before when that last showed life:
        the steady time of this one begins as the wall clock.
        """
        now = self._clock()

        def begin(tx: Connection) -> None:
            columns = (monitor_run.c.beat_ms, monitor_run.c.ahead_ms)
            before = tx.execute(select(*columns).where(monitor_run.c.id == _newest(tx))).one_or_none()
            if before is None:
                start_run(tx, now, self._version)
                return
            carry_over(tx, before.ahead_ms)
            cause: Cause = "not running" if now >= before.beat_ms else "set back"
            start_run(tx, now, self._version, Unobserved(before.beat_ms, now, cause))

        await self._database.write(begin)
        self._started = True

    def interrupt(self, gap: Gap) -> None:
        """Log a stretch that nobody saw; it is recorded with the next sign of life."""
        self._gaps.append(gap)
        self.noticed.append(noticed(gap))
        _log.warning("%s", words(gap))

    def show_life(self, tx: Connection, at: int) -> None:
        """Record within ``tx`` that it runs ``at`` (ms), what interrupted it until then, and that all it saw until then is written.

        The transaction may be rolled back and tried again.
        """
        if not self._started:
            return
        while self._gaps and _is_written(tx, self._gaps[0]):
            self._gaps.popleft()
        for gap in tuple(self._gaps):
            interrupted(tx, gap, self._version)
        beat(tx, at, ahead=self._ahead())


def words(gap: Gap) -> str:
    """Return a stretch that nobody saw in words, for the log."""
    if gap.after < gap.before:
        return f"the clock was set back by {(gap.before - gap.after) / 1000:.0f} s: what was seen goes on from there"
    return (
        f"nobody watched for {(gap.after - gap.before) / 1000:.0f} s, which count as unobserved:"
        " this process was stopped, the machine slept, or the clock was set forward"
    )


def interrupted(tx: Connection, gap: Gap, version: str) -> None:
    """End the newest run where a gap begins, and begin another where it ends. What lies between is unobserved.

    A sign of life may have been written since, before anybody noticed the gap.
    """
    end = case((monitor_run.c.start_ms > gap.before, monitor_run.c.start_ms), else_=gap.before)
    tx.execute(update(monitor_run).where(monitor_run.c.id == _newest(tx)).values(beat_ms=end))
    start_run(tx, gap.after, version, noticed(gap))


def start_run(tx: Connection, now: int, version: str, before: Unobserved | None = None) -> None:
    """Note that the centre starts, and what was ``before`` that. A run that claims the future (the clock was set back) is cut at now."""
    late = monitor_run.c.beat_ms > now
    tx.execute(update(monitor_run).where(late).values(beat_ms=_later(monitor_run.c.start_ms, now)))
    why = {} if before is None else {"gap_ms": before.end - before.start, "cause": before.cause}
    tx.execute(insert(monitor_run).values(start_ms=now, beat_ms=now, version=version, **why))


def beat(tx: Connection, now: int, *, ahead: int = 0) -> None:
    """Note that the newest run still goes on; call it every few seconds, well within ``SILENCE``, and when it stops."""
    tx.execute(_LIFE, {"now": now, "ahead": ahead})


def running(tx: Connection, start: int, end: int, now: int) -> list[Stretch]:
    """Return when the centre ran, as far as it concerns ``[start, end)``."""
    rows = tx.execute(
        select(monitor_run.c.start_ms, monitor_run.c.beat_ms)
        .where(monitor_run.c.start_ms < end, monitor_run.c.beat_ms > start - SILENCE)
        .order_by(monitor_run.c.id)
    ).all()
    runs = [(low, high) for low, high in rows]
    if runs and now - runs[-1][1] <= SILENCE:
        runs[-1] = (runs[-1][0], now)
    return merge(runs)


def _newest(tx: Connection) -> int:
    return tx.execute(select(func.max(monitor_run.c.id))).scalar_one() or 0


def _is_written(tx: Connection, gap: Gap) -> bool:
    return tx.execute(select(monitor_run.c.id).where(monitor_run.c.start_ms == gap.after).limit(1)).first() is not None


def _later(column: Column[Any], now: int) -> Any:
    return case((column > now, column), else_=now)
