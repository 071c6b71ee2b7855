"""One's own account: who one is here, and a new password."""

import asyncio
from typing import Final

from aiohttp import hdrs, web
from sqlalchemy import Connection

from server.web import accounts, sessions
from server.web.accounts import MAX_PASSWORD, MIN_PASSWORD, Account
from server.web.auth import cookie_name, read_form, session_of, set_cookie
from server.web.context import WEB

_STATUS: Final = {"length": 400, "differ": 400, "wrong": 403, "wait": 429}


async def show(request: web.Request) -> web.StreamResponse:
    """Show who is logged in, and the form."""
    return await _page(request, changed="changed" in request.query)


async def change(request: web.Request) -> web.StreamResponse:
    """Give the user a new password, who must know the old one; all other sessions of the user end."""
    context, user = request.app[WEB], session_of(request).user
    form = await read_form(request)
    new = form.get("new", "")
    if not MIN_PASSWORD <= len(new) <= MAX_PASSWORD:
        return await _page(request, fault="length")
    if new != form.get("again"):
        return await _page(request, fault="differ")
    address, now = context.address(request), context.parts.clock()
    wait = await context.parts.database.write(lambda tx: sessions.try_login(tx, name=user, address=address, now=now))
    if wait:
        return await _page(request, fault="wait", wait=wait)
    known = await context.parts.database.read(lambda tx: accounts.find(tx, user))
    async with context.hashing:
        fits = await asyncio.to_thread(context.passwords.fits, known, form.get("password", ""))
        hashed = await asyncio.to_thread(context.passwords.make, new) if fits else ""
    if known is None or not fits:
        return await _page(request, fault="wrong")
    token = await context.parts.database.write(lambda tx: _renew(tx, known, hashed, address=address, now=now))
    if not token:
        return await _page(request, fault="wrong")
    response = web.Response(status=303, headers={hdrs.LOCATION: "/account?changed=1"})
    name = cookie_name(context.parts.site.secure)
    set_cookie(context, response, name, token, seconds=sessions.LIFE // 1000)
    return response


def _renew(tx: Connection, known: Account, hashed: str, *, address: str, now: int) -> str:
    # an administrator may have been faster; then that password holds
    if accounts.find(tx, known.name) != known:
        return ""
    accounts.set_password(tx, name=known.name, password=hashed, at=now, by=known.name)
    sessions.forgive(tx, name=known.name, address=address)
    return sessions.start(tx, known.id, now)


async def _page(request: web.Request, *, fault: str = "", wait: int = 0, changed: bool = False) -> web.Response:
    known = {"fault": fault, "wait": wait, "changed": changed, "least": MIN_PASSWORD, "most": MAX_PASSWORD}
    return await request.app[WEB].page(request, "account.html", status=_STATUS.get(fault, 200), **known)
