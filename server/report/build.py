"""Build a report: read the ledger, count by the standard, pool by weight; the same functions for a month, a day or an hour."""

import datetime as dt
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, or_, select

from alerts.tables import incident
from server.calendar.service_hours import midnight
from server.evaluation import days, standard
from server.evaluation.days import Day
from server.evaluation.standard import POLICY, Figures, Verdict
from server.inventory.register import Register, Service
from server.ledger import histories, maintenance
from server.ledger.history import History
from server.ledger.maintenance import Work
from server.report.model import Cause, Group, Offender, Report, ServiceReport
from server.report.outages import Acknowledged, cut_off, list_outages, times

FLOOR: Final = Fraction(95)

_DAY: Final = 86_400_000
_MARGIN: Final = 31 * _DAY  # how far around the period outages are followed at first
_FARTHEST: Final = 3660 * _DAY
_LONGEST_STRIP: Final = 92  # days


def month(text: str, zone: str) -> tuple[int, int]:
    """Return the start and end of a month written ``2026-11`` in a zone; ValueError when it is none."""
    try:
        first = dt.date.fromisoformat(f"{text}-01")
    except ValueError as error:
        raise ValueError(f"expected a month such as 2026-11, got {text!r}") from error
    local = ZoneInfo(zone)
    return midnight(first, local), midnight((first + dt.timedelta(days=31)).replace(day=1), local)


def build(
    tx: Connection,
    register: Register,
    *,
    start: int,
    end: int,
    now: int,
    zone: str,
    service: str | None = None,
    floor: Fraction = FLOOR,
) -> Report:
    """Report on ``[start, end)`` (ms since the epoch) as far as it has passed, for every service that lived in it, or for one.

    Days and lives are those of ``zone``; below a coverage of ``floor`` percent there is no headline number. ValueError when
    the period is empty or ``service`` is unknown.
    """
    if start >= end:
        raise ValueError("the period must end after it starts")
    cut = max(start, min(end, now))
    local = ZoneInfo(zone)
    services = _services(tx, register, service, start, cut, local)
    subjects = [each.subject for each in services]
    known = _histories(tx, register, subjects, start=start, end=cut, now=now, zone=local)
    taken = _acknowledged(tx, subjects, start, cut)
    work = maintenance.within(tx, start, cut, subjects)
    told = [
        _service(
            each,
            register,
            known[each.subject],
            [one for one in work if one.subject == each.subject],
            taken.get(each.subject, []),
            period=(start, cut),
            zone=local,
            floor=floor,
        )
        for each in services
    ]
    return Report(
        start=start,
        end=end,
        cut=cut,
        zone=zone,
        policy=POLICY,
        floor=floor,
        services=told,
        agencies=_agencies(told, floor),
        city=_group("", "", told, floor),
        offenders=_offenders(told),
        causes=_causes(told),
    )


def _services(
    tx: Connection, register: Register, only: str | None, start: int, end: int, zone: ZoneInfo
) -> list[Service]:
    """List what lived in the period: retired services too, and those that are seen in the ledger but not registered any more."""
    seen = [subject.partition("/")[2] for subject in histories.seen_subjects(tx, "service", start, end)]
    gone = [
        Service(id=name, name=name, agency="") for name in seen if name not in register.services and "/" not in name
    ]
    if only is not None:
        found = register.services.get(only) or next((each for each in gone if each.id == only), None)
        if found is None:
            raise ValueError(f"unknown service {only!r}; known: {', '.join(register.services) or 'none'}")
        return [found]
    return [each for each in register.services.values() if _lived(each, start, end, zone)] + gone


def _lived(service: Service, start: int, end: int, zone: ZoneInfo) -> bool:
    before = service.registered is None or midnight(service.registered, zone) < end
    return before and (service.retired is None or midnight(service.retired, zone) > start)


def _histories(
    tx: Connection, register: Register, subjects: Sequence[str], *, start: int, end: int, now: int, zone: ZoneInfo
) -> dict[str, History]:
    """Read histories that hold every outage of the period whole, widening the window for those that need it."""
    known: dict[str, History] = {}
    waiting, margin = list(subjects), _MARGIN
    while waiting:
        known |= histories.histories(
            tx, waiting, start=start - margin, end=end + margin, now=now, register=register, zone=zone
        )
        short = margin < _FARTHEST
        waiting = [subject for subject in waiting if short and cut_off(known[subject], start, end, now)]
        margin *= 4
    return known


def _acknowledged(tx: Connection, subjects: Sequence[str], start: int, end: int) -> dict[str, list[Acknowledged]]:
    rows = tx.execute(
        select(incident.c.subject, incident.c.opened_ms, incident.c.closed_ms, incident.c.acked_ms).where(
            incident.c.subject.in_(subjects),
            incident.c.acked_ms.is_not(None),
            incident.c.opened_ms < end,
            or_(incident.c.closed_ms.is_(None), incident.c.closed_ms >= start),
        )
    )
    taken: dict[str, list[Acknowledged]] = {}
    for subject, opened, closed, at in rows:
        taken.setdefault(subject, []).append(Acknowledged(opened=opened, closed=closed, at=at))
    return taken


def _service(
    service: Service,
    register: Register,
    known: History,
    work: Sequence[Work],
    taken: Sequence[Acknowledged],
    *,
    period: tuple[int, int],
    zone: ZoneInfo,
    floor: Fraction,
) -> ServiceReport:
    line = known.timeline(*period)
    counted, parts = standard.figures(line), standard.part(line)
    outages = list_outages(known, *period, parts, taken)
    failures = [each for each in outages if each.begun and each.counted]
    repaired = [each for each in outages if each.finished and each.exact and each.counted]
    answered = [max(0, each.acknowledged - each.start) for each in failures if each.acknowledged is not None]
    target = Fraction(str(service.target))
    agency = register.agencies.get(service.agency)
    return ServiceReport(
        id=service.id,
        name=service.name,
        agency=service.agency,
        agency_name=agency.name if agency else service.agency,
        criticality=service.criticality,
        target=target,
        hours=service.hours,
        registered=service.id in register.services,
        figures=counted,
        headline=_headline(counted, floor),
        verdict=standard.verdict(counted, target),
        started=len(failures),
        outages=outages,
        unobserved=parts.unknown,
        work=work,
        repair=times(each.clock for each in repaired),
        repair_hours=times(each.hours for each in repaired),
        response=times(answered),
        unacknowledged=len(failures) - len(answered),
        between=Fraction(counted.observed - counted.down, len(failures)) if failures else None,
        resolution=known.resolution,
        days=_days(known, period, zone),
        timeline=line,
    )


def _headline(counted: Figures, floor: Fraction) -> bool:
    return counted.availability is not None and counted.coverage is not None and counted.coverage >= floor


def _days(known: History, period: tuple[int, int], zone: ZoneInfo) -> list[Day]:
    """Cut a period of whole local days into days; anything else (an hour, a year) has no strip of days."""
    first, last = (dt.datetime.fromtimestamp(edge // 1000, zone).date() for edge in (period[0], period[1] - 1))
    dates = [first + dt.timedelta(days=at) for at in range((last - first).days + 1)]
    if not 1 < len(dates) <= _LONGEST_STRIP or midnight(first, zone) != period[0]:
        return []
    edges = [*(midnight(date, zone) for date in dates), period[1]]
    return days.by_day(known, dates, edges)


def _agencies(services: Sequence[ServiceReport], floor: Fraction) -> list[Group]:
    names = {each.agency: each.agency_name for each in services}
    return [
        _group(agency, name, [each for each in services if each.agency == agency], floor)
        for agency, name in names.items()
    ]


def _group(name: str, title: str, services: Sequence[ServiceReport], floor: Fraction) -> Group:
    pooled = standard.pool((each.figures, each.criticality) for each in services)
    verdicts = [each.verdict for each in services]
    return Group(
        id=name,
        name=title,
        figures=pooled,
        headline=_headline(pooled, floor),
        down=sum(each.figures.down for each in services),
        started=sum(each.started for each in services),
        services=len(services),
        rated=len(services) - verdicts.count(Verdict.UNRATED),
        met=verdicts.count(Verdict.MET),
        missed=verdicts.count(Verdict.MISSED),
        open=verdicts.count(Verdict.OPEN),
        worst=_worst(services),
    )


def _worst(services: Iterable[ServiceReport]) -> str | None:
    lowest: tuple[Fraction, str] | None = None
    for each in services:
        reached = each.figures.availability
        if reached is not None and each.figures.down and (lowest is None or reached < lowest[0]):
            lowest = (reached, each.id)
    return lowest and lowest[1]


def _offenders(services: Iterable[ServiceReport]) -> list[Offender]:
    losing = [each for each in services if each.figures.down]
    losing.sort(key=lambda each: (-each.figures.down * each.criticality, each.id))
    everything = sum(each.figures.down * each.criticality for each in losing)
    offenders: list[Offender] = []
    running = Fraction(0)
    for each in losing:
        share = Fraction(100 * each.figures.down * each.criticality, everything)
        running += share
        offenders.append(
            Offender(
                service=each.id,
                down=each.figures.down,
                weight=each.criticality,
                started=each.started,
                share=share,
                running=running,
            )
        )
    return offenders


def _causes(services: Iterable[ServiceReport]) -> list[Cause]:
    costly = [outage for each in services for outage in each.outages if outage.down]
    causes = [
        Cause(
            reason=reason,
            outages=sum(outage.reasons[0] is reason for outage in costly),
            down=sum(outage.down for outage in costly if outage.reasons[0] is reason),
        )
        for reason in {outage.reasons[0] for outage in costly}
    ]
    return sorted(causes, key=lambda cause: (-cause.down, cause.reason))
