"""The stream of events to open pages (server-sent events); pages then fetch themselves anew."""

import asyncio
import contextlib

import msgspec
from aiohttp import hdrs, web

from alerts.tables import StateAway
from server.watching.feed import RESYNC, Event, Subscription
from server.web import sessions
from server.web.auth import session_of, token_in
from server.web.context import WEB, Web


def encode(event: Event) -> bytes:
    """Write one event in the form of the HTML standard; JSON holds no line ends."""
    return f"event: {event.name}\ndata: {msgspec.json.encode(event.data).decode()}\n\n".encode()


async def stream(request: web.Request) -> web.StreamResponse:
    """Send events until the page is closed, the session ends or the centre stops."""
    context = request.app[WEB]
    user = session_of(request).user
    if context.streams[user] >= context.parts.limits.streams:
        raise web.HTTPTooManyRequests
    response = web.StreamResponse(
        headers={hdrs.CONTENT_TYPE: "text/event-stream", hdrs.CACHE_CONTROL: "no-store", "X-Accel-Buffering": "no"}
    )
    context.streams[user] += 1
    try:
        with (
            context.parts.feed.subscribe() as subscription,
            contextlib.suppress(ConnectionError),
        ):  # the page was closed
            await response.prepare(request)
            await _send(context, response, subscription, token_in(request))
    finally:
        context.streams[user] -= 1
    return response


async def _send(context: Web, response: web.StreamResponse, subscription: Subscription, token: str) -> None:
    # whoever comes back may have missed something
    await response.write(b"retry: 3000\n\n" + encode(Event(RESYNC, {})))
    clock = asyncio.get_running_loop().time
    while await _lasts(context, token):
        due = clock() + context.parts.limits.heartbeat
        try:
            while (event := await subscription.get(due - clock())) is not None:
                await response.write(encode(event))
        except TimeoutError:
            await response.write(b": still here\n\n")
        else:
            return


async def _lasts(context: Web, token: str) -> bool:
    now = context.parts.clock()
    try:
        return await context.parts.database.read(lambda tx: sessions.current(tx, token, now)) is not None
    except StateAway:
        return True  # nobody can be shut out now; asked again at the next heartbeat
