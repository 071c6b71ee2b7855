"""Servers: the list, and the page of one."""

from functools import partial
from typing import Any

from aiohttp import web

from server.readmodel import charts
from server.store import StoreUnavailable
from server.web.context import WEB, Web
from server.web.pages.chart import span_of

_LATELY = 3_600_000


async def listing(request: web.Request) -> web.StreamResponse:
    """Show every server, problems first."""
    context = request.app[WEB]
    table = await context.fragment(request, "host_rows.html", partial(_rows, context))
    return await context.page(request, "hosts.html", table=table)


async def _rows(context: Web) -> dict[str, Any]:
    """Return what the table of servers is made of."""
    rows = await context.overview.hosts()
    gauges: dict[str, charts.Gauges] = {}
    unreadable = False
    try:
        gauges = await charts.gauges(context.parts.store, context.parts.clock())
    except StoreUnavailable:
        unreadable = True
    return {"rows": rows, "gauges": gauges, "unreadable": unreadable}


async def show(request: web.Request) -> web.StreamResponse:
    """Show one server."""
    context = request.app[WEB]
    found = await context.overview.host(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    row, detail = found
    return await context.page(
        request,
        "host.html",
        row=row,
        alias=await _alias(context, row.name),
        detail=detail,
        charts=charts.of_host(row.name),
        checks=context.parts.watched.checks,
        span=span_of(request, detail.since),
    )


async def _alias(context: Web, name: str) -> str:
    """Return what the machine calls itself by now, "" when that is its name here or not known."""
    since = (context.parts.clock() - _LATELY) * 1_000_000
    try:
        found = await context.parts.store.latest("internal_agent", ["hostname"], since=since, where={"host": name})
    except StoreUnavailable:
        return ""
    newest = max(found, key=lambda one: one.time, default=None)
    told = str(newest.fields["hostname"]) if newest else ""
    return "" if told == name else told
