"""Ninety days as small bars: what each day shows, and the shapes that draw it. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from server.evaluation.standard import Figures
from server.ledger.record import Day

# the height tells the state as well as the colour: trouble stands out
HEIGHTS: Final = {"none": 2, "maint": 10, "unknown": 6, "up": 15, "degraded": 19, "down": 24}


class Bars(msgspec.Struct, frozen=True):
    """``each`` day as (x, height, state, day); ``paths`` draw all days of a state at once; ``counts`` days by state."""

    count: int
    counts: dict[str, int]
    paths: dict[str, str]
    each: Sequence[tuple[int, int, str, Day]]


def kind(figures: Figures) -> str:
    """Tell what a day shows: ``none`` (nothing was promised), ``maint``, ``unknown``, ``up``, ``degraded`` or ``down``."""
    if not figures.agreed:
        return "none"
    if not figures.rated:
        return "maint"
    if figures.down:
        return "down"
    if 2 * figures.observed < figures.rated:
        return "unknown"
    return "degraded" if figures.degraded else "up"


def summarise(days: Sequence[Day]) -> Bars:
    """Lay out days from left to right, four units each."""
    each = []
    counts = dict.fromkeys(HEIGHTS, 0)
    paths: dict[str, str] = {}
    for position, day in enumerate(days):
        state = kind(day.figures)
        height = HEIGHTS[state]
        counts[state] += 1
        each.append((4 * position, height, state, day))
        paths[state] = paths.get(state, "") + f"M{4 * position}.5 24v-{height}h3v{height}Z"
    return Bars(count=len(days), counts=counts, paths=paths, each=each)


def pooled(days: Sequence[Day]) -> Figures:
    """Add days up; percentages of the sum are exact where a mean of percentages would not be."""
    every = [day.figures for day in days]
    return Figures(
        agreed=sum(one.agreed for one in every),
        maint=sum(one.maint for one in every),
        unknown=sum(one.unknown for one in every),
        down=sum(one.down for one in every),
        degraded=sum(one.degraded for one in every),
    )
