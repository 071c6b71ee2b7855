"""Sessions kept by the server, and the brake on guessing passwords. A cookie holds a random token; the table only its SHA-256."""

import secrets
from typing import Final

import msgspec
from sqlalchemy import Connection, and_, delete, func, insert, select, update

from server.edge.client_address import client_network
from server.state.tables import login, session, user
from server.state.token_hash import token_hash

_MINUTE: Final = 60_000
IDLE: Final = 12 * 60 * _MINUTE
LIFE: Final = 7 * 24 * 60 * _MINUTE
_RENEW_AFTER: Final = 5 * _MINUTE

THROTTLE_WINDOW: Final = 15 * _MINUTE
MAX_FROM_ONE: Final = 8  # for a name, from one address
MAX_BY_ADDRESS: Final = 30
MAX_BY_NAME: Final = 60  # above the limit of an address: one visitor alone cannot shut the owner of a name out


class Session(msgspec.Struct, frozen=True):
    """One user's stay: who, as what, and the token that each of its forms carries. Times are ms since epoch."""

    token_hash: str
    user: str
    role: str
    csrf: str
    created: int
    seen: int
    expires: int


def start(tx: Connection, user_id: int, now: int) -> str:
    """Open a session and return its token, which is kept nowhere; forget the sessions that ran out."""
    tx.execute(delete(session).where(session.c.expires_ms <= now))
    token = secrets.token_urlsafe(32)
    values = {"token_hash": token_hash(token), "user_id": user_id, "csrf": secrets.token_urlsafe(24)}
    tx.execute(insert(session).values(**values, created_ms=now, seen_ms=now, expires_ms=now + IDLE))
    return token


def current(tx: Connection, token: str, now: int) -> Session | None:
    """Return the session of a token while it lasts and its user is not disabled."""
    columns = (
        session.c.token_hash,
        user.c.name,
        user.c.role,
        session.c.csrf,
        session.c.created_ms,
        session.c.seen_ms,
        session.c.expires_ms,
    )
    question = select(*columns).join(user, user.c.id == session.c.user_id)
    question = question.where(
        session.c.token_hash == token_hash(token), session.c.expires_ms > now, user.c.disabled.is_(False)
    )
    row = tx.execute(question).one_or_none()
    return Session(*row) if row else None


def wants_renewal(stay: Session, now: int) -> bool:
    """Return whether the last sign of life is old enough to be written again."""
    return now - stay.seen >= _RENEW_AFTER


def renew(tx: Connection, stay: Session, now: int) -> None:
    """Move the end of a session that is in use, never past its whole life."""
    expires = min(now + IDLE, stay.created + LIFE)
    here = session.c.token_hash == stay.token_hash
    tx.execute(update(session).where(here).values(seen_ms=now, expires_ms=expires))


def end(tx: Connection, token_hash: str) -> None:
    """End a session."""
    tx.execute(delete(session).where(session.c.token_hash == token_hash))


def try_login(tx: Connection, *, name: str, address: str, now: int) -> int:
    """Count one attempt before its password is looked at.

    Returns 0 when it may go on, else the ms to wait; many attempts at once cannot slip past, since each is written first.
    """
    tx.execute(delete(login).where(login.c.at_ms <= now - THROTTLE_WINDOW))
    address = client_network(address)
    named, here = login.c.name == name, login.c.address == address
    limits = ((and_(named, here), MAX_FROM_ONE), (here, MAX_BY_ADDRESS), (named, MAX_BY_NAME))
    for same, limit in limits:
        count, first = tx.execute(select(func.count(), func.min(login.c.at_ms)).where(same)).one()
        if count >= limit:
            return int(first) + THROTTLE_WINDOW - now
    tx.execute(insert(login).values(name=name, address=address, at_ms=now))
    return 0


def forgive(tx: Connection, *, name: str, address: str) -> None:
    """Forget the attempts of someone who came in."""
    tx.execute(delete(login).where(login.c.name == name, login.c.address == client_network(address)))
