"""What a report says, as values: no text for people, no format. Times are ms since the epoch, stretches ms, percentages exact."""

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from collectors.result import Reason
from server.calendar.intervals import Stretch
from server.evaluation.days import Day
from server.evaluation.standard import Figures, Verdict
from server.ledger.maintenance import Work
from server.ledger.timeline import Timeline


class Outage(msgspec.Struct, frozen=True):
    """One outage of a service that touches the period, whole: its onset and end may lie outside.

    ``down`` is what it costs this period, ``hours`` its length within service hours. ``ended`` is False while it was not seen
    to end; ``exact`` is False when nobody looked at its end, so that it may have lasted longer. ``counted`` is False when all
    of it lies in maintenance or outside of service hours. ``begun`` and ``finished`` tell what happened within the period.
    """

    start: int
    end: int
    down: int
    hours: int
    check: str
    reasons: Sequence[Reason]
    acknowledged: int | None
    ended: bool
    exact: bool
    counted: bool
    begun: bool
    finished: bool

    @property
    def clock(self) -> int:
        """Its length by the clock: at least, when it has not ended or nobody saw it end."""
        return self.end - self.start


class Times(msgspec.Struct, frozen=True):
    """Some stretches, summed up."""

    count: int
    mean: Fraction
    median: Fraction
    longest: int


class ServiceReport(msgspec.Struct, frozen=True):
    """One service over the period. ``timeline`` is the evidence from which ``figures`` can be counted again.

    ``headline`` is False when too little was observed for one number. ``started`` counts outages that began in the period;
    ``between`` (MTBF) is None without any. ``resolution`` is the measured time between looks. ``registered`` is False for a
    service that is not in the register any more.
    """

    id: str
    name: str
    agency: str
    agency_name: str
    criticality: int
    target: Fraction
    hours: str
    registered: bool
    figures: Figures
    headline: bool
    verdict: Verdict
    started: int
    outages: Sequence[Outage]
    unobserved: Sequence[Stretch]
    work: Sequence[Work]
    repair: Times | None
    repair_hours: Times | None
    response: Times | None
    unacknowledged: int
    between: Fraction | None
    resolution: int | None
    days: Sequence[Day]
    timeline: Timeline


class Group(msgspec.Struct, frozen=True):
    """Several services together (an agency, the city): seconds pooled by weight; ``down`` and ``started`` are not weighted.

    ``met`` of ``rated`` services reach their target; ``worst`` is the id of the one with the lowest availability below 100.
    """

    id: str
    name: str
    figures: Figures
    headline: bool
    down: int
    started: int
    services: int
    rated: int
    met: int
    missed: int
    open: int
    worst: str | None


class Offender(msgspec.Struct, frozen=True):
    """A service that lost time; ``share`` and ``running`` (with those before it) are percent of all weighted losses."""

    service: str
    down: int
    weight: int
    started: int
    share: Fraction
    running: Fraction


class Cause(msgspec.Struct, frozen=True):
    """A reason of outages, over all services: how often it began one, and what those cost the period."""

    reason: Reason
    outages: int
    down: int


class Report(msgspec.Struct, frozen=True):
    """A period ``[start, end)`` of which ``[start, cut)`` had passed.

    ``zone`` is an IANA name, ``floor`` the coverage in percent below which no single number is printed.
    """

    start: int
    end: int
    cut: int
    zone: str
    policy: str
    floor: Fraction
    services: Sequence[ServiceReport]
    agencies: Sequence[Group]
    city: Group
    offenders: Sequence[Offender]
    causes: Sequence[Cause]

    @property
    def running(self) -> bool:
        """Whether the period was not over yet."""
        return self.cut < self.end

    @property
    def names(self) -> dict[str, str]:
        """The names of the services, by id."""
        return {each.id: each.name for each in self.services}
