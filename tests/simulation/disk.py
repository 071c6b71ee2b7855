"""The database of state of a made city: real SQLite in memory, which a kill leaves as it was last committed."""

import sqlite3
from functools import cache
from pathlib import Path

from sqlalchemy import create_engine, event
from sqlalchemy.pool import StaticPool

from alerts.tables import StateAway
from server.state.database import Database
from server.state.migrate import upgrade
from server.state.place import Place

FULL = 2  # PRAGMA synchronous: what is committed is on the disk
EVERY = 40  # commits between two images of a disk that is not written through


class Disk:
    """What a power failure leaves. ``synchronous`` is what the product asked of SQLite; only FULL keeps each commit."""

    def __init__(self):
        self.connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.connection.deserialize(_empty())
        self.commits = 0
        self._image = b""
        self._refused = set()

    def refuse(self, checks):
        """Take no rows of these checks into the table of states."""
        if checks != self._refused:
            self._refused = checks
            self.connection.execute("DROP TRIGGER IF EXISTS refuse")
            if checks:
                names = ", ".join(f"'{name}'" for name in sorted(checks))
                self.connection.execute(
                    f"CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.state WHEN NEW.check_id IN ({names}) "
                    "BEGIN SELECT RAISE(ABORT, 'made: this row is refused'); END"
                )

    def committed(self):
        """Note a commit; a disk that is not written through keeps an image of now and then."""
        self.commits += 1
        if self.synchronous < FULL and self.commits % EVERY == 1:
            self._image = self.connection.serialize()

    @property
    def synchronous(self):
        return self.connection.execute("PRAGMA synchronous").fetchone()[0]

    def engine(self):
        """Return an engine on it."""
        return create_engine("sqlite://", creator=lambda: self.connection, poolclass=StaticPool)

    def owed(self):
        """Return how many messages still wait."""
        query = "SELECT count(*) FROM outbox WHERE status IN ('queued', 'leased')"
        return self.connection.execute(query).fetchone()[0]

    def close(self):
        """Let go of it for good."""
        self.connection.close()

    def lose_power(self):
        """Go back to what is on the disk."""
        if self.synchronous < FULL and self._image:
            self.connection.deserialize(self._image)


class Memory(Place, frozen=True):
    """The place of a disk in memory."""

    disk: Disk | None = None

    @property
    def file(self):
        return Path("state.db")

    def engine(self, *, connections=1):
        return self.disk.engine()


class StateDatabase(Database):
    """The product's database on a disk; ``trouble()`` is "" or how it is away: "before", "at commit" or "after commit".

    ``refused()`` are the checks whose rows it does not take.
    """

    def __init__(self, disk, trouble, refused):
        super().__init__(Memory("sqlite://", disk=disk))
        self._disk, self._trouble, self._refused = disk, trouble, refused
        event.listen(self.writing, "commit", self._at_commit)

    def _write(self, work):
        if self._trouble() == "before":
            self._outage.begin("made: it is away")
            raise StateAway("made: it is away")
        self._disk.refuse(self._refused())
        done = super()._write(work)
        self._disk.committed()
        if self._trouble() == "after commit":
            self._outage.begin("made: its answer is lost")
            raise StateAway("made: its answer is lost")
        return done

    def _at_commit(self, connection):
        writes = connection.get_execution_options().get("writes", True)
        if writes and self._trouble() == "at commit":
            raise StateAway("made: the disk is full")


@cache
def _empty():
    """Return the image of a database with the tables of the newest migration and nothing in it."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    upgrade(engine)
    image = connection.serialize()
    engine.dispose()
    connection.close()
    return image
