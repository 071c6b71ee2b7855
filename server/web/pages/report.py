"""Reports for evaluators: choose a month, read it, take it along."""

import datetime as dt
from typing import Final
from zoneinfo import ZoneInfo

from aiohttp import web

from server.web.context import WEB

_MONTHS: Final = 24


async def show(request: web.Request) -> web.StreamResponse:
    """Show a month."""
    context = request.app[WEB]
    today = dt.datetime.fromtimestamp(context.parts.clock() / 1000, ZoneInfo(context.parts.zone)).date()
    months = [today.replace(day=1)]
    while len(months) < _MONTHS:
        months.append((months[-1] - dt.timedelta(1)).replace(day=1))
    return await context.page(request, "reports.html", months=months, month=months[0])


async def download(request: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound
