"""Writes that wait for one transaction: a write that comes alone goes at once, under load they share one."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from collectors.point import Point
from server.store import Written


class Write(NamedTuple):
    """Points to be written, and who waits for the answer."""

    points: Sequence[Point]
    answer: asyncio.Future[Written]


class Gathering:
    """Writes in the order in which they came; for one event loop.

    As many as were under way at the end of the last transaction are expected to come again. They are waited for as long as that
    transaction took, and where several waited for its end up to ``window`` (s), unless ``full`` points are there.
    """

    def __init__(self, window: float, full: int) -> None:
        self._window = window
        self._full = full
        self._waiting: list[Write] = []
        self._enough = asyncio.Event()
        self._expected = 1
        self._began = self._until = 0.0

    def __len__(self) -> int:
        """Return how many writes wait."""
        return len(self._waiting)

    def add(self, points: Sequence[Point]) -> asyncio.Future[Written]:
        """Let points wait; return where the answer will be."""
        answer: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._waiting.append(Write(points, answer))
        if self._complete():
            self._enough.set()
        return answer

    async def gathered(self) -> list[Write]:
        """Return what waits, one write at least, when no more is expected."""
        loop = asyncio.get_running_loop()
        self._enough.clear()
        if not self._complete() and loop.time() < self._until:
            with suppress(TimeoutError):  # whoever was expected comes later or not at all
                async with asyncio.timeout_at(self._until):
                    await self._enough.wait()
        self._began = loop.time()
        taken, self._waiting = self._waiting, []
        return taken

    def written(self, taken: Sequence[Write]) -> None:
        """Note that the transaction of these has ended; those who came meanwhile wait."""
        self._expected = len(taken) + len(self._waiting)
        now = asyncio.get_running_loop().time()
        busy = len(self._waiting) > 1
        self._until = now + (self._window if busy else min(now - self._began, self._window))

    def _complete(self) -> bool:
        return len(self._waiting) >= self._expected or sum(len(write.points) for write in self._waiting) >= self._full
