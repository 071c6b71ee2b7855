"""The agent's clocks: the wall clock for stamps, the monotonic one for waiting, and how far the wall clock can be believed.

The wall clock may be wrong at the start (no battery, local time taken for UTC) and be set at any moment. A clock that runs on
through suspension is its witness: the two differ by ``skew``, which changes only when the wall clock is set. Once the centre
has told its time, stamps far ahead of it and those from before this program existed are made by the centre's time instead.
"""

import time
from collections.abc import Callable
from typing import Final

_EARLIEST: Final = 1_577_836_800_000  # 2020-01-01, in ms
_AHEAD: Final = 600_000


def _since_boot() -> float:
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clock:
    """The clocks of this machine. ``offset_ms`` is the centre's clock minus the wall clock, None until the centre has answered."""

    def __init__(
        self,
        wall: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        boot: Callable[[], float] = _since_boot,
    ) -> None:
        self.offset_ms: int | None = None
        self.monotonic = monotonic
        self._wall = wall
        self._boot = boot
        self._true_skew: int | None = None

    def now(self) -> int:
        """Return ns since epoch: the wall clock, or the centre's time where the wall clock cannot be right."""
        return self._wall() + self.shift(self._skew()) * 1_000_000

    def ms(self) -> int:
        """Return ``now`` in milliseconds."""
        return self.now() // 1_000_000

    @property
    def credible(self) -> bool:
        """Whether stamps made now can be right: the wall clock shows a time that may be, or the centre has told its own."""
        return self._true_skew is not None or not self._too_early(self._skew())

    def skew(self) -> int:
        """Return by how much ``ms`` is ahead of the clock that cannot be set (ms)."""
        skew = self._skew()
        return skew + self.shift(skew)

    def shift(self, skew: int) -> int:
        """Return how far stamps made at this skew have to be moved (ms): 0 when they may stay, or nothing better is known yet."""
        true = self._true_skew
        if true is not None:
            return true - skew if self._too_early(skew) or skew > true + _AHEAD else 0
        return self._skew() - skew if self._too_early(skew) and self.credible else 0

    def compare(self, centre_ms: int, took: float) -> None:
        """Learn from the ``Date`` of an answer (whole seconds, so half a second is added) that took so many seconds and just came."""
        if centre_ms >= _EARLIEST:
            true = centre_ms + 500 + round(took * 500)
            self.offset_ms = true - self._wall() // 1_000_000
            self._true_skew = true - round(self._boot() * 1000)

    def _skew(self) -> int:
        return self._wall() // 1_000_000 - round(self._boot() * 1000)

    def _too_early(self, skew: int) -> bool:
        return skew + round(self._boot() * 1000) < _EARLIEST
