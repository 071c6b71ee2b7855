"""What every answer of the pages carries, and calm pages for what went wrong."""

import logging
from contextlib import suppress
from typing import Final

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from alerts.tables import StateAway
from server.web.auth import recall
from server.web.context import WEB

log = logging.getLogger("pantau.web")

# addresses for programs, mounted on the same application: they speak their own protocols
MACHINES: Final = ("/api/v2/", "/api/pantau/", "/write", "/ping", "/health", "/ready", "/query")
_NO_PAGES: Final = (*MACHINES, "/api/", "/live", "/static/")
_RETRY: Final = 10  # seconds

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors in the visitor's language."""
    try:
        await request.app[WEB].loaded()
        return await handler(request)
    except StateAway as error:
        return await _state_away(request, error)
    except web.HTTPException as error:
        if error.status < web.HTTPBadRequest.status_code or request.path.startswith(_NO_PAGES):
            raise
        return await _error_page(request, error.status)
    except ConnectionError:
        raise  # the visitor left
    except Exception:
        if request.path.startswith(MACHINES):
            raise
        log.exception("%s %s failed", request.method, request.path)
        return await _error_page(request, web.HTTPInternalServerError.status_code)


async def _state_away(request: web.Request, error: StateAway) -> web.Response:
    """Answer that the database of state is away, which the log has said already."""
    retry = {hdrs.RETRY_AFTER: str(_RETRY)}
    if request.path.startswith(_NO_PAGES):
        return web.json_response({"error": "the database of state is away, try again"}, status=503, headers=retry)
    log.debug("%s %s: %s", request.method, request.path, error)
    away = web.HTTPServiceUnavailable.status_code
    response = await _error_page(request, away, away)
    response.headers.update(retry)
    return response


def fault_of_ours(record: logging.LogRecord) -> bool:
    """Filter of aiohttp's log: who sends what is no HTTP gets 400, and cannot fill the log with it."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def _error_page(request: web.Request, status: int, code: int = 500) -> web.Response:
    """Return a page with the words of ``status``, those of ``code`` at most."""
    context = request.app[WEB]
    try:
        with suppress(StateAway):
            await recall(request)
        return await context.page(request, "error.html", status=status, code=min(status, code))
    except Exception:
        log.exception("the error page failed too")
        return web.Response(text="500", status=500)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: give each answer of the pages its security headers."""
    response.headers[hdrs.SERVER] = "Pantau"
    if request.path.startswith(MACHINES):
        return
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.app[WEB].parts.site.secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
