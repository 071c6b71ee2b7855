"""Recorder: writes what the centre itself measured (check results, SNMP points) to the store, in batches, holding up nobody."""

import logging
from collections import deque
from collections.abc import Iterable
from typing import Final

from collectors.point import Point
from server.store import Store, StoreUnavailable

_log: Final = logging.getLogger("pantau.record")


class Recorder:
    """Takes points at once, writes them at the next ``flush``.

    While the store is away up to ``held`` of them wait in memory, then the oldest go, counted.
    """

    def __init__(self, store: Store, held: int = 200_000) -> None:
        self._store = store
        self._limit = held
        self._held: deque[Point] = deque()
        self._away = False
        self.dropped = 0

    def add(self, points: Iterable[Point]) -> None:
        """Keep points to be written at the next flush."""
        self._held.extend(points)
        while len(self._held) > self._limit:
            self._held.popleft()
            self.dropped += 1

    async def flush(self) -> None:
        """Write what is held; keeps it when the store is away."""
        batch = list(self._held)
        if not batch:
            return
        try:
            written = await self._store.write(batch)
        except StoreUnavailable as error:
            if not self._away:
                _log.warning("the store is away (%s); results wait in memory", error)
            self._away = True
            return
        # only what was written goes: points may have come, or the oldest been dropped, while the store worked
        done = set(map(id, batch))
        self._held = deque(point for point in self._held if id(point) not in done)
        if self._away:
            _log.info("the store is back")
        self._away = False
        for rejected in written.rejected:
            _log.warning("a field of our own was rejected: %s", rejected.why)
