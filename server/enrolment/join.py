"""``POST /api/pantau/join``: a host hands in its one-time token and gets a token of its own."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Final

import msgspec
from aiohttp import web

from alerts.tables import Database
from server.enrolment import invitations
from server.enrolment.agents import Enrolled
from server.enrolment.fingerprints import fingerprint
from server.enrolment.guesses import WINDOW, Guesses
from server.enrolment.invitations import HOST_SHAPE, NameTaken, NotInvited, OtherHost

_BODY: Final = 4096
_PATIENCE: Final = 10.0


class Request(msgspec.Struct, frozen=True):
    """What the agent sends (JSON): ``machine`` is its fingerprint.

    Agents also send ``renew``, which once took a name over from another machine and now says nothing: the machine that has the
    name may always join afresh, and to give it to another one is for the centre's administrator.
    """

    token: str
    host: Annotated[str, msgspec.Meta(pattern=HOST_SHAPE)]
    machine: str


class Join:
    """Lets hosts join.

    ``clock`` is ms since epoch; ``place`` is the org and the bucket that a host is to write to; ``address`` tells where a request
    comes from.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], int],
        place: Mapping[str, str],
        enrolled: Enrolled,
        address: Callable[[web.Request], str],
    ) -> None:
        self._database = database
        self._clock = clock
        self._place = place
        self._enrolled = enrolled
        self._address = address
        self._guesses = Guesses()

    def use(self, place: Mapping[str, str]) -> None:
        """Send hosts that join from now on to another place."""
        self._place = place

    async def answer(self, request: web.Request) -> web.Response:
        """Answer 201 with the token, or 400, 401 (not invited), 403 (for another host), 409 (name taken), 413, 429."""
        address = self._address(request)
        if self._guesses.too_many(address):
            return _refuse(429, "too many failures, try again in a minute", {"Retry-After": str(round(WINDOW))})
        try:
            asked = msgspec.json.decode(await _body(request), type=Request)
        except TimeoutError:
            return _refuse(408, "the body did not come in time")
        except msgspec.MsgspecError as error:
            return _refuse(400, str(error))
        machine = fingerprint(asked.machine)
        if not machine:
            return _refuse(400, "'machine' is no fingerprint")
        at = self._clock()
        try:
            token = await self._database.write(
                lambda tx: invitations.join(tx, asked.token, host=asked.host, machine=machine, at=at, address=address)
            )
        except NotInvited as error:
            self._guesses.failed(address)
            return _refuse(401, str(error))
        except OtherHost as error:
            return _refuse(403, str(error))
        except NameTaken as error:
            await self._enrolled.claim(error.holder, machine, address)
            return _refuse(409, str(error))
        self._enrolled.changed()
        found = {"token": token, "host": asked.host, **self._place}
        return web.json_response(found, status=201, headers={"Cache-Control": "no-store"})


def route(join: Join) -> web.RouteDef:
    """Return the address."""
    return web.post("/api/pantau/join", join.answer)


async def _body(request: web.Request) -> bytes:
    if (request.content_length or 0) > _BODY:
        raise web.HTTPRequestEntityTooLarge(_BODY, request.content_length or 0)
    parts = bytearray()
    async with asyncio.timeout(_PATIENCE):
        async for part in request.content.iter_any():
            parts += part
            if len(parts) > _BODY:
                raise web.HTTPRequestEntityTooLarge(_BODY, len(parts))
    return bytes(parts)


def _refuse(status: int, why: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"message": why}, status=status, headers=headers)
