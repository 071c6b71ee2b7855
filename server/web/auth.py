"""The door of the pages: who is asking, may they, and did the form come from our own page."""

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from aiohttp import hdrs, web
from yarl import URL

from alerts.tables import StateAway
from server.state.token_hash import token_hash
from server.web import sessions
from server.web.accounts import Role, allows
from server.web.context import SESSION, WEB, Web
from server.web.sessions import Session

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_FIELD: Final = "csrf"
_FORM: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 20
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{20,64}")


def cookie_name(secure: bool, name: str = "pantau") -> str:  # noqa: FBT001 - it is the one thing asked
    """Name a cookie, the session's unless told; the prefix makes a browser refuse one that another host or plain http has set."""
    return f"__Host-{name}" if secure else name


def token_in(request: web.Request, name: str = "pantau") -> str:
    """Return the token that a cookie of ours holds; empty when there is none, or something that we never made."""
    token = request.cookies.get(cookie_name(request.app[WEB].parts.site.secure, name), "")
    return token if _TOKEN.fullmatch(token) else ""


def session_of(request: web.Request) -> Session:
    """Return the session of a request that ``need`` let through."""
    return request[SESSION]


async def recall(request: web.Request) -> Session | None:
    """Find the session of a request's cookie, and remember it there.

    While the database is away who was known a moment ago may still look; StateAway for all else.
    """
    context = request.app[WEB]
    token = token_in(request)
    if not token or SESSION in request:
        return request.get(SESSION)
    now = context.parts.clock()
    try:
        stay = await _read(context, token, now)
    except StateAway:
        stay = context.remembered.find(token_hash(token), now)
        if stay is None or request.method != hdrs.METH_GET:
            raise
    if stay:
        request[SESSION] = stay
    return stay


async def _read(context: Web, token: str, now: int) -> Session | None:
    stay = await context.parts.database.read(lambda tx: sessions.current(tx, token, now))
    context.remembered.note(token_hash(token), stay, now)
    if stay and sessions.wants_renewal(stay, now):
        await context.parts.database.write(lambda tx: sessions.renew(tx, stay, now))
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


async def read_form(request: web.Request) -> dict[str, str]:
    """Return the fields of a form as a browser sends ours; anything else holds none.

    HTTPRequestTimeout when it does not arrive, HTTPRequestEntityTooLarge or HTTPBadRequest when it is too much.
    """
    if request.content_type != _FORM:
        return {}
    try:
        async with asyncio.timeout(request.app[WEB].parts.limits.form_seconds):
            body = await request.read()
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except TimeoutError as error:
        raise web.HTTPRequestTimeout from error
    except ValueError as error:
        raise web.HTTPBadRequest from error


async def check_form(request: web.Request, expected: str) -> dict[str, str]:
    """Return the fields of a form; HTTPForbidden when another site made a browser send it."""
    form = await read_form(request)
    same = hmac.compare_digest(form.get(_FIELD, "").encode(), expected.encode())
    # a neighbour under the same domain is a stranger, too
    if not expected or not same or request.headers.get("Sec-Fetch-Site") in {"cross-site", "same-site"}:
        raise web.HTTPForbidden
    return form


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
        secure=context.parts.site.secure,
    )
