"""The addresses of the pages: one line each, with who may come in and what it answers. Guards take from here what they look at."""

from typing import Final, Literal

import msgspec
from aiohttp import hdrs, web

from server.web import assets, live
from server.web.accounts import Role
from server.web.auth import Handler, need
from server.web.context import WEB
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

# what a visitor gets: a page in one's language, another address to go to, something to take along, or numbers for a program
Answer = Literal["page", "redirect", "file", "data"]


class Route(msgspec.Struct, frozen=True):
    """One address; ``role`` None lets everybody in, ``path`` has aiohttp's holes (``/services/{id}``)."""

    method: Literal["GET", "POST"]
    path: str
    role: Role | None
    answers: Answer
    handler: Handler

    def definition(self) -> web.RouteDef:
        """Return what aiohttp takes, behind its door."""
        handler = self.handler if self.role is None else need(self.role, self.handler)
        return (web.get if self.method == hdrs.METH_GET else web.post)(self.path, handler)


async def _static(request: web.Request) -> web.StreamResponse:
    return assets.respond(request, request.app[WEB].renderer.assets)


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/static/{hash}/{name:.+}", None, "file", _static),
    Route("GET", "/login", None, "page", login.show),
    Route("POST", "/login", None, "redirect", login.enter),
    Route("POST", "/logout", "viewer", "redirect", login.leave),
    Route("GET", "/status", None, "page", public.status),
    Route("GET", "/preferences", None, "redirect", public.preferences),
    Route("GET", "/", "viewer", "page", front.show),
    Route("GET", "/wall", "viewer", "page", front.wall),
    Route("GET", "/services/{id}", "viewer", "page", service.show),
    Route("GET", "/hosts", "viewer", "page", host.listing),
    Route("GET", "/hosts/{name}", "viewer", "page", host.show),
    Route("GET", "/devices", "viewer", "page", device.listing),
    Route("GET", "/devices/{id}", "viewer", "page", device.show),
    Route("GET", "/account", "viewer", "page", account.show),
    Route("POST", "/account", "viewer", "redirect", account.change),
    Route("GET", "/incidents", "viewer", "page", incident.listing),
    Route("GET", "/incidents/{id}", "viewer", "page", incident.show),
    Route("POST", "/incidents/ack", "operator", "redirect", incident.acknowledge_all),
    Route("POST", "/incidents/{id}/ack", "operator", "redirect", incident.acknowledge),
    Route("GET", "/reports", "evaluator", "page", report.show),
    Route("GET", "/reports/{month}.{form}", "evaluator", "file", report.download),
    Route("GET", "/series", "viewer", "page", series.show),
    Route("GET", "/buckets", "viewer", "page", buckets.show),
    Route("GET", "/schedule", "viewer", "page", schedule.show),
    Route("GET", "/live", "viewer", "data", live.stream),
    Route("GET", "/api/chart", "viewer", "data", chart.subject_json),
    Route("GET", "/api/chart.svg", "viewer", "data", chart.subject_svg),
    Route("GET", "/api/series", "viewer", "data", chart.series_json),
    Route("GET", "/api/series.svg", "viewer", "data", chart.series_svg),
)
