"""The database of state for readers that may come in crowds: they wait for threads of their own, and keep nobody else waiting."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from sqlalchemy import Connection

from server.state.database import Database, run

T = TypeVar("T")

_THREADS: Final = 2  # each more is one more that the writing thread waits for at the interpreter's lock


class ReadApart:
    """The same database, read by ``threads`` of its own. Implements ``alerts.tables.Database``."""

    def __init__(self, database: Database, threads: int = _THREADS) -> None:
        self._database = database
        self._engine = database.another_engine(threads)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="state-pages")

    @property
    def away(self) -> str:
        """Why nothing can be written just now; "" when all is well."""
        return self._database.away

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` as the one writer does. StateAway."""
        return await self._database.write(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` beside writers and beside readers of the centre itself; it sees one consistent state. StateAway."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, run, self._engine, work, False)

    def close(self) -> None:
        """Wait for running work and close every connection."""
        self._threads.shutdown()
        self._engine.dispose()
