"""Duplicates: points of one reading that a store could not tell apart, of which the last would silently win."""

import logging
from collections.abc import Sequence
from typing import Final

from collectors.point import Point

log = logging.getLogger("pantau.agent.duplicates")

_SHOWN: Final = 3

_Kind = tuple[str, tuple[str, ...]]


class Duplicates:
    """Leaves out a point whose measurement, tags, time and one of its fields are those of an earlier one of the same reading.

    Points that share their tags but no field belong together and pass (``system`` gives three). What is left out is told when
    it begins, when points of another kind join and when it ends.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._told: set[_Kind] = set()

    def admit(self, points: Sequence[Point]) -> list[Point]:
        """Return the points that may pass, in order."""
        taken: dict[tuple[object, ...], set[str]] = {}
        kept: list[Point] = []
        refused: dict[_Kind, Point] = {}
        for point in points:
            tags = tuple(sorted((key, text) for key, text in point.tags.items() if key and text))
            fields = taken.setdefault((point.measurement, point.time, tags), set())
            if fields.isdisjoint(point.fields):
                fields.update(point.fields)
                kept.append(point)
            else:
                refused[point.measurement, tuple(key for key, _ in tags)] = point
        self._tell(refused, len(points) - len(kept))
        return kept

    def _tell(self, refused: dict[_Kind, Point], count: int) -> None:
        if fresh := [point for kind, point in refused.items() if kind not in self._told]:
            log.error(
                "collector %s gives points that nobody could tell apart: the later ones are left out (%d now): %s",
                self._name,
                count,
                "; ".join(f"{point.measurement} {dict(point.tags)}" for point in fresh[:_SHOWN]),
            )
        elif self._told and not refused:
            log.warning("collector %s gives no points twice any more", self._name)
            self._told.clear()
        self._told |= refused.keys()
