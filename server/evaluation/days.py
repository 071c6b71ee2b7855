"""Local days of a subject: their figures, and the one answer to what a day looks like."""

import datetime as dt
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection

from server.calendar.service_hours import midnight
from server.evaluation import standard
from server.evaluation.standard import Figures
from server.inventory.register import Register
from server.ledger.histories import histories
from server.ledger.history import History


class DayState(StrEnum):
    """What a day is shown as; NONE when nothing was promised, MAINT when all that was promised was planned work."""

    NONE = "none"
    MAINT = "maint"
    UNKNOWN = "unknown"
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"

    @property
    def rated(self) -> bool:
        """Whether anything was to be rated that day."""
        return self not in {DayState.NONE, DayState.MAINT}


class Day(msgspec.Struct, frozen=True):
    """One local day of a subject."""

    date: dt.date
    figures: Figures

    @property
    def state(self) -> DayState:
        """What the day is shown as."""
        return day_state(self.figures)


def day_state(figures: Figures) -> DayState:
    """Return what a day is shown as: any failure is DOWN; UNKNOWN when less than half of it was observed."""
    if not figures.agreed:
        return DayState.NONE
    if not figures.rated:
        return DayState.MAINT
    if figures.down:
        return DayState.DOWN
    if 2 * figures.observed < figures.rated:
        return DayState.UNKNOWN
    return DayState.DEGRADED if figures.degraded else DayState.UP


def days(
    tx: Connection, subjects: Sequence[str], *, first: dt.date, last: dt.date, zone: str, now: int, register: Register
) -> dict[str, list[Day]]:
    """Return the figures of every local day from ``first`` to ``last``, both included, for each subject."""
    local = ZoneInfo(zone)
    dates = [first + dt.timedelta(days=at) for at in range((last - first).days + 1)]
    if not dates:
        return {subject: [] for subject in subjects}
    edges = [midnight(date, local) for date in (*dates, dates[-1] + dt.timedelta(days=1))]
    composed = histories(tx, subjects, start=edges[0], end=edges[-1], now=now, register=register, zone=local)
    return {subject: by_day(composed[subject], dates, edges) for subject in subjects}


def by_day(history: History, dates: Sequence[dt.date], edges: Sequence[int]) -> list[Day]:
    """Return the days of a history; ``edges`` holds the beginning of each date, and the end of the last."""
    counted = (standard.figures(history.timeline(start, end)) for start, end in pairwise(edges))
    return [Day(date=date, figures=figures) for date, figures in zip(dates, counted, strict=True)]
