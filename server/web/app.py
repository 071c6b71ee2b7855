"""The web of the centre: builds the pages on one aiohttp application. ``/api/v2/``, ``/write``, ``/ping`` and ``/health`` stay free."""

from aiohttp import web

from server.edge.broken_off import broken_off
from server.readmodel.overview import Overview
from server.web.context import WEB, Parts, Web
from server.web.routes import ROUTES
from server.web.security import add_headers, guard

__all__ = ["Parts", "build"]


def build(parts: Parts) -> web.Application:
    """Return the application; templates and static files are read beside it when it starts."""
    app = web.Application(middlewares=[broken_off, guard])

    async def start(app: web.Application) -> None:
        overview = Overview(
            parts.database,
            parts.states,
            parts.watched,
            zone=parts.site.zone,
            clock=parts.clock,
            steady=parts.steady,
        )
        app[WEB] = Web(parts, overview)

    app.on_startup.append(start)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(_end_streams)
    app.add_routes([route.definition() for route in ROUTES])
    return app


async def _end_streams(app: web.Application) -> None:
    app[WEB].parts.feed.close()
