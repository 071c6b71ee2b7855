"""What SQLite promises here, whatever the build of SQLite would do by itself."""

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import Pool

from server.state.database import Database
from server.state.migrate import upgrade

FULL = 2


def _careless(connection, _record):
    connection.executescript("PRAGMA synchronous=OFF; PRAGMA foreign_keys=OFF;")


@pytest.fixture
def database(tmp_path):
    """A database on a SQLite whose own defaults are the careless ones."""
    event.listen(Pool, "connect", _careless)
    opened = Database(f"sqlite:///{tmp_path / 'state.db'}")
    upgrade(opened.engine)
    yield opened
    opened.close()
    event.remove(Pool, "connect", _careless)


@pytest.mark.parametrize("way", ["write", "read"])
@pytest.mark.parametrize(("pragma", "value"), [("synchronous", FULL), ("journal_mode", "wal")])
async def test_a_commit_is_on_the_disk_before_it_is_told(database, way, pragma, value):
    """With NORMAL a loss of power takes back commits that the outbox already acted upon."""
    ask = getattr(database, way)
    assert await ask(lambda tx: tx.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()) == value


async def test_a_row_that_points_to_nothing_is_refused(database):
    orphan = (
        "INSERT INTO delivery_attempt (outbox_id, at_ms, took_ms, outcome, detail) VALUES (99, 1, 1, 'delivered', '')"
    )
    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        await database.write(lambda tx: tx.exec_driver_sql(orphan))
