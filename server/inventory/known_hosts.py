"""The hosts that the centre knows because they wrote or joined. All functions work in the transaction that they are given."""

import msgspec
from sqlalchemy import Connection, delete, select

from alerts import audit
from alerts.state import State
from alerts.state_rows import all_states
from server.state.tables import enrolled, host


class HostError(ValueError):
    """A host cannot be forgotten; the message says why."""


class KnownHost(msgspec.Struct, frozen=True):
    """A host: when it first and last wrote, and its newest point (ms; None when it has only joined), from where, with what client."""

    name: str
    first: int | None
    seen: int | None
    point: int | None
    address: str
    client: str
    joined: bool


def known_hosts(tx: Connection) -> dict[str, KnownHost]:
    """Return every host that wrote or joined, by name."""
    columns = (host.c.name, host.c.first_ms, host.c.seen_ms, host.c.point_ms, host.c.address, host.c.client)
    good = enrolled.c.revoked_ms.is_(None)
    joined = {row.host: row.address for row in tx.execute(select(enrolled.c.host, enrolled.c.address).where(good))}
    found = {name: KnownHost(name, None, None, None, address, "", joined=True) for name, address in joined.items()}
    found |= {row[0]: KnownHost(*row, joined=row[0] in joined) for row in tx.execute(select(*columns))}
    return dict(sorted(found.items()))


def states_of(tx: Connection, name: str) -> list[State]:
    """Return what is believed of a host and its parts, if it may be forgotten; else raise HostError."""
    of_host = f"host/{name}"
    states = [state for state in all_states(tx) if f"{state.subject}/".startswith(f"{of_host}/")]
    known = known_hosts(tx).get(name)
    if known is not None and known.joined:
        raise HostError(f"{name} has joined; end its token first: pantau enrol revoke {name}")
    if known is None and not states:
        raise HostError(f"no host {name!r} is known")
    return states


def delete_host(tx: Connection, name: str, *, by: str, at: int) -> None:
    """Delete a host's row, and note in the audit who did it."""
    tx.execute(delete(host).where(host.c.name == name))
    audit.note(tx, at=at, actor=by, action="host.forget", subject=f"host/{name}")
