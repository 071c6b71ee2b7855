"""The overview and the wallboard: every service, problems first."""

from aiohttp import web

from server.web.context import WEB


async def show(request: web.Request) -> web.StreamResponse:
    """Show the overview."""
    context = request.app[WEB]
    return await context.page(request, "front.html", front=await context.overview.front())


async def wall(request: web.Request) -> web.StreamResponse:
    """Show the wallboard: big, for a screen that nobody touches."""
    context = request.app[WEB]
    return await context.page(request, "wall.html", front=await context.overview.front())
