"""Reports for evaluators: choose a month, read it, take it along."""

import datetime as dt
from collections.abc import Awaitable, Mapping
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from aiohttp import hdrs, web

from server.report.build import month
from server.report.paper import Form, Order
from server.report.papers import PapersBusy
from server.web.context import WEB, Web

T = TypeVar("T")

_MONTHS: Final = 24
_TYPES: Final[Mapping[Form, str]] = {"html": "text/html", "json": "application/json", "csv": "text/csv"}

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
    report = await _done(context.parts.papers.figures(_order(context, request, _text(chosen))))
    return await context.page(request, "reports.html", months=months, month=chosen, report=report)


async def download(request: web.Request) -> web.StreamResponse:
    """Answer with the report of a month as ``html``, ``json`` or ``csv``."""
    context = request.app[WEB]
    name, form = request.match_info["month"], request.match_info["form"]
    known = next((one for one in _TYPES if one == form), None)
    if known is None or name not in {_text(one) for one in _months(context)}:
        raise web.HTTPNotFound
    body = await _done(context.parts.papers.text(_order(context, request, name), known))
    headers: dict[str, str] = {hdrs.CACHE_CONTROL: "no-store"}
    if known == "html":
        headers["Content-Security-Policy"] = _DOCUMENT_POLICY
    else:
        headers[hdrs.CONTENT_DISPOSITION] = f'attachment; filename="pantau-{name}.{known}"'
    return web.Response(body=body, content_type=_TYPES[known], charset="utf-8", headers=headers)


async def _done(paper: Awaitable[T]) -> T:
    try:
        return await paper
    except PapersBusy as error:
        raise web.HTTPTooManyRequests from error


def _order(context: Web, request: web.Request, name: str) -> Order:
    parts = context.parts
    start, end = month(name, parts.site.zone)
    return Order(
        state=parts.place,
        register=parts.watched.register,
        zone=parts.site.zone,
        title=parts.site.title,
        start=start,
        end=end,
        now=parts.clock(),
        lang=context.language(request).code,
    )


def _months(context: Web) -> list[dt.date]:
    today = dt.datetime.fromtimestamp(context.parts.clock() / 1000, ZoneInfo(context.parts.site.zone)).date()
    months = [today.replace(day=1)]
    while len(months) < _MONTHS:
        months.append((months[-1] - dt.timedelta(1)).replace(day=1))
    return months


def _text(one: dt.date) -> str:
    return f"{one:%Y-%m}"
