"""The stream of events to open pages (server-sent events); pages then fetch themselves anew."""

import asyncio
import contextlib
from typing import Final

import msgspec
from aiohttp import hdrs, web

from server.feed import RESYNC, Event, Subscription
from server.web import sessions
from server.web.auth import cookie_name
from server.web.context import WEB, Web

HEARTBEAT: Final = 15.0


def encode(event: Event) -> bytes:
    """Write one event in the form of the HTML standard; JSON holds no line ends."""
    return f"event: {event.name}\ndata: {msgspec.json.encode(event.data).decode()}\n\n".encode()


async def stream(request: web.Request) -> web.StreamResponse:
    """Send events until the page is closed, the session ends or the centre stops."""
    context = request.app[WEB]
    token = request.cookies.get(cookie_name(context.parts.secure_cookies), "")
    response = web.StreamResponse(
        headers={hdrs.CONTENT_TYPE: "text/event-stream", hdrs.CACHE_CONTROL: "no-store", "X-Accel-Buffering": "no"}
    )
    with context.parts.feed.subscribe() as subscription:
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the page was closed
            await _send(context, response, subscription, token)
    return response


async def _send(context: Web, response: web.StreamResponse, subscription: Subscription, token: str) -> None:
    # whoever comes back may have missed something
    await response.write(b"retry: 3000\n\n" + encode(Event(RESYNC, {})))
    clock = asyncio.get_running_loop().time
    while await _lasts(context, token):
        due = clock() + HEARTBEAT
        try:
            while (event := await subscription.get(due - clock())) is not None:
                await response.write(encode(event))
        except TimeoutError:
            await response.write(b": still here\n\n")
        else:
            return


async def _lasts(context: Web, token: str) -> bool:
    now = context.parts.clock()
    return await context.parts.database.read(lambda tx: sessions.current(tx, token, now)) is not None
