"""Which host a token of its own belongs to, for the ingest; a revoked one ends within seconds, without a restart."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from sqlalchemy import Connection

from alerts.tables import Database, StateAway
from server.enrolment import invitations
from server.enrolment.invitations import Agent
from server.state.token_hash import token_hash

_FRESH: Final = 5000  # ms that the table is believed
_PATIENT: Final = 1000  # ms after which an unknown token makes us look again
_CLAIM_EVERY: Final = 60_000


class Enrolled:
    """Knows the hosts that joined. ``clock`` is ms since epoch. Building reads nothing."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock
        self._agents: Mapping[str, Agent] = {}
        self._ended: Mapping[str, Agent] = {}
        self._read_at: int | None = None
        self._reading = asyncio.Lock()
        self._claims: dict[int, tuple[str, int]] = {}

    async def find(self, token: str) -> Agent | None:
        """Return whose token this is, None when nobody's.

        While the database is away who was known is known; StateAway for anybody else.
        """
        key = token_hash(token)
        try:
            await self._refresh(_FRESH)
            if key not in self._agents:
                await self._refresh(_PATIENT)
        except StateAway:
            if key not in self._agents:
                raise
        return self._agents.get(key)

    def successor(self, token: str) -> Agent | None:
        """Return the host that has the name of a token now, where another machine took it over; as ``find`` read it last."""
        return self._ended.get(token_hash(token))

    def changed(self) -> None:
        """Note that the table is another one now."""
        self._read_at = None

    async def claim(self, agent: Agent, machine: str, address: str) -> None:
        """Record, at most once a minute, that another machine was refused this agent's name."""
        at = self._clock()
        last, when = self._claims.get(agent.id, ("", 0))
        if last == machine and at - when < _CLAIM_EVERY:
            return
        with suppress(StateAway):  # said again in a minute
            self._claims[agent.id] = (machine, at)
            await self._database.write(lambda tx: invitations.claim(tx, agent, machine=machine, address=address, at=at))

    async def _refresh(self, age: int) -> None:
        async with self._reading:
            if self._read_at is None or not 0 <= self._clock() - self._read_at < age:
                self._agents, self._ended = await self._database.read(_tokens)
                self._read_at = self._clock()


def _tokens(tx: Connection) -> tuple[Mapping[str, Agent], Mapping[str, Agent]]:
    return invitations.hashes(tx), invitations.ended(tx)
