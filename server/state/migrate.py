"""Bring the database of state to the newest shape, by Alembic."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, inspect, text

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_REVISION: Final = re.compile(r'^(down_)?revision\b[^=\n]*= *(?:"(\w+)"|None)', re.MULTILINE)


def upgrade(engine: Engine) -> None:
    """Run every migration that is missing, in one transaction; harmless when none is. To be called off the event loop."""
    with engine.begin() as connection:
        if _revision(connection) == head():
            return  # as at nearly every start: Alembic would take a third of a second to come to the same conclusion
        from alembic import command  # noqa: PLC0415 - of use only here, and heavy

        command.upgrade(config(connection), "head")


def head() -> str:
    """Return the newest revision that this program knows."""
    known, followed = set[str](), set[str]()
    for file in (_MIGRATIONS / "versions").glob("*.py"):
        for down, name in _REVISION.findall(file.read_text("utf-8")):
            (followed if down else known).add(name)
    (newest,) = known - followed
    return newest


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def config(connection: Connection) -> "Config":
    """Return Alembic's settings for a connection; it neither reads a file nor touches logging."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    settings = Config()
    settings.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    return settings
