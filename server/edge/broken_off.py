"""Clients that go away in the middle of a request: one line at debug, for it is no fault of ours."""

import logging
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

_log: Final = logging.getLogger("pantau.edge")


@web.middleware
async def broken_off(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a request; when its client has left, log that in one line and let the connection end."""
    try:
        return await handler(request)
    except ConnectionError as error:
        if request.transport is not None:
            raise  # another connection broke, one of ours
        size = request.headers.get(hdrs.CONTENT_LENGTH, "?")
        _log.debug(
            "%s %s from %s (%s bytes): its client broke off: %s",
            request.method,
            request.path,
            request.remote,
            size,
            error,
        )
        return web.Response(status=web.HTTPBadRequest.status_code)  # which nobody gets
