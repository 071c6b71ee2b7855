"""What anybody may see: the public status, and the switches of language and light."""

from typing import Final

from aiohttp import hdrs, web

from alerts.i18n.catalogue import CODES
from alerts.tables import StateAway
from server.web.auth import recall, safe_next, set_cookie
from server.web.context import WEB

_YEAR: Final = 365 * 86400
_CHOICES: Final = {"lang": CODES, "theme": ("auto", "light", "dark")}


async def status(request: web.Request) -> web.StreamResponse:
    """Show how the public services are, without anything internal; who is not logged in sees the page of some seconds ago.

    A fault brings everybody here at once, when the checks need the processor most.
    """
    context = request.app[WEB]

    async def make() -> str:
        return await context.html(request, "status.html", seen=await context.overview.public())

    if await _stays(request) or request.query_string:
        return context.answer(request, await make())
    return context.answer(request, await context.shared(request, make))


async def _stays(request: web.Request) -> bool:
    try:
        return await recall(request) is not None
    except StateAway:
        return False


async def preferences(request: web.Request) -> web.StreamResponse:
    """Remember a language or a theme in a cookie and go back; it changes nothing but how pages look."""
    response = web.Response(status=303, headers={hdrs.LOCATION: safe_next(request.query.get("next"))})
    for name, allowed in _CHOICES.items():
        value = request.query.get(name)
        if value in allowed:
            set_cookie(request.app[WEB], response, name, value, seconds=_YEAR)
    return response
