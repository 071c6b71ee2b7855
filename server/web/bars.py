"""Ninety days as small bars: what each day shows, and the shapes that draw it. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from server.evaluation.days import Day, DayState
from server.evaluation.standard import Figures

# the height tells the state as well as the colour: trouble stands out
HEIGHTS: Final = {
    DayState.NONE: 2,
    DayState.MAINT: 10,
    DayState.UNKNOWN: 6,
    DayState.UP: 15,
    DayState.DEGRADED: 19,
    DayState.DOWN: 24,
}


class Bars(msgspec.Struct, frozen=True):
    """``each`` day as (x, height, state, day); ``paths`` draw all days of a state at once; ``counts`` days by state."""

    count: int
    counts: dict[DayState, int]
    paths: dict[DayState, str]
    each: Sequence[tuple[int, int, DayState, Day]]


def summarise(days: Sequence[Day]) -> Bars:
    """Lay out days from left to right, four units each."""
    each = []
    counts = dict.fromkeys(HEIGHTS, 0)
    paths: dict[DayState, str] = {}
    for position, day in enumerate(days):
        state = day.state
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
