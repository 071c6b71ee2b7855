"""The feed of what just happened, for whoever listens now: live pages. Nothing is kept; who was away reads the pages again."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import msgspec

Scalar = str | int | float | bool | None

_BACKLOG: Final = 100
RESYNC: Final = "resync"


class Event(msgspec.Struct, frozen=True):
    """One thing that happened: ``name`` is ``look``, ``flip``, ``incident``, ``host`` or ``resync`` (some were skipped)."""

    name: str
    data: Mapping[str, Scalar]


class Subscription:
    """What one listener has not read yet; when it falls behind, all of it becomes a single ``resync``."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Event | None] = asyncio.Queue(_BACKLOG)

    def put(self, event: Event | None) -> None:
        """Add an event, or None for the end; never waits."""
        if self._waiting.full():
            while not self._waiting.empty():
                self._waiting.get_nowait()
            self._waiting.put_nowait(Event(RESYNC, {}))
        self._waiting.put_nowait(event)

    async def get(self, timeout: float) -> Event | None:  # noqa: ASYNC109 - a heartbeat is due after it, not an error
        """Return the next event, None when the feed was closed; TimeoutError after ``timeout`` seconds without one."""
        async with asyncio.timeout(timeout):
            return await self._waiting.get()


class Feed:
    """Hands each event to every listener. Belongs to one event loop."""

    def __init__(self) -> None:
        self._listeners: set[Subscription] = set()
        self._closed = False

    def publish(self, event: str, data: Mapping[str, Scalar]) -> None:
        """Publish to every listener; ``data`` is small and holds nothing secret (``subject``, ``check``, ``status``, ``incident``)."""
        for listener in self._listeners:
            listener.put(Event(event, data))

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """Listen until the block ends."""
        listener = Subscription()
        if self._closed:
            listener.put(None)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    def close(self) -> None:
        """Publish to every listener, now and later, that this is the end."""
        self._closed = True
        for listener in self._listeners:
            listener.put(None)
