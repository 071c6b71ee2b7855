"""The series that the centre itself writes, and that pages show as its own findings: no writer may add to them."""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from collectors.point import Point
from collectors.points import HOST, Points
from server.store import Rejected

_DEVICE: Final = "source"  # the tag that holds a polled device's id


class CentreSeries(msgspec.Struct, frozen=True):
    """Which series are the centre's own.

    ``measurements`` are its alone. Those of ``polled`` are its own where they are of a device among ``devices`` that it polls; a
    shared token may write them with a tag ``host``, which the centre's never have and its pages do not ask for.
    """

    measurements: frozenset[str] = frozenset()
    polled: frozenset[str] = frozenset()
    devices: Collection[str] = ()

    def without(self, points: Sequence[Point], *, joined: bool) -> tuple[Sequence[Point], list[Rejected]]:
        """Split points into those that a writer may write and the rest; ``joined`` is whether by the token of one host."""
        if self._named(points).isdisjoint(self.measurements | self.polled):
            return points, []
        kept, refused = [], []
        for point in points:
            if why := self._why_not(point, joined=joined):
                refused.append(Rejected(point.measurement, "", why))
            else:
                kept.append(point)
        return kept, refused

    def _named(self, points: Sequence[Point]) -> set[str]:
        if isinstance(points, Points):
            return points.measurements()
        return {point.measurement for point in points}

    def _why_not(self, point: Point, *, joined: bool) -> str:
        if point.measurement in self.measurements:
            return f'measurement "{point.measurement}" is written by the centre only'
        device = point.tags.get(_DEVICE, "")
        if point.measurement in self.polled and device in self.devices and (joined or not point.tags.get(HOST)):
            return (
                f'measurement "{point.measurement}" of device "{device}" is written by the centre only, which polls it'
            )
        return ""
