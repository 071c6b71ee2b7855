"""The centre's end of a backup that a command asks for: a copy is made, sent as a tar, and remembered when the command has it whole."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from server.admin.backup import copied, tidy
from server.admin.manifest import BackupFailed
from server.state.last_backup import LastBackup, remember
from server.state.place import Place
from server.store.buckets import Buckets

_log: Final = logging.getLogger("pantau.backup")


class Backups:
    """Makes backups for commands; ``patience`` is how many seconds one may take nothing before it is given up.

    ``clock`` is ms since epoch.
    """

    def __init__(
        self,
        buckets: Buckets,
        state: Place | str,
        data: Path,
        clock: Callable[[], int],
        version: str,
        *,
        patience: float = 600.0,
    ) -> None:
        self._buckets = buckets
        self._state = state
        self._data = data
        self._clock = clock
        self._version = version
        self._patience = patience
        self._under_way: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Remove what a killed centre left of a copy."""
        await asyncio.to_thread(tidy, self._data)

    async def close(self) -> None:
        """Break off what is under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def send(self, begin: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Make a copy, send ``begin`` and its tar, and remember it when the command answers where it has put it.

        BackupFailed when nothing was sent yet; what fails later is logged, and the command sees that the tar is not whole.
        """
        task = asyncio.create_task(self._send(begin, reader, writer))
        self._under_way.add(task)
        try:
            await task
        finally:
            self._under_way.discard(task)

    async def _send(self, begin: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = self._clock()
        async with copied(self._buckets, self._state, self._data, at=at, version=self._version) as pieces:
            try:
                await self._pass_on(begin, writer)
                size = 0
                while piece := await asyncio.to_thread(next, pieces, b""):
                    await self._pass_on(piece, writer)
                    size += len(piece)
                writer.write_eof()
            except (OSError, BackupFailed) as error:
                _log.warning("a backup was broken off: %s", error)
                writer.transport.abort()
                return
        # the copy is gone; when the command answers it has all of it on disk
        with suppress(OSError, msgspec.DecodeError):
            to = msgspec.json.decode(await reader.readline(), type=str)
            await asyncio.to_thread(remember, self._data, LastBackup(at, to, size))
            _log.info("backup made: %s, %.1f MB", to, size / 1e6)

    async def _pass_on(self, piece: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(piece)
        try:
            async with asyncio.timeout(self._patience):
                await writer.drain()
        except TimeoutError as error:
            raise BackupFailed(f"its command took nothing for {self._patience:g} s") from error
