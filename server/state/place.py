"""Where state is kept: a file of SQLite, or a database of PostgreSQL whose password may be a secret."""

from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from configs.read import SettingsError
from configs.secret import Secret

STATE: Final = "state.db"  # in the data folder, unless settings name another place
_EXPECTED: Final = "expected sqlite:///PATH or postgresql://USER@HOST/DATABASE"
_DRIVERS: Final = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
# What libpq is told unless the URL says otherwise: a server that went without a word is given up within some 15 s, and one that
# only reads, a standby, is none for us.
_LIBPQ: Final = {
    "application_name": "pantau",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "15000",
    "target_session_attrs": "read-write",
}


class Place(msgspec.Struct, frozen=True):
    """A database of state: its URL as SQLAlchemy takes it, and where its password is, read afresh for each new connection."""

    url: str
    password: Secret | None = None

    @classmethod
    def parse(cls, text: str, password: Secret | None = None) -> "Place":
        """Read a URL; ``postgresql://`` means the driver psycopg. ValueError says what was expected."""
        try:
            url = make_url(text)
        except (ArgumentError, ValueError) as error:
            raise ValueError(_EXPECTED) from error  # SQLAlchemy's words would show the password
        kind, _, driver = url.drivername.partition("+")
        known = _DRIVERS.get(kind)
        if known is None or driver not in {"", known.partition("+")[2]} or not url.database:
            raise ValueError(f"{_EXPECTED}, got {_shown(url)!r}")
        if password is not None and (kind == "sqlite" or url.password is not None):
            raise ValueError(f"{_shown(url)!r} takes no second password")
        return cls(url.set(drivername=known).render_as_string(hide_password=False), password)

    @classmethod
    def of(cls, given: "Place | str") -> "Place":
        """Return a place, or that which a URL names; ValueError as ``parse``."""
        return cls.parse(given) if isinstance(given, str) else given

    @property
    def file(self) -> Path | None:
        """The file of SQLite; None for PostgreSQL."""
        url = make_url(self.url)
        return Path(url.database or "") if url.drivername == "sqlite" else None

    def engine(self, *, connections: int = 1) -> Engine:
        """Return a pool of up to so many connections; none is made yet. SettingsError when the driver is missing."""
        url = make_url(self.url)
        options: dict[str, Any] = {}
        if self.file is None:
            options = {
                "connect_args": {name: value for name, value in _LIBPQ.items() if name not in url.query},
                "pool_pre_ping": True,
            }
        try:
            engine = create_engine(url, pool_size=connections, max_overflow=0, hide_parameters=True, **options)
        except ImportError as error:
            raise SettingsError(
                "the driver of the database in 'state' is missing: pip install 'psycopg[binary]', "
                f"which is in the extra 'postgres' ({error})"
            ) from error
        if self.password is not None:
            event.listen(engine, "do_connect", self._log_in)
        return engine

    def _log_in(self, _dialect: object, _record: object, _arguments: object, parameters: dict[str, Any]) -> None:
        if self.password is not None:
            parameters["password"] = self.password.reveal()

    def __str__(self) -> str:
        return _shown(make_url(self.url))

    def __repr__(self) -> str:
        return f"<Place {self}>"


def _shown(url: URL) -> str:
    return url.set(drivername=url.drivername.removesuffix("+psycopg")).render_as_string(hide_password=True)
