"""Series: a bound on how many a collector may make, against short-lived names that would fill the store."""

import logging
from collections.abc import Sequence
from typing import Final

from collectors.point import Point

log = logging.getLogger("pantau.agent.series")

_FORGET: Final = 3600.0


class SeriesLimit:
    """Lets the points of at most ``most`` series pass: those that came first. One not seen for an hour gives its place away."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._seen: dict[int, float] = {}
        self._limiting = False

    def admit(self, points: Sequence[Point], now: float) -> list[Point]:
        """Return the points that may pass, in order; ``now`` is monotonic seconds."""
        seen, most = self._seen, self._most
        kept: list[Point] = []
        for point in points:
            key = hash((point.measurement, *point.tags.items()))
            if key in seen or len(seen) < most:
                seen[key] = now
                kept.append(point)
        if len(kept) < len(points):
            self._forget(now - _FORGET)
        self._tell(len(points) - len(kept))
        return kept

    def _forget(self, before: float) -> None:
        self._seen = {key: last for key, last in self._seen.items() if last > before}

    def _tell(self, left_out: int) -> None:
        if left_out and not self._limiting:
            log.error(
                "collector %s makes more than %d series within an hour: new ones are left out (%d now)",
                self._name,
                self._most,
                left_out,
            )
            self._limiting = True
        elif self._limiting and not left_out and len(self._seen) < self._most:
            log.warning("collector %s is within its bound of %d series again", self._name, self._most)
            self._limiting = False
