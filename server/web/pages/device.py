"""Network devices: the list, and the page of one with its interfaces."""

from aiohttp import web

from server.readmodel import charts
from server.store import StoreUnavailable
from server.web.context import WEB
from server.web.pages.chart import span_of


async def listing(request: web.Request) -> web.StreamResponse:
    """Show every device, problems first."""
    context = request.app[WEB]
    return await context.page(request, "devices.html", rows=await context.overview.devices())


async def show(request: web.Request) -> web.StreamResponse:
    """Show one device; ``?port=`` picks the interface that its charts show."""
    context = request.app[WEB]
    found = await context.overview.device(request.match_info["id"])
    if found is None:
        raise web.HTTPNotFound
    row, detail = found
    store, now = context.parts.store, context.parts.clock()
    port = request.query.get("port", "")
    ports: list[charts.Port] | None
    uptime: float | None = None
    try:
        ports = await charts.ports(store, row.device.id, now)
        uptime = await charts.uptime(store, row.device.id, now)
    except StoreUnavailable:
        ports = None
    return await context.page(
        request,
        "device.html",
        row=row,
        detail=detail,
        port=port,
        ports=ports,
        uptime=uptime,
        charts=charts.of_device(row.device.id, port),
        checks=context.parts.watched.checks,
        span=span_of(request, detail.since),
    )
