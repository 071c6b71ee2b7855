"""``POST /api/pantau/join``: a host hands in its one-time token and gets a token of its own."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Annotated, Final

import msgspec
from aiohttp import web

from alerts.tables import Database
from server.enrolment import invitations
from server.enrolment.agents import Enrolled
from server.enrolment.fingerprints import fingerprint
from server.enrolment.invitations import NameTaken, NotInvited

_BODY: Final = 4096
_PATIENCE: Final = 10.0
_WINDOW: Final = 60.0
_FAILURES: Final = 10  # of one address
_ALL_FAILURES: Final = 200
_HOST_SHAPE: Final = r"^[^\x00-\x20\x7f]{1,255}$"


class Request(msgspec.Struct, frozen=True):
    """What the agent sends (JSON): ``machine`` is its fingerprint; ``renew`` takes the name over from another machine."""

    token: str
    host: Annotated[str, msgspec.Meta(pattern=_HOST_SHAPE)]
    machine: str
    renew: bool = False


class Guesses:
    """Counts failures of a minute, of each address and of all; ``elapsed`` is a monotonic clock (s)."""

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._failures: deque[tuple[float, str]] = deque()

    def too_many(self, address: str) -> bool:
        """Tell whether this address has to wait."""
        while self._failures and self._elapsed() - self._failures[0][0] > _WINDOW:
            self._failures.popleft()
        of_it = sum(who == address for _, who in self._failures)
        return of_it >= _FAILURES or len(self._failures) >= _ALL_FAILURES

    def failed(self, address: str) -> None:
        """Take down a failure."""
        self._failures.append((self._elapsed(), address))


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

    async def answer(self, request: web.Request) -> web.Response:
        """Answer 201 with the token, or 400, 401 (not invited), 409 (name taken), 413, 429."""
        address = self._address(request)
        if self._guesses.too_many(address):
            return _refuse(429, "too many failures, try again in a minute", {"Retry-After": str(round(_WINDOW))})
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
                lambda tx: invitations.join(
                    tx, asked.token, host=asked.host, machine=machine, renew=asked.renew, at=at, address=address
                )
            )
        except NotInvited as error:
            self._guesses.failed(address)
            return _refuse(401, str(error))
        except NameTaken as error:
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
