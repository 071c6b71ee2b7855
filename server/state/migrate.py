"""Bring the database of state to the newest shape, by Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine


def upgrade(engine: Engine) -> None:
    """Run every migration that is missing, in one transaction; harmless when none is. To be called off the event loop."""
    with engine.begin() as connection:
        command.upgrade(config(connection), "head")


def config(connection: Connection) -> Config:
    """Return Alembic's settings for a connection; it neither reads a file nor touches logging."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    return settings
