"""Pace: when the next turn is due, from the wall clock's multiples, without memory of earlier turns.

Because each wait is computed afresh, a suspended machine wakes to one turn and not to a burst, and after a step of the wall
clock the next turn is aligned again. The wait itself is to be done on the monotonic clock.
"""

import zlib


class Pace:
    """Turns at every wall-clock multiple of ``interval_ms`` plus ``phase_ms``."""

    def __init__(self, interval_ms: int, phase_ms: int = 0) -> None:
        self.interval_ms = interval_ms
        self._phase_ms = phase_ms
        self._early_ms = interval_ms // 10

    def wait(self, wall_ms: int) -> float:
        """Return the seconds from ``wall_ms`` to the next turn; never a second time for a turn that fired a little early."""
        position = (wall_ms - self._phase_ms + self._early_ms) % self.interval_ms - self._early_ms
        return (self.interval_ms - position) / 1000

    def missed(self, seconds: float) -> int:
        """Return how many turns were skipped when ``seconds`` passed between two."""
        return max(0, round(seconds * 1000 / self.interval_ms) - 1)

    def stamp(self, now: int) -> int:
        """Round ``now`` (ns) to the whole second, or to the millisecond when turns are closer than a second."""
        unit = 1_000_000_000 if self.interval_ms >= 1000 else 1_000_000  # noqa: PLR2004 - a second
        return (now + unit // 2) // unit * unit


def phase(host: str, interval_ms: int) -> int:
    """Return this host's own place in an interval (ms), so that many hosts spread over it; the same after every start."""
    return zlib.crc32(host.encode()) * interval_ms >> 32
