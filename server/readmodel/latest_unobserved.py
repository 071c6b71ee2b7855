"""The latest stretches in which nobody observed, for the page of the schedule."""

from collections.abc import Callable, Sequence
from typing import Final

from alerts.tables import Database, StateAway
from server.ledger import unobserved
from server.ledger.running_time import RunningTime
from server.ledger.unobserved import Unobserved
from server.readmodel.last_known import LastKnown
from server.readmodel.recent_days import Kept

_KEPT_FOR: Final = 10_000
_MOST: Final = 100  # stretches that are read: this process noticed some of them, too


class LatestUnobserved:
    """Answers from what this process noticed (``running``), and from the rows of before, which are read every ten seconds at most.

    ``steady`` is ms that only grow.
    """

    def __init__(self, database: Database, running: RunningTime | None, steady: Callable[[], int]) -> None:
        self._database = database
        self._running = running
        self._steady = steady
        self._kept = Kept[Sequence[Unobserved]](_KEPT_FOR)
        self._last = LastKnown[Sequence[Unobserved]]()

    async def latest(self, most: int) -> Sequence[Unobserved]:
        """Return at most ``most`` stretches, the newest first; while the database is away, those of before as they were known last."""
        noticed = [] if self._running is None else list(self._running.noticed)[::-1]
        ends = {stretch.end for stretch in noticed}
        written = [stretch for stretch in await self._written() if stretch.end not in ends]
        return [*noticed, *written][:most]

    async def _written(self) -> Sequence[Unobserved]:
        try:
            return await self._last.get(lambda: self._kept.get("", self._steady(), self._read))
        except StateAway:
            return ()

    async def _read(self) -> Sequence[Unobserved]:
        return await self._database.read(lambda tx: unobserved.written(tx, _MOST))
