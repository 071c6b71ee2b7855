"""Bring the database of state to the newest shape: by Alembic, which is loaded only where something is missing."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, inspect, select, text
from sqlalchemy.exc import DBAPIError

from configs.read import SettingsError
from server.state import before
from server.state.tables import monitor_run

if TYPE_CHECKING:
    from alembic.config import Config

# Every schema there was, oldest first; a guard compares them with the files in migrations/.
SCHEMAS: Final = ("0001", "0002", "0003", "0004")
HEAD: Final = SCHEMAS[-1]


class SchemaNewer(SettingsError):
    """State that a newer Pantau wrote; the message says which way leads on."""


def upgrade(engine: Engine) -> None:
    """Run every migration that is missing, in one transaction; harmless when none is. To be called off the event loop.

    A SQLite file is copied before (``server.state.before``). SchemaNewer when the state is of a later version, SettingsError when
    there is no room for the copy; nothing is touched then.
    """
    with engine.connect() as connection:
        current = schema(connection)
        if current == HEAD:
            return
        if current is not None and current not in SCHEMAS:
            raise SchemaNewer(_newer(engine, connection, current))
    if current is not None and engine.dialect.name == "sqlite":
        before.keep(Path(engine.url.database or ""), HEAD)
    from alembic import command  # noqa: PLC0415 - takes half of the time of a start, which needs it hardly ever

    with engine.begin() as connection:
        command.upgrade(config(connection), "head")


def schema(connection: Connection) -> str | None:
    """Return the schema of a database, None when it has none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def config(connection: Connection) -> "Config":
    """Return Alembic's settings for a connection; it neither reads a file nor touches logging."""
    from alembic.config import Config  # noqa: PLC0415 - see above

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    return settings


def writer(connection: Connection) -> str:
    """Return the version of the Pantau that ran last on a database, "" when it cannot be told."""
    try:
        return connection.scalar(select(monitor_run.c.version).order_by(monitor_run.c.id.desc()).limit(1)) or ""
    except DBAPIError:
        return ""


def _newer(engine: Engine, connection: Connection, current: str) -> str:
    where = engine.url.database or "the database"
    name = Path(where).name if engine.dialect.name == "sqlite" else where
    version = writer(connection)
    back = "pantau state back" if engine.dialect.name == "sqlite" else "pg_restore of a dump from before"
    return (
        f"{name} was written by a newer Pantau{f', {version},' if version else ''} (schema {current}); this version knows up to "
        f"{HEAD}: install {version or 'that version'} again, or go back by: {back}"
    )
