"""Who spends the series of each bucket, and how many are left."""

from aiohttp import web

from server.web.context import WEB

_SHOWN = 50


async def show(request: web.Request) -> web.StreamResponse:
    """Show each bucket with its limit and its measurements, the greatest first."""
    context = request.app[WEB]
    spending = await context.parts.buckets.spending()
    return await context.page(request, "buckets.html", area="series", buckets=spending, shown=_SHOWN)
