"""The web of the centre: builds the pages on one aiohttp application. ``/api/v2/``, ``/write``, ``/ping`` and ``/health`` stay free."""

import asyncio

from aiohttp import web

from server.edge.broken_off import broken_off
from server.readmodel.overview import Overview
from server.web import assets, live
from server.web.auth import need
from server.web.context import WEB, Parts, Web
from server.web.pages import (
    account,
    buckets,
    chart,
    device,
    front,
    host,
    incident,
    login,
    public,
    report,
    schedule,
    series,
    service,
)
from server.web.render import Renderer
from server.web.security import add_headers, guard

__all__ = ["Parts", "build"]


def build(parts: Parts) -> web.Application:
    """Return the application; templates and static files are read when it starts."""
    app = web.Application(middlewares=[broken_off, guard])

    async def start(app: web.Application) -> None:
        renderer = await asyncio.to_thread(Renderer, parts.site.zone)
        overview = Overview(parts.database, parts.watched, zone=parts.site.zone, clock=parts.clock)
        app[WEB] = Web(parts, renderer, overview)

    app.on_startup.append(start)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(_end_streams)
    app.add_routes(_routes())
    return app


async def _end_streams(app: web.Application) -> None:
    app[WEB].parts.feed.close()


async def _static(request: web.Request) -> web.StreamResponse:
    return assets.respond(request, request.app[WEB].renderer.assets)


def _routes() -> list[web.RouteDef]:
    return [
        web.get("/static/{hash}/{name:.+}", _static),
        web.get("/login", login.show),
        web.post("/login", login.enter),
        web.post("/logout", need("viewer", login.leave)),
        web.get("/status", public.status),
        web.get("/preferences", public.preferences),
        web.get("/", need("viewer", front.show)),
        web.get("/wall", need("viewer", front.wall)),
        web.get("/services/{id}", need("viewer", service.show)),
        web.get("/hosts", need("viewer", host.listing)),
        web.get("/hosts/{name}", need("viewer", host.show)),
        web.get("/devices", need("viewer", device.listing)),
        web.get("/devices/{id}", need("viewer", device.show)),
        web.get("/account", need("viewer", account.show)),
        web.post("/account", need("viewer", account.change)),
        web.get("/incidents", need("viewer", incident.listing)),
        web.get("/incidents/{id}", need("viewer", incident.show)),
        web.post("/incidents/ack", need("operator", incident.acknowledge_all)),
        web.post("/incidents/{id}/ack", need("operator", incident.acknowledge)),
        web.get("/reports", need("evaluator", report.show)),
        web.get("/reports/{month}.{form}", need("evaluator", report.download)),
        web.get("/series", need("viewer", series.show)),
        web.get("/buckets", need("viewer", buckets.show)),
        web.get("/schedule", need("viewer", schedule.show)),
        web.get("/live", need("viewer", live.stream)),
        web.get("/api/chart", need("viewer", chart.subject_json)),
        web.get("/api/chart.svg", need("viewer", chart.subject_svg)),
        web.get("/api/series", need("viewer", chart.series_json)),
        web.get("/api/series.svg", need("viewer", chart.series_svg)),
    ]
