"""Servers: the list, and the page of one."""

from aiohttp import web

from server import charts
from server.store import StoreUnavailable
from server.web.context import WEB
from server.web.pages.chart import span_of


async def listing(request: web.Request) -> web.StreamResponse:
    """Show every server, problems first."""
    context = request.app[WEB]
    rows = await context.overview.hosts()
    gauges: dict[str, charts.Gauges] = {}
    unreadable = False
    try:
        gauges = await charts.gauges(context.parts.store, context.parts.clock())
    except StoreUnavailable:
        unreadable = True
    return await context.page(request, "hosts.html", rows=rows, gauges=gauges, unreadable=unreadable)


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
        detail=detail,
        charts=charts.of_host(row.name),
        checks=context.parts.checks,
        span=span_of(request, detail.since),
    )
