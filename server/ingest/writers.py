"""Who may write: tokens of the settings for any host, tokens of hosts that joined for their own points from their own machine."""

import base64
import binascii
from collections.abc import Callable, Collection, Sequence
from typing import Final

import msgspec
from aiohttp import web

from alerts.tables import Database, StateAway
from collectors.point import Point
from server.edge.client_address import client_address
from server.enrolment.agents import Enrolled
from server.enrolment.fingerprints import HEADER, Clones, fingerprint
from server.enrolment.invitations import AGENT_TOKEN, Agent
from server.ingest.answers import Refused
from server.ingest.tokens import Token, Tokens
from server.store import Rejected

_AWAY_RETRY: Final = 10  # seconds
STRANGER: Final = "unauthorized access"


class Writer(msgspec.Struct, frozen=True):
    """Who sends a write: from where, by which fingerprint, the host that joined with this token, and its only bucket, if any.

    ``owner`` is the name of a token that is shared.
    """

    address: str
    machine: str
    agent: Agent | None = None
    bucket: str = ""
    owner: str = ""


class Writers:
    """Knows who may write, and what.

    ``clock`` is ms since epoch, ``steady`` steady time; ``address`` returns where a request comes from.
    """

    def __init__(
        self,
        tokens: Sequence[Token],
        database: Database,
        clock: Callable[[], int],
        steady: Callable[[], int],
        address: Callable[[web.Request], str] = client_address,
    ) -> None:
        self._steady = steady
        self._address = address
        self._tokens = Tokens(tokens, steady)
        self.enrolled = Enrolled(database, clock)
        self.clones = Clones()

    async def open(self) -> None:
        """Log whose token cannot be read."""
        await self._tokens.find("")

    def use(self, tokens: Tokens) -> None:
        """Let the owners of other tokens write from now on."""
        self._tokens = tokens

    async def find(self, request: web.Request) -> Writer:
        """Return who sends a request; Refused (401, 403) when nobody who may write."""
        secret = secret_of(request)
        address, machine = self._address(request), fingerprint(request.headers.get(HEADER, ""))
        if secret.startswith(AGENT_TOKEN):
            agent = await self._joined(secret)
            if agent is not None:
                await self._admit(agent, machine, address)
                return Writer(address, machine, agent)
            await self._lost(secret, machine, address)
        elif secret and (token := await self._tokens.find(secret)) is not None:
            return Writer(address, machine, bucket=token.bucket, owner=token.name)
        raise Refused(401, STRANGER)

    async def _joined(self, secret: str) -> Agent | None:
        try:
            return await self.enrolled.find(secret)
        except StateAway as error:
            why = "the database of state is away, keep the points and try again"
            raise Refused(503, why, retry=_AWAY_RETRY) from error

    async def _admit(self, agent: Agent, machine: str, address: str) -> None:
        """Let only the machine that joined write with its token."""
        if not self.clones.admit(agent.host, machine, at=self._steady(), address=address, bound=agent.machine):
            await self.enrolled.claim(agent, machine, address)
            raise Refused(
                403, f"this token belongs to another machine, which joined as {agent.host}; see pantau-agent doctor"
            )

    async def _lost(self, secret: str, machine: str, address: str) -> None:
        """Report a machine that still writes by a token that ended because another machine has its name now."""
        holder = self.enrolled.successor(secret)
        if holder is not None:
            self.clones.refuse(holder.host, at=self._steady(), address=address)
            await self.enrolled.claim(holder, machine, address)
            raise Refused(
                401, f"this token ended: another machine has joined as {holder.host}; see pantau-agent doctor"
            )

    def allowed(
        self, writer: Writer, points: Sequence[Point], hosts: Collection[str]
    ) -> tuple[Sequence[Point], list[Rejected]]:
        """Split points of ``hosts`` into those that this writer may write, and the rest; Refused for a name that another machine has."""
        if writer.agent is not None and set(hosts) != {writer.agent.host}:
            return _of_host(points, writer.agent.host)
        if writer.agent is None and writer.machine:
            self._admit_hosts(writer, hosts)
        return points, []

    def _admit_hosts(self, writer: Writer, hosts: Collection[str]) -> None:
        """Refuse a machine that writes, by a token that many share, under a name that another one has."""
        for host in {*hosts} - {""}:
            if not self.clones.admit(host, writer.machine, at=self._steady(), address=writer.address):
                raise Refused(403, f"another machine writes as {host}; see pantau-agent doctor")


def secret_of(request: web.Request) -> str:
    """Find the token: the parameter ``p`` of ``/write``, else ``Token X``, ``Bearer X`` or the password of Basic."""
    if request.path == "/write" and (password := request.query.get("p")):
        return password
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    match scheme.lower():
        case "token" | "bearer":
            return value.strip()
        case "basic":
            try:
                return base64.b64decode(value, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return ""
    return ""


def _of_host(points: Sequence[Point], host: str) -> tuple[Sequence[Point], list[Rejected]]:
    """Split points into those of a host and the rest, which its token must not write."""
    kept, foreign = [], []
    for point in points:
        name = point.tags.get("host", "")
        if name == host:
            kept.append(point)
        else:
            of = f"host {name!r}" if name else "no host"
            foreign.append(
                Rejected(point.measurement, "", f"this token writes points of host {host!r} only, not of {of}")
            )
    return kept, foreign
