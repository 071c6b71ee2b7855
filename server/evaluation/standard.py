"""Standar Hitung Ketersediaan v1: the arithmetic of availability, and nothing else.

Half-open intervals of integer milliseconds, exact fractions. Every moment of the period falls into the first class that
claims it: outside life, outside service hours, maintenance, unobserved, down, degraded, working. Percentages are Fractions
of 100; nothing to divide by is None, never 0 or 100.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from fractions import Fraction
from typing import Final

import msgspec

from alerts.i18n.numbers import truncated
from server.calendar.intervals import Stretch, clip, common, merge, total, without
from server.ledger.timeline import Open, Timeline

POLICY: Final = "Standar Hitung Ketersediaan v1"

# Failures with less working time than this between them are one outage (V33); their seconds down do not change.
SETTLE: Final = 5 * 60_000


class Parts(msgspec.Struct, frozen=True):
    """The period taken apart: where each class that counts applies."""

    agreed: list[Stretch]
    maint: list[Stretch]
    unknown: list[Stretch]
    observed: list[Stretch]
    down: list[Stretch]
    degraded: list[Stretch]


class Figures(msgspec.Struct, frozen=True):
    """Milliseconds of each class, and the percentages that follow from them."""

    agreed: int = 0
    maint: int = 0
    unknown: int = 0
    down: int = 0
    degraded: int = 0

    @property
    def rated(self) -> int:
        """Agreed time without maintenance (T_nilai)."""
        return self.agreed - self.maint

    @property
    def observed(self) -> int:
        """Rated time in which somebody looked (T_amat)."""
        return self.rated - self.unknown

    @property
    def availability(self) -> Fraction | None:
        """Share of the observed time that was not down (A)."""
        return _percent(self.observed - self.down, self.observed)

    @property
    def lower(self) -> Fraction | None:
        """A if everything unobserved was down (A_min)."""
        return _percent(self.observed - self.down, self.rated)

    @property
    def upper(self) -> Fraction | None:
        """A if everything unobserved was working (A_max)."""
        return _percent(self.rated - self.down, self.rated)

    @property
    def coverage(self) -> Fraction | None:
        """Share of the rated time in which somebody looked (C)."""
        return _percent(self.observed, self.rated)

    @property
    def with_maintenance(self) -> Fraction | None:
        """A if maintenance counts as down ("termasuk pemeliharaan")."""
        return _percent(self.observed - self.down, self.observed + self.maint)

    @property
    def slow(self) -> Fraction | None:
        """Share of the observed time that was degraded; it is available time."""
        return _percent(self.degraded, self.observed)


class Verdict(StrEnum):
    """What the figures say about a target; UNRATED when there was nothing to rate."""

    MET = "met"
    MISSED = "missed"
    OPEN = "open"
    UNRATED = "unrated"


class Outage(msgspec.Struct, frozen=True):
    """Failures that belong together: from the onset of the first to the end of the last, and when it was down in between."""

    start: int
    end: int
    down: list[Stretch]


def _percent(part: int, whole: int) -> Fraction | None:
    return Fraction(100 * part, whole) if whole else None


def _bounded(stretches: Iterable[Open], period: Stretch) -> list[Stretch]:
    return merge((period[0] if start is None else start, period[1] if end is None else end) for start, end in stretches)


def part(timeline: Timeline) -> Parts:
    """Divide the period, in the order of the standard."""
    period = timeline.period
    agreed = common(merge([period]), _bounded([timeline.life], period))
    if timeline.service is not None:
        agreed = common(agreed, _bounded(timeline.service, period))
    maint = common(agreed, _bounded(timeline.maint, period))
    rated = without(agreed, maint)
    unknown = common(rated, _bounded(timeline.unknown, period))
    observed = without(rated, unknown)
    down = common(observed, _bounded(timeline.down, period))
    degraded = without(common(observed, _bounded(timeline.degraded, period)), down)
    return Parts(agreed=agreed, maint=maint, unknown=unknown, observed=observed, down=down, degraded=degraded)


def figures(timeline: Timeline) -> Figures:
    """Count one timeline."""
    parts = part(timeline)
    return Figures(
        agreed=total(parts.agreed),
        maint=total(parts.maint),
        unknown=total(parts.unknown),
        down=total(parts.down),
        degraded=total(parts.degraded),
    )


def pool(weighted: Iterable[tuple[Figures, int]]) -> Figures:
    """Add up figures times their weights: the only right way to put several services or months into one figure."""
    sums = [0, 0, 0, 0, 0]
    for each, weight in weighted:
        parts = (each.agreed, each.maint, each.unknown, each.down, each.degraded)
        sums = [have + weight * more for have, more in zip(sums, parts, strict=True)]
    return Figures(*sums)


def verdict(counted: Figures, target: Fraction) -> Verdict:
    """Compare with a target in percent, exactly: decided only where the unobserved time could not change the answer."""
    lower, upper = counted.lower, counted.upper
    if lower is None or upper is None:
        return Verdict.UNRATED
    if lower >= target:
        return Verdict.MET
    return Verdict.MISSED if upper < target else Verdict.OPEN


def outages(timeline: Timeline, settle: int = SETTLE) -> list[Outage]:
    """Group the failures of a timeline, in order of time; maintenance, hours and life play no part.

    Failures belong together until the service was seen working for ``settle`` ms: a gap in which nobody looked ends no outage.
    """
    unknown = _bounded(timeline.unknown, timeline.period)
    down = without(_bounded(timeline.down, timeline.period), unknown)
    groups: list[list[Stretch]] = []
    for stretch in down:
        if groups and _working(groups[-1][-1][1], stretch[0], unknown) < settle:
            groups[-1].append(stretch)
        else:
            groups.append([stretch])
    return [Outage(start=group[0][0], end=group[-1][1], down=group) for group in groups]


def _working(start: int, end: int, unknown: Sequence[Stretch]) -> int:
    return end - start - total(clip(unknown, start, end))


def show3(percent: Fraction | None) -> str | None:
    """Return a percentage with three decimals, truncated, so that 100.000 means no millisecond lost."""
    return None if percent is None else truncated(percent, 3)
