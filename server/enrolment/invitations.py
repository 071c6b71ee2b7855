"""Enrolment: a one-time token lets a host join; it gets a token of its own, which writes nothing but that host's points.

Tokens are kept as hashes. All functions work in the transaction that they are given; times are ms since epoch.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, RowMapping, insert, select, update

from alerts import audit
from server.enrolment.fingerprints import same
from server.state.tables import enrolled, invitation
from server.state.token_hash import token_hash

AGENT_TOKEN: Final = "pantau_agent_"  # noqa: S105 - how such a token begins
JOIN_TOKEN: Final = "pantau_join_"  # noqa: S105 - the same
HOST_SHAPE: Final = r"^[^\x00-\x20\x7f]{1,255}$"
_MOST_HOSTS: Final = 10_000


class EnrolmentError(ValueError):
    """Cannot be done; the message says why."""


class NotInvited(EnrolmentError):
    """The one-time token is unknown, used up or too old; which of them is not told."""


class OtherHost(EnrolmentError):
    """The one-time token is good, for a host of another name."""


class NameTaken(EnrolmentError):
    """Another machine has joined under this name, which is ``holder``'s."""

    def __init__(self, holder: "Agent") -> None:
        super().__init__(f"another machine has joined as {holder.host}")
        self.holder = holder


class Invitation(msgspec.Struct, frozen=True):
    """A one-time token: for how many hosts it still is good, until when (ms), and the only ``host`` that may use it, if any."""

    id: int
    author: str
    hosts_left: int
    created_ms: int
    expires_ms: int
    host: str | None = None


class Agent(msgspec.Struct, frozen=True):
    """A host that joined. ``machine`` is the fingerprint its token is bound to, ``claimant`` another one that was refused."""

    id: int
    host: str
    machine: str
    address: str
    joined_ms: int
    claimant: str | None = None
    claimed_ms: int | None = None
    claimed_from: str | None = None


def invite(tx: Connection, *, hosts: int, until: int, by: str, at: int, host: str | None = None) -> str:
    """Make a one-time token for some hosts, or for ``host`` only, whichever machine it is; EnrolmentError when nobody could use it."""
    if not 1 <= hosts <= _MOST_HOSTS:
        raise EnrolmentError(f"hosts: expected 1 to {_MOST_HOSTS}, got {hosts}")
    if host is not None and hosts != 1:
        raise EnrolmentError(f"a one-time token for {host} is good for that host only, not for {hosts}")
    if host is not None and not re.fullmatch(HOST_SHAPE, host):
        raise EnrolmentError(f"host: expected a name of up to 255 characters without blanks, got {host!r}")
    if until <= at:
        raise EnrolmentError("the token would be too old at once")
    token = JOIN_TOKEN + secrets.token_hex(16)
    row = {"token_hash": token_hash(token), "author": by, "hosts_left": hosts, "created_ms": at, "expires_ms": until}
    made = tx.execute(insert(invitation).values(row | {"host": host})).inserted_primary_key
    detail = {"invitation": made[0] if made else None, "hosts": hosts} | ({"host": host} if host else {})
    audit.note(tx, at=at, actor=by, action="enrol.new", detail=detail)
    return token


def invitations(tx: Connection, at: int) -> list[Invitation]:
    """Return the one-time tokens that still are good, oldest first."""
    good = (invitation.c.hosts_left > 0) & (invitation.c.expires_ms > at)
    rows = tx.execute(select(invitation).where(good).order_by(invitation.c.id)).mappings()
    return [msgspec.convert(_only(row, Invitation), Invitation) for row in rows]


def agents(tx: Connection) -> list[Agent]:
    """Return the hosts whose token is good, by name."""
    rows = tx.execute(select(enrolled).where(enrolled.c.revoked_ms.is_(None)).order_by(enrolled.c.host)).mappings()
    return [_agent(row) for row in rows]


def hashes(tx: Connection) -> dict[str, Agent]:
    """Return token's hash -> host, of the tokens that are good."""
    rows = tx.execute(select(enrolled).where(enrolled.c.revoked_ms.is_(None))).mappings()
    return {row["token_hash"]: _agent(row) for row in rows}


def ended(tx: Connection) -> dict[str, Agent]:
    """Return hash of a token that ended -> the host of its name now, where that is another machine."""
    former = enrolled.alias()
    theirs = (former.c.host == enrolled.c.host) & former.c.revoked_ms.is_not(None)
    pairs = select(enrolled, former.c.token_hash.label("ended"), former.c.machine.label("loser"))
    rows = tx.execute(pairs.join(former, theirs).where(enrolled.c.revoked_ms.is_(None))).mappings()
    return {row["ended"]: _agent(row) for row in rows if not same(row["machine"], row["loser"])}


def join(tx: Connection, token: str, *, host: str, machine: str, at: int, address: str) -> str:
    """Use a one-time token: return a token for ``host``, bound to ``machine``; earlier ones of that host end.

    Raises NotInvited, OtherHost, and NameTaken when another machine has the name, unless the token was made for this host.
    """
    good = (
        (invitation.c.token_hash == token_hash(token)) & (invitation.c.hosts_left > 0) & (invitation.c.expires_ms > at)
    )
    asked = tx.execute(select(invitation.c.id, invitation.c.host).where(good)).first()
    if asked is None:
        raise NotInvited("the one-time token is unknown, used up or too old")
    if asked.host is not None and asked.host != host:
        raise OtherHost(f"the one-time token is for the host {asked.host}, not for {host}")
    former = _of_host(tx, host)
    successor = former is not None and not same(former.machine, machine)
    if former is not None and successor and asked.host is None:
        raise NameTaken(former)
    found = asked.id
    tx.execute(update(invitation).where(invitation.c.id == found).values(hosts_left=invitation.c.hosts_left - 1))
    if former is not None:
        tx.execute(update(enrolled).where(enrolled.c.id == former.id).values(revoked_ms=at))
    own = AGENT_TOKEN + secrets.token_hex(32)
    row = {"host": host, "token_hash": token_hash(own), "machine": machine, "address": address}
    tx.execute(insert(enrolled).values(row | {"invitation_id": found, "joined_ms": at}))
    detail = {"invitation": found, "address": address, "renewed": former is not None}
    detail |= {"taken_from": former.address} if former is not None and successor else {}
    audit.note(tx, at=at, actor="pantau", action="enrol.join", subject=f"host/{host}", detail=detail)
    return own


def claim(tx: Connection, agent: Agent, *, machine: str, address: str, at: int) -> None:
    """Take down that a machine was refused this agent's name."""
    values = {"claimant": machine or None, "claimed_ms": at, "claimed_from": address}
    tx.execute(update(enrolled).where(enrolled.c.id == agent.id).values(values))


def accept(tx: Connection, host: str, *, by: str, at: int, address: str | None = None) -> Agent:
    """Give a name to the machine that was refused it last, which must be at ``address`` when that is told; raises EnrolmentError."""
    agent = _must(tx, host)
    if agent.claimant is None:
        raise EnrolmentError(f"no other machine was refused the name {host}")
    if address not in {None, agent.claimed_from}:
        raise EnrolmentError(f"the machine that was refused the name {host} last is at {agent.claimed_from}")
    values = {"machine": agent.claimant, "claimant": None, "claimed_ms": None, "claimed_from": None}
    tx.execute(update(enrolled).where(enrolled.c.id == agent.id).values(values))
    audit.note(tx, at=at, actor=by, action="enrol.accept", subject=f"host/{host}", detail={"from": agent.claimed_from})
    return agent


def revoke(tx: Connection, host: str, *, by: str, at: int) -> None:
    """End the token of a host; raises EnrolmentError."""
    agent = _must(tx, host)
    tx.execute(update(enrolled).where(enrolled.c.id == agent.id).values(revoked_ms=at))
    audit.note(tx, at=at, actor=by, action="enrol.revoke", subject=f"host/{host}")


def withdraw(tx: Connection, number: int, *, by: str, at: int) -> None:
    """End a one-time token; hosts that joined with it stay. Raises EnrolmentError."""
    ended = tx.execute(
        update(invitation).where((invitation.c.id == number) & (invitation.c.hosts_left > 0)).values(hosts_left=0)
    )
    if not ended.rowcount:
        raise EnrolmentError(f"there is no one-time token {number}")
    audit.note(tx, at=at, actor=by, action="enrol.withdraw", detail={"invitation": number})


def _of_host(tx: Connection, host: str) -> Agent | None:
    good = (enrolled.c.host == host) & enrolled.c.revoked_ms.is_(None)
    row = tx.execute(select(enrolled).where(good)).mappings().first()
    return None if row is None else _agent(row)


def _must(tx: Connection, host: str) -> Agent:
    agent = _of_host(tx, host)
    if agent is None:
        raise EnrolmentError(f"no host has joined as {host!r}")
    return agent


def _agent(row: RowMapping) -> Agent:
    return msgspec.convert(_only(row, Agent), Agent)


def _only(row: RowMapping, shape: type[msgspec.Struct]) -> Mapping[str, Any]:
    return {name: row[name] for name in shape.__struct_fields__}
