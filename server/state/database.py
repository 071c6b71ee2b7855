"""The database of state: one writer at a time, readers beside it, all off the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, event

from alerts.tables import StateAway
from server.state.alone import Duty, Occupied
from server.state.away import Outage, tell_away
from server.state.damage import tell_damage
from server.state.place import Place

T = TypeVar("T")

_READERS: Final = 4


class Database:
    """State in SQLite or PostgreSQL (``server.state.place``).

    With ``alone`` nothing is written unless this process has the duty of the one centre on it. ``lost`` is called, in a thread, with
    words for the log when another process has taken it meanwhile: this one is to end.
    Implements ``alerts.tables.Database``.
    """

    def __init__(
        self, place: Place | str, *, alone: bool = False, lost: Callable[[str], None] = lambda _words: None
    ) -> None:
        self.place = place = Place.of(place)
        self.engine = _prepared(place, place.engine(connections=_READERS + 1))
        self.writing = self.engine
        if alone and place.file is None:
            self.writing = _prepared(place, place.engine())
            event.listen(self.writing, "connect", Duty().take)
        self._lost = lost
        self._outage = Outage()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="state-write")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="state-read")

    @property
    def away(self) -> str:
        """Why nothing can be written just now; "" when all is well."""
        return self._outage.why

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in the one writing thread, in one transaction; committed when this returns. StateAway."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._write, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` beside writers; it sees one consistent state. StateAway."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, run, self.engine, work, False)

    def another_engine(self, connections: int) -> Engine:
        """Return a pool of so many further connections to the same place."""
        return _prepared(self.place, self.place.engine(connections=connections))

    def _write(self, work: Callable[[Connection], T]) -> T:
        try:
            done = run(self.writing, work, True)
        except StateAway as error:
            self._outage.begin(str(error))
            raise
        except Occupied as error:
            self._outage.begin(str(error))
            self._lost(str(error))
            raise StateAway(str(error)) from error
        self._outage.end()
        return done

    def close(self) -> None:
        """Wait for running work and close every connection."""
        self._writer.shutdown()
        self._readers.shutdown()
        self.engine.dispose()
        self.writing.dispose()


def run(engine: Engine, work: Callable[[Connection], T], writes: bool) -> T:  # noqa: FBT001 - run_in_executor takes no keywords
    """Run ``work`` in one transaction of a connection of ``engine``; to be called off the event loop. StateAway."""
    options: dict[str, Any] = {"writes": writes}
    if not writes and engine.dialect.name == "postgresql":
        options["isolation_level"] = "REPEATABLE READ"
    with engine.connect().execution_options(**options) as connection, connection.begin():
        return work(connection)


def _prepared(place: Place, engine: Engine) -> Engine:
    event.listen(engine, "handle_error", tell_away)
    if place.file is not None:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        event.listen(engine, "handle_error", partial(tell_damage, place.file))
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves: the driver's own begin comes too late
    connection.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=10000;"
    )


def _begin_sqlite(connection: Connection) -> None:
    # a writer takes the lock at once: upgrading a read lock later fails instead of waiting
    writes = connection.get_execution_options().get("writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
