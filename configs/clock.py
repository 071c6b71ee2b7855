"""Time: the wall clock that people read, and steady time, which counts only while this process ran and could look."""

import time
from collections.abc import Callable
from typing import Final

import msgspec

_CAP: Final = 1_000  # ms between two ticks that count: more is a process that was stopped, or a loop that hung
_GAP: Final = 5_000  # ms that nobody saw: from here on it is a gap in what is observed


def wall_ms() -> int:
    """Return the wall clock in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


class Gap(msgspec.Struct, frozen=True):
    """A stretch that this process did not live through, in ms of the wall clock; ``after`` lies before ``before`` when it was set back.

    For ``awake`` ms of it the machine ran: the monotonic clock stands still while it sleeps.
    """

    before: int
    after: int
    awake: int = 0


class Clock:
    """The one place where time is read; ``wall`` gives ms since the epoch and may step, ``monotonic`` seconds and may not.

    ``tick`` it about twice a second. Steady time that passes between two ticks is at most ``_CAP``: a process that was stopped and a
    machine that was suspended lived through nothing, and steps of the wall clock are no time at all.
    """

    def __init__(self, wall: Callable[[], int] = wall_ms, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._ticked_wall = wall()
        self._ticked = monotonic()
        self._steady = float(self._ticked_wall)
        self._lost = 0.0

    def now(self) -> int:
        """Return the wall clock, ms since the epoch."""
        return self._wall()

    def steady(self) -> int:
        """Return steady time in ms: that of the wall clock when this process began, and what it has lived through since."""
        return int(self._steady + min((self._monotonic() - self._ticked) * 1000, _CAP))

    def ahead(self) -> int:
        """Return by how many ms the wall clock is ahead of steady time: what was not lived through so far, and steps of the clock."""
        return self.now() - self.steady()

    def lost(self) -> int:
        """Return the ms so far that steady time left out, and by which the wall clock stepped: it grows when looks were disturbed."""
        return int(self._lost + _lost(*self._passed()))

    def tick(self) -> Gap | None:
        """Count the time since the last tick; return the gap when it was none that anybody watched."""
        passed, stepped = self._passed()
        before = self._ticked_wall
        self._lost += _lost(passed, stepped)
        self._steady += min(passed, _CAP)
        self._ticked += passed / 1000
        self._ticked_wall = round(before + passed + stepped)
        return Gap(before, self._ticked_wall, round(passed)) if passed > _GAP or abs(stepped) > _GAP else None

    def _passed(self) -> tuple[float, float]:
        """Return the ms since the last tick, and by how many of them the wall clock stepped beside that."""
        passed = (self._monotonic() - self._ticked) * 1000
        return passed, self._wall() - self._ticked_wall - passed


def _lost(passed: float, stepped: float) -> float:
    return max(passed - _CAP, 0) + (abs(stepped) if abs(stepped) > _CAP else 0)
