"""The database of state: one writer at a time, readers beside it, all off the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, create_engine, event

from server.state.damage import tell_damage

T = TypeVar("T")

_READERS: Final = 4


class Database:
    """State in SQLite (``sqlite:///PATH``) or another database that SQLAlchemy knows, e.g. PostgreSQL.

    Implements ``alerts.tables.Database``.
    """

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url, pool_size=_READERS + 1, max_overflow=0)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
            event.listen(self.engine, "handle_error", partial(tell_damage, Path(self.engine.url.database or "")))
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="state-write")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="state-read")

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in the one writing thread, in one transaction; committed when this returns."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._run, work, True)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` beside writers; it sees one consistent state."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._run, work, False)

    def _run(self, work: Callable[[Connection], T], writes: bool) -> T:  # noqa: FBT001 - run_in_executor takes no keywords
        with self.engine.connect().execution_options(writes=writes) as connection, connection.begin():
            return work(connection)

    def close(self) -> None:
        """Wait for running work and close every connection."""
        self._writer.shutdown()
        self._readers.shutdown()
        self.engine.dispose()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves: the driver's own begin comes too late
    connection.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=10000;"
    )


def _begin_sqlite(connection: Connection) -> None:
    # a writer takes the lock at once: upgrading a read lock later fails instead of waiting
    writes = connection.get_execution_options().get("writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
