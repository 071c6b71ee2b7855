"""Results that wait to be judged while the database of state is away: in their order, with their own times, up to a bound."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from alerts.judge import Observed
from alerts.tables import StateAway
from collectors.result import Result

_log: Final = logging.getLogger("pantau.state")
_HELD: Final = 100_000  # about 100 MB, and an hour of 800 checks that look twice a minute

Judge = Callable[[Result], Awaitable[Observed]]


class Unjudged:
    """Hands results to ``judge`` one after another; while that raises StateAway, up to ``held`` of them wait, then the oldest go.

    What went is in no span of the ledger: unobserved. One that is not ``wanted`` any more when its turn comes is left out.
    """

    def __init__(
        self, judge: Judge, wanted: Callable[[Result], bool] = lambda _result: True, held: int = _HELD
    ) -> None:
        self._judge = judge
        self._wanted = wanted
        self._limit = held
        self._held: deque[Result] = deque()
        self._in_order = asyncio.Lock()
        self._dropped = 0

    @property
    def waiting(self) -> int:
        """How many results wait."""
        return len(self._held)

    async def observe(self, result: Result) -> Observed | None:
        """Judge a result; None when it waits, since the database is away or others wait before it."""
        async with self._in_order:
            if not self._held:
                try:
                    return await self._judge(result)
                except StateAway:
                    pass
            self._hold(result)
        return None

    async def catch_up(self, judged: Callable[[Result, Observed], None]) -> None:
        """Judge what waits until nothing does, or the database is away again; ``judged`` is told of each."""
        count = 0
        while self._held:
            result = self._held[0]
            try:
                observed = await self._judge(result) if self._wanted(result) else None
            except StateAway:
                break
            except Exception:  # noqa: BLE001 - one result that cannot be judged must not cost the others
                _log.exception("a result of %s could not be judged", result.check)
            else:
                if observed is not None:
                    judged(result, observed)
            count += 1
            if self._held and self._held[0] is result:
                self._held.popleft()
        if count and not self._held:
            self._tell_end(count)

    def give_up(self) -> None:
        """Log what is lost because the centre ends now."""
        if self._held:
            _log.error("%d results wait for the database of state and are lost: unobserved", len(self._held))

    def _hold(self, result: Result) -> None:
        self._held.append(result)
        if len(self._held) > self._limit:
            self._held.popleft()
            if not self._dropped:
                _log.error("%d results wait for the database of state; older ones go: unobserved", self._limit)
            self._dropped += 1

    def _tell_end(self, count: int) -> None:
        _log.warning("%d results that waited for the database of state are judged", count)
        if self._dropped:
            _log.error("%d older ones had to go: what they saw is unobserved", self._dropped)
        self._dropped = 0
