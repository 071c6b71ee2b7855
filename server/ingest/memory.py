"""The memory that writes may take: of their text by refusing what is too much, of the points made of it by taking turns."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from typing import Final

from server.ingest.answers import Refused

_BUSY_RETRY: Final = 2  # seconds
_MADE: Final = 4  # times the text that is held; so much may be made of it at a time
_OF_LINE: Final = 450  # bytes that reading a line and writing its point takes at most, measured
_OF_BYTE: Final = 10


class Hold:
    """What one request holds."""

    def __init__(self, memory: "Memory") -> None:
        self._memory = memory
        self.text = 0
        self.points = 0

    def take(self, size: int) -> None:
        """Hold so many bytes of text; Refused (429) when all requests together hold too much."""
        self._memory.take(self, size)

    async def turn(self, body: bytes) -> None:
        """Wait until what will be made of a text fits beside what is made of others, in the order of asking."""
        await self._memory.turn(self, len(body) * _OF_BYTE + (body.count(b"\n") + 1) * _OF_LINE)


class Memory:
    """Counts what all requests hold; ``text`` is the most bytes of text. One request alone is never too much."""

    def __init__(self, text: int) -> None:
        self._text = text
        self._points = text * _MADE
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.held = 0
        self.made = 0

    def limit(self, text: int) -> None:
        """Let all requests hold so many bytes of text from now on."""
        self._text = text
        self._points = text * _MADE

    @contextlib.contextmanager
    def request(self) -> Iterator[Hold]:
        """Hold for one request; all of it is given back at the end of the block."""
        hold = Hold(self)
        try:
            yield hold
        finally:
            self.held -= hold.text
            self._give_back(hold.points)

    def take(self, hold: Hold, size: int) -> None:
        """See ``Hold.take``."""
        if self.held > hold.text and self.held + size > self._text:
            raise Refused(429, "too many writes at once", retry=_BUSY_RETRY)
        hold.text += size
        self.held += size

    async def turn(self, hold: Hold, size: int) -> None:
        """See ``Hold.turn``."""
        if self._waiting or not self._fits(size):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((size, turn))
            try:
                await turn
            except asyncio.CancelledError:
                # it may have come just now
                if turn.done() and not turn.cancelled():
                    self._give_back(size)
                raise
        else:
            self.made += size
        hold.points += size

    def _fits(self, size: int) -> bool:
        return not self.made or self.made + size <= self._points

    def _give_back(self, size: int) -> None:
        self.made -= size
        while self._waiting:
            wanted, turn = self._waiting[0]
            if not turn.done():
                if not self._fits(wanted):
                    return
                self.made += wanted
                turn.set_result(None)
            self._waiting.popleft()
