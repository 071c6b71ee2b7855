"""What every answer of the pages carries, and calm pages for what went wrong."""

import logging
from typing import Final

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from server.web.auth import recall
from server.web.context import WEB

log = logging.getLogger("pantau.web")

# addresses for programs, mounted on the same application: they speak their own protocols
MACHINES: Final = ("/api/v2/", "/api/pantau/", "/write", "/ping", "/health", "/ready", "/query")

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
    if request.path.startswith(MACHINES):
        return await handler(request)
    try:
        await request.app[WEB].loaded()
        return await handler(request)
    except web.HTTPException as error:
        if error.status < web.HTTPBadRequest.status_code or request.path.startswith(("/api/", "/live", "/static/")):
            raise
        return await _error_page(request, error.status)
    except ConnectionError:
        raise  # the visitor left
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return await _error_page(request, web.HTTPInternalServerError.status_code)


def fault_of_ours(record: logging.LogRecord) -> bool:
    """Filter of aiohttp's log: who sends what is no HTTP gets 400, and cannot fill the log with it."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def _error_page(request: web.Request, status: int) -> web.Response:
    context = request.app[WEB]
    try:
        await recall(request)
        return await context.page(request, "error.html", status=status, code=min(status, 500))
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
