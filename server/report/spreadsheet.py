"""The report as CSV for spreadsheets: one row a service, ``;`` between cells, a byte order mark, decimals as the language has them."""

import csv
import io
from fractions import Fraction
from typing import Final

from alerts.words import Language
from server.evaluation.standard import show3
from server.report.model import Report, ServiceReport, Times
from server.report.phrases import Phrases

_COLUMNS: Final = (
    "id",
    "service",
    "agency",
    "weight",
    "target",
    "verdict",
    "availability",
    "lower",
    "upper",
    "coverage",
    "with_maintenance",
    "slow",
    "down_s",
    "started",
    "agreed_s",
    "maint_s",
    "unknown_s",
    "mttr_s",
    "mtta_s",
    "mtbf_s",
)
_DANGEROUS: Final = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run it


def text(report: Report, lang: Language) -> str:
    """Write the report as CSV; availability is empty where there is no headline number."""
    phrases = Phrases(lang, report.zone)
    out = io.StringIO()
    rows = csv.writer(out, delimiter=";", lineterminator="\r\n")
    rows.writerow([phrases.say(f"csv_{name}") for name in _COLUMNS])
    rows.writerows([_cell(cell, phrases) for cell in _row(each, phrases)] for each in report.services)
    return "\ufeff" + out.getvalue()


def _row(each: ServiceReport, phrases: Phrases) -> list[str | int | Fraction | None]:
    counted = each.figures
    return [
        each.id,
        each.name,
        each.agency_name,
        each.criticality,
        phrases.decimal(each.target),
        phrases.say(f"verdict_{each.verdict}"),
        counted.availability if each.headline else None,
        counted.lower,
        counted.upper,
        counted.coverage,
        counted.with_maintenance if each.headline else None,
        counted.slow,
        Fraction(counted.down, 1000),
        each.started,
        Fraction(counted.agreed, 1000),
        Fraction(counted.maint, 1000),
        Fraction(counted.unknown, 1000),
        _mean(each.repair),
        _mean(each.response),
        None if each.between is None else each.between / 1000,
    ]


def _mean(times: Times | None) -> Fraction | None:
    return None if times is None else times.mean / 1000


def _cell(value: str | int | Fraction | None, phrases: Phrases) -> str:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_DANGEROUS) else value
    if isinstance(value, Fraction):
        return phrases.point(show3(value) or "")
    return "" if value is None else str(value)
