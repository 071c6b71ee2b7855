"""Reports for evaluators: choose a month, read it, take it along."""

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping
from typing import Final
from zoneinfo import ZoneInfo

from aiohttp import hdrs, web

from alerts.i18n.catalogue import LanguageCode
from server.report import render
from server.report.build import build, month
from server.report.model import Report
from server.web.context import WEB, Web

_MONTHS: Final = 24

# the report is a document of its own, with its style inside and no script
_DOCUMENT_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox allow-popups"
)


async def show(request: web.Request) -> web.StreamResponse:
    """Show a month, the current one unless ``?month=2026-05`` says otherwise."""
    context = request.app[WEB]
    months = _months(context)
    wanted = request.query.get("month", "")
    chosen = next((one for one in months if _text(one) == wanted), months[0])
    report = await _report(context, _text(chosen))
    return await context.page(request, "reports.html", months=months, month=chosen, report=report)


async def download(request: web.Request) -> web.StreamResponse:
    """Answer with the report of a month as ``html``, ``json`` or ``csv``."""
    context = request.app[WEB]
    spoken = context.language(request)
    name, form = request.match_info["month"], request.match_info["form"]
    if form not in _FORMS or name not in {_text(one) for one in _months(context)}:
        raise web.HTTPNotFound
    report = await _report(context, name)
    make, kind = _FORMS[form]
    text = await asyncio.to_thread(make, report, spoken.code, context)
    headers: dict[str, str] = {hdrs.CACHE_CONTROL: "no-store"}
    if form == "html":
        headers["Content-Security-Policy"] = _DOCUMENT_POLICY
    else:
        headers[hdrs.CONTENT_DISPOSITION] = f'attachment; filename="pantau-{name}.{form}"'
    return web.Response(body=text.encode(), content_type=kind, charset="utf-8", headers=headers)


def _html(report: Report, lang: LanguageCode, context: Web) -> str:
    return render.html(report, lang, made=context.parts.clock(), title=context.parts.site.title)


def _json(report: Report, _lang: LanguageCode, _context: Web) -> str:
    return render.json(report)


def _csv(report: Report, lang: LanguageCode, _context: Web) -> str:
    return render.csv(report, lang)


_FORMS: Final[Mapping[str, tuple[Callable[[Report, LanguageCode, Web], str], str]]] = {
    "html": (_html, "text/html"),
    "json": (_json, "application/json"),
    "csv": (_csv, "text/csv"),
}


async def _report(context: Web, name: str) -> Report:
    parts = context.parts
    now = parts.clock()
    start, end = month(name, parts.site.zone)
    return await parts.database.read(
        lambda tx: build(tx, parts.watched.register, start=start, end=end, now=now, zone=parts.site.zone)
    )


def _months(context: Web) -> list[dt.date]:
    today = dt.datetime.fromtimestamp(context.parts.clock() / 1000, ZoneInfo(context.parts.site.zone)).date()
    months = [today.replace(day=1)]
    while len(months) < _MONTHS:
        months.append((months[-1] - dt.timedelta(1)).replace(day=1))
    return months


def _text(one: dt.date) -> str:
    return f"{one:%Y-%m}"
