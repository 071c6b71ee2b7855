"""The report as JSON: canonical, exact (fractions and ms), with the evidence from which every figure can be counted again."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

from server.calendar.intervals import Stretch
from server.evaluation.standard import Figures, show3
from server.ledger.maintenance import Work
from server.report import cases
from server.report.cases import fraction, iso
from server.report.model import Group, Outage, Report, ServiceReport, Times

FORMAT: Final = "pantau-report/1"


def text(report: Report) -> str:
    """Write the report as canonical JSON: sorted keys, no spaces, whole numbers; the same report gives the same bytes.

    ``cases`` hold the timelines; ``pantau report compute`` counts them.
    """
    return json.dumps(_report(report), ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"


def digest(report: Report) -> str:
    """Return the SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(text(report).encode()).hexdigest()


def _report(report: Report) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "policy": report.policy,
        "period": [iso(report.start), iso(report.end)],
        "data_until": iso(report.cut),
        "running": report.running,
        "zone": report.zone,
        "coverage_floor": str(report.floor),
        "services": [_service(each) for each in report.services],
        "agencies": [_group(each) for each in report.agencies],
        "city": _group(report.city),
        "offenders": [
            {
                "service": each.service,
                "down_ms": each.down,
                "weight": each.weight,
                "started": each.started,
                "share": str(each.share),
                "running_share": str(each.running),
            }
            for each in report.offenders
        ],
        "causes": [
            {"reason": each.reason.value, "outages": each.outages, "down_ms": each.down} for each in report.causes
        ],
        "cases": [cases.write(each.id, each.timeline) for each in report.services],
    }


def _service(each: ServiceReport) -> dict[str, Any]:
    return {
        "id": each.id,
        "name": each.name,
        "agency": each.agency,
        "criticality": each.criticality,
        "target": str(each.target),
        "hours": each.hours,
        "registered": each.registered,
        "figures": _figures(each.figures),
        "headline": each.headline,
        "verdict": each.verdict.value,
        "started": each.started,
        "outages": [_outage(outage) for outage in each.outages],
        "unobserved": _stretches(each.unobserved),
        "maintenance": [_work(work) for work in each.work],
        "mttr": _times(each.repair),
        "mttr_service_hours": _times(each.repair_hours),
        "mtta": _times(each.response),
        "unacknowledged": each.unacknowledged,
        "mtbf_ms": fraction(each.between),
        "resolution_ms": each.resolution,
        "days": [
            {
                "date": day.date.isoformat(),
                "worst": day.state.value if day.state.rated else None,
                "down_ms": day.figures.down,
                "availability": fraction(day.figures.availability),
            }
            for day in each.days
        ],
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "id": group.id,
        "name": group.name,
        "weighted": _figures(group.figures),
        "headline": group.headline,
        "down_ms": group.down,
        "started": group.started,
        "services": group.services,
        "rated": group.rated,
        "met": group.met,
        "missed": group.missed,
        "open": group.open,
        "worst": group.worst,
    }


def _figures(counted: Figures) -> dict[str, Any]:
    percentages = {
        "availability": counted.availability,
        "lower": counted.lower,
        "upper": counted.upper,
        "coverage": counted.coverage,
        "with_maintenance": counted.with_maintenance,
        "degraded": counted.slow,
    }
    return {
        "agreed_ms": counted.agreed,
        "maintenance_ms": counted.maint,
        "unobserved_ms": counted.unknown,
        "observed_ms": counted.observed,
        "down_ms": counted.down,
        "degraded_ms": counted.degraded,
        **{name: fraction(value) for name, value in percentages.items()},
        **{f"{name}3": show3(value) for name, value in percentages.items()},
    }


def _outage(outage: Outage) -> dict[str, Any]:
    return {
        "start": iso(outage.start),
        "end": iso(outage.end),
        "ended": outage.ended,
        "end_observed": outage.exact,
        "clock_ms": outage.clock,
        "down_ms": outage.down,
        "service_hours_ms": outage.hours,
        "check": outage.check,
        "reasons": [reason.value for reason in outage.reasons],
        "acknowledged": None if outage.acknowledged is None else iso(outage.acknowledged),
        "counted": outage.counted,
        "begun_in_period": outage.begun,
        "ended_in_period": outage.finished,
    }


def _work(work: Work) -> dict[str, Any]:
    return {
        "id": work.id,
        "period": [iso(work.start), iso(work.end)],
        "counted": _stretches([work.counted] if work.counted[0] < work.counted[1] else []),
        "reason": work.reason,
        "author": work.author,
        "approver": work.approver,
        "approved": iso(work.approved),
        "cancelled": None if work.cancelled is None else iso(work.cancelled),
    }


def _times(times: Times | None) -> dict[str, Any] | None:
    if times is None:
        return None
    return {
        "count": times.count,
        "mean_ms": str(times.mean),
        "median_ms": str(times.median),
        "longest_ms": times.longest,
    }


def _stretches(stretches: Iterable[Stretch]) -> list[list[str]]:
    return [[iso(start), iso(end)] for start, end in stretches]
