"""Coming in and going out."""

import asyncio
import math
import secrets
from typing import Final

from aiohttp import hdrs, web
from sqlalchemy import Connection

from alerts import audit
from server.state.token_hash import token_hash
from server.web import accounts, sessions
from server.web.accounts import Account
from server.web.auth import check_form, cookie_name, read_form, recall, safe_next, session_of, set_cookie, token_in
from server.web.context import WEB

_FORM: Final = "form"  # the cookie that a login form must match, before there is a session
_HOUR: Final = 3600


async def show(request: web.Request) -> web.StreamResponse:
    """Show the form."""
    target = safe_next(request.query.get("next"))
    if await recall(request):
        raise web.HTTPSeeOther(target)
    return await _form(request, target=target)


async def enter(request: web.Request) -> web.StreamResponse:
    """Check name and password; open a session or show the form again, in the same time for known and unknown names."""
    context = request.app[WEB]
    given = await read_form(request)
    target, name, password = (
        safe_next(given.get("next")),
        given.get("name", "").strip()[:100],
        given.get("password", ""),
    )
    try:
        await check_form(request, token_in(request, _FORM))
    except web.HTTPForbidden:
        return await _form(request, target=target, name=name, stale=True, status=403)
    key, address, now = name.lower(), context.address(request), context.parts.clock()
    wait = await context.parts.database.write(lambda tx: sessions.try_login(tx, name=key, address=address, now=now))
    if wait:
        return await _form(request, target=target, name=name, wait=wait, status=429)
    account = await context.parts.database.read(lambda tx: accounts.find(tx, key))
    async with context.hashing:
        fits = await asyncio.to_thread(context.passwords.fits, account, password)
    old = token_in(request)
    known = account if fits else None
    token = await context.parts.database.write(lambda tx: _open(tx, key, known, address=address, now=now, old=old))
    if not token:
        return await _form(request, target=target, name=name, failed=True, status=401)
    response = web.Response(status=303, headers={hdrs.LOCATION: target})
    secure = context.parts.site.secure
    set_cookie(context, response, cookie_name(secure), token, seconds=sessions.LIFE // 1000)
    response.del_cookie(cookie_name(secure, _FORM), path="/", secure=secure)
    return response


async def leave(request: web.Request) -> web.StreamResponse:
    """End the session."""
    context = request.app[WEB]
    stay, now = session_of(request), context.parts.clock()

    def close(tx: Connection) -> None:
        sessions.end(tx, stay.token_hash)
        audit.note(tx, at=now, actor=stay.user, action="logout")

    await context.parts.database.write(close)
    response = web.Response(status=303, headers={hdrs.LOCATION: "/login"})
    response.del_cookie(cookie_name(context.parts.site.secure), path="/", secure=context.parts.site.secure)
    return response


def _open(tx: Connection, name: str, account: Account | None, *, address: str, now: int, old: str) -> str:
    # who was shut out or given another password while this one was looked at stays outside
    if account is None or accounts.find(tx, name) != account:
        audit.note(tx, at=now, actor=name, action="login.failed", detail={"address": address})
        return ""
    if old:
        sessions.end(tx, token_hash(old))
    sessions.forgive(tx, name=account.name, address=address)
    audit.note(tx, at=now, actor=account.name, action="login", detail={"address": address})
    return sessions.start(tx, account.id, now)


async def _form(
    request: web.Request,
    *,
    target: str,
    name: str = "",
    wait: int = 0,
    failed: bool = False,
    stale: bool = False,
    status: int = 200,
) -> web.Response:
    context = request.app[WEB]
    token = token_in(request, _FORM) or secrets.token_urlsafe(24)
    known = {"next": target, "name": name, "wait": wait, "failed": failed, "stale": stale, "form": token}
    response = await context.page(request, "login.html", status=status, **known)
    set_cookie(context, response, cookie_name(context.parts.site.secure, _FORM), token, seconds=_HOUR)
    if wait:
        response.headers[hdrs.RETRY_AFTER] = str(math.ceil(wait / 1000))
    return response
