"""The door of the pages: who is asking, may they, and did the form come from our own page."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote, unquote

from aiohttp import hdrs, web
from yarl import URL

from server.web import sessions
from server.web.accounts import Role, allows
from server.web.context import SESSION, WEB, Web
from server.web.sessions import Session

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_FIELD: Final = "csrf"


def cookie_name(secure: bool) -> str:  # noqa: FBT001 - it is the one thing asked
    """Name the session cookie; the prefix makes a browser refuse one that another host or plain http has set."""
    return "__Host-pantau" if secure else "pantau"


def session_of(request: web.Request) -> Session:
    """Return the session of a request that ``need`` let through."""
    return request[SESSION]


async def recall(request: web.Request) -> Session | None:
    """Find the session of a request's cookie, and remember it there."""
    context = request.app[WEB]
    token = request.cookies.get(cookie_name(context.parts.secure_cookies))
    if not token or SESSION in request:
        return request.get(SESSION)
    now = context.parts.clock()
    stay = await context.parts.database.read(lambda tx: sessions.current(tx, token, now))
    if stay and sessions.wants_renewal(stay, now):
        await context.parts.database.write(lambda tx: sessions.renew(tx, stay, now))
    if stay:
        request[SESSION] = stay
    return stay


def need(role: Role, handler: Handler) -> Handler:
    """Let a page be seen, and its form be sent, only by users who may do what ``role`` may do."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        stay = await recall(request)
        if stay is None:
            if request.method != hdrs.METH_GET or request.path.startswith(("/api/", "/live")):
                raise web.HTTPUnauthorized
            raise web.HTTPSeeOther(f"/login?next={quote(request.path_qs, safe='')}")
        if not allows(stay.role, role):
            raise web.HTTPForbidden
        if request.method == hdrs.METH_POST:
            await check_form(request, stay.csrf)
        return await handler(request)

    return guarded


async def check_form(request: web.Request, expected: str) -> None:
    """Refuse a form that another site made a browser send."""
    form = await request.post()
    given = form.get(_FIELD)
    same = isinstance(given, str) and hmac.compare_digest(given.encode(), expected.encode())
    if not expected or not same or request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise web.HTTPForbidden


def safe_next(wanted: str | None) -> str:
    """Return a path of our own to go on to; anything else becomes the overview."""
    if not wanted or not wanted.startswith("/"):
        return "/"
    plain = unquote(wanted)
    # browsers read a backslash as a slash and drop control characters, so "/\host" and "/\t/host" are other hosts
    if plain.startswith("//") or "\\" in plain or any(ord(letter) < ord(" ") for letter in plain):
        return "/"
    try:
        url = URL(wanted)
    except ValueError:
        return "/"
    return "/" if url.absolute else wanted


def set_cookie(
    context: Web, response: web.StreamResponse, name: str, value: str, *, seconds: int, lax: bool = True
) -> None:
    """Set a cookie that scripts cannot read and other sites cannot use."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        httponly=True,
        samesite="Lax" if lax else "Strict",
        secure=context.parts.secure_cookies,
    )
