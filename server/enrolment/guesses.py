"""Failed tries to join, counted for each address, so that who guesses waits and nobody else does."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from server.edge.client_address import client_network

WINDOW: Final = 60.0  # seconds


class Guesses:
    """Counts failures of the last minute, up to ``limit`` for each address; ``elapsed`` is a monotonic clock (s).

    Of more than ``most`` addresses those that failed longest ago are forgotten. That helps nobody to guess 128 random bits, and
    keeps a flood from taking memory or closing the door for others.
    """

    def __init__(self, elapsed: Callable[[], float] = time.monotonic, *, limit: int = 10, most: int = 10_000) -> None:
        self._elapsed = elapsed
        self._limit = limit
        self._most = most
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many addresses are remembered."""
        return len(self._failures)

    def too_many(self, address: str) -> bool:
        """Return whether this address has to wait."""
        failures = self._failures.get(client_network(address), ())
        since = self._elapsed() - WINDOW
        return sum(at >= since for at in failures) >= self._limit

    def failed(self, address: str) -> None:
        """Record a failure."""
        now, key = self._elapsed(), client_network(address)
        self._failures.setdefault(key, deque(maxlen=self._limit)).append(now)
        self._failures.move_to_end(key)
        while len(self._failures) > self._most or next(iter(self._failures.values()))[-1] < now - WINDOW:
            self._failures.popitem(last=False)
