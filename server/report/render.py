"""Render a report: HTML for people, JSON for auditors, CSV for spreadsheets."""

from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from alerts.i18n.catalogue import LanguageCode
from alerts.i18n.language import Language
from alerts.i18n.templates import template_globals
from alerts.i18n.times import hours_minutes_seconds
from server.calendar.intervals import Stretch
from server.report import document, spreadsheet
from server.report.model import Report, ServiceReport
from server.report.paragraph import sentences
from server.report.verdict_words import VERDICTS

_TEMPLATES: Final = Path(__file__).parent / "templates"


def html(report: Report, lang: LanguageCode = "id", *, made: int, title: str = "Pantau", fragment: bool = False) -> str:
    """Return a page that needs nothing else: no script, no request. ``made`` is now, ms since the epoch.

    With ``fragment`` it is one ``<article class="report">`` with its ``<style>``, to be put into another page; all its CSS is
    held within that class.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    language = Language(lang, report.zone)
    environment.globals.update(template_globals(language), hours_minutes_seconds=hours_minutes_seconds)
    return environment.get_template("body.html" if fragment else "page.html").render(
        report=report,
        verdicts=VERDICTS,
        sentences=sentences(report, language),
        telling=[each for each in report.services if _tells(each, report)],
        unseen=_unseen(report),
        digest=document.digest(report),
        lang=lang,
        made=made,
        title=title,
    )


def json(report: Report) -> str:
    """Return the canonical JSON."""
    return document.text(report)


def csv(report: Report, lang: LanguageCode = "id") -> str:
    """Return one row a service, with a byte order mark; encode it as UTF-8."""
    return spreadsheet.text(report, lang)


def _tells(each: ServiceReport, report: Report) -> bool:
    """Return whether a service needs a section of its own: always when it is alone, else when something happened."""
    return len(report.services) == 1 or bool(each.outages or each.work)


def _unseen(report: Report) -> list[tuple[Stretch, list[str]]]:
    """List unobserved stretches in order of time, each once, with the services that share it: a stop of the centre is one line."""
    shared: dict[Stretch, list[str]] = {}
    for each in report.services:
        for stretch in each.unobserved:
            shared.setdefault(stretch, []).append(each.name)
    return sorted(shared.items())
