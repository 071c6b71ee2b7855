"""Who may come in: users and their roles. Passwords are kept as argon2id; this is the one door of argon2."""

import re
from typing import Final, Literal, cast, get_args

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, delete, insert, select, update

from alerts import audit
from server.state.tables import session, user

Role = Literal["viewer", "operator", "evaluator", "admin"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
MIN_PASSWORD: Final = 10
MAX_PASSWORD: Final = 1000
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@-]{0,99}")

# operator and evaluator stand beside each other: one tends incidents, the other reads reports
_MAY: Final[dict[str, frozenset[str]]] = {
    "viewer": frozenset(ROLES),
    "operator": frozenset({"operator", "admin"}),
    "evaluator": frozenset({"evaluator", "admin"}),
    "admin": frozenset({"admin"}),
}


class AccountError(ValueError):
    """A user cannot be made or changed like this; the message says why."""


class Account(msgspec.Struct, frozen=True):
    """A user; ``password`` is its argon2id hash."""

    id: int
    name: str
    password: str
    role: Role
    created: int
    disabled: bool


def allows(role: str, needed: Role) -> bool:
    """Return whether a user of ``role`` may do what ``needed`` may do."""
    return role in _MAY[needed]


def normal_name(name: str) -> str:
    """Return the one spelling of a user's name; AccountError when it cannot be a name."""
    name = name.strip().lower()
    if not _NAME.fullmatch(name):
        raise AccountError(f"{name!r} cannot be a user name: expected letters, digits and . _ @ -, at most 100")
    return name


class Passwords:
    """Makes and checks argon2id hashes; each call takes tens of milliseconds and megabytes, so keep it off the event loop."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._decoy: str | None = None

    def make(self, password: str) -> str:
        """Hash a new password; AccountError when it is too short or too long."""
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise AccountError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
        return self._hasher.hash(password)

    def fits(self, account: Account | None, password: str) -> bool:
        """Return whether the password is the account's; takes as long when there is no such account."""
        if self._decoy is None:
            self._decoy = self._hasher.hash("nobody has this password")
        known = account is not None and not account.disabled
        try:
            matches = self._hasher.verify(
                account.password if account and known else self._decoy, password[:MAX_PASSWORD]
            )
        except (VerificationError, InvalidHashError):
            return False
        return matches and known


def find(tx: Connection, name: str) -> Account | None:
    """Return the user of that name, disabled or not."""
    row = tx.execute(select(user).where(user.c.name == name)).one_or_none()
    return _account(row) if row else None


def every(tx: Connection) -> list[Account]:
    """Return all users by name."""
    return [_account(row) for row in tx.execute(select(user).order_by(user.c.name))]


def add(tx: Connection, *, name: str, password: str, role: Role, at: int, by: str) -> None:
    """Make a user; ``password`` is the hash. AccountError when the name is taken."""
    name = normal_name(name)
    if find(tx, name):
        raise AccountError(f"there is a user {name!r} already")
    tx.execute(insert(user).values(name=name, password=password, role=role, created_ms=at, disabled=False))
    audit.note(tx, at=at, actor=by, action="user.add", subject=f"user/{name}", detail={"role": role})


def disable(tx: Connection, *, name: str, at: int, by: str) -> None:
    """Shut a user out at once, sessions included. AccountError when there is none."""
    _change(tx, name, disabled=True)
    audit.note(tx, at=at, actor=by, action="user.disable", subject=f"user/{name}", detail={})


def enable(tx: Connection, *, name: str, at: int, by: str) -> None:
    """Let a user that was shut out come in again, with the password and role of before. AccountError when there is none."""
    _change(tx, name, disabled=False)
    audit.note(tx, at=at, actor=by, action="user.enable", subject=f"user/{name}", detail={})


def set_role(tx: Connection, *, name: str, role: Role, at: int, by: str) -> None:
    """Give a user another role and end its sessions. AccountError when there is none."""
    _change(tx, name, role=role)
    audit.note(tx, at=at, actor=by, action="user.role", subject=f"user/{name}", detail={"role": role})


def admins(tx: Connection) -> int:
    """Count the users that may come in as admin."""
    return sum(one.role == "admin" and not one.disabled for one in every(tx))


def set_password(tx: Connection, *, name: str, password: str, at: int, by: str) -> None:
    """Give a user a new password (a hash) and end its sessions. AccountError when there is none."""
    _change(tx, name, password=password)
    audit.note(tx, at=at, actor=by, action="user.password", subject=f"user/{name}", detail={})


def _change(tx: Connection, name: str, **values: object) -> None:
    account = find(tx, name)
    if account is None:
        raise AccountError(f"there is no user {name!r}")
    tx.execute(update(user).where(user.c.id == account.id).values(**values))
    tx.execute(delete(session).where(session.c.user_id == account.id))


def _account(row: object) -> Account:
    identity, name, password, role, created, disabled = cast("tuple[int, str, str, Role, int, bool]", row)
    return Account(id=identity, name=name, password=password, role=role, created=created, disabled=bool(disabled))
