"""Reports for evaluators: choose a month, read it, take it along."""

import datetime as dt
from typing import Final
from zoneinfo import ZoneInfo

from aiohttp import hdrs, web

from server.report import document, spreadsheet
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
    if name not in {_text(one) for one in _months(context)}:
        raise web.HTTPNotFound
    report = await _report(context, name)
    match form:
        case "html":
            headers = {"Content-Security-Policy": _DOCUMENT_POLICY, hdrs.CACHE_CONTROL: "no-store"}
            text = document.text(report)
            return web.Response(text=text, content_type="text/html", headers=headers)
        case "json":
            return _attached(name, form, document.text(report), "application/json")
        case "csv":
            return _attached(name, form, spreadsheet.text(report, spoken.code), "text/csv")
    raise web.HTTPNotFound


async def _report(context: Web, name: str) -> Report:
    parts = context.parts
    now = parts.clock()
    start, end = month(name, parts.zone)
    return await parts.database.read(
        lambda tx: build(tx, parts.register, start=start, end=end, now=now, zone=parts.zone)
    )


def _attached(name: str, form: str, text: str, kind: str) -> web.Response:
    headers = {
        hdrs.CONTENT_DISPOSITION: f'attachment; filename="pantau-{name}.{form}"',
        hdrs.CACHE_CONTROL: "no-store",
    }
    return web.Response(text=text, content_type=kind, charset="utf-8", headers=headers)


def _months(context: Web) -> list[dt.date]:
    today = dt.datetime.fromtimestamp(context.parts.clock() / 1000, ZoneInfo(context.parts.zone)).date()
    months = [today.replace(day=1)]
    while len(months) < _MONTHS:
        months.append((months[-1] - dt.timedelta(1)).replace(day=1))
    return months


def _text(one: dt.date) -> str:
    return f"{one:%Y-%m}"
