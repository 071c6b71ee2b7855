"""The way to a running centre for commands on its machine: a Unix socket in the data folder, for its owner only.

One line of JSON asks, one line answers: ``{"backup": "/where"}`` or ``{"forget": "HOST", "by": "WHO"}`` -> ``{"done": "..."}`` or
``{"error": "..."}``.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from server.admin import backup
from server.inventory.known_hosts import HostError
from server.store import StoreUnavailable
from server.store.buckets import Buckets

SOCKET: Final = "control.sock"
_PATH_MAX: Final = 107  # bytes; what the kernel takes


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command: ``backup`` is the absolute path of the backup to make, ``forget`` a host to forget, ``by`` who wants it."""

    backup: str = ""
    forget: str = ""
    by: str = ""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of it."""

    done: str = ""
    error: str = ""


class Control:
    """Listens at ``data / "control.sock"`` from ``open`` to ``close``.

    ``clock`` is ms since epoch; ``forget`` forgets a host for someone and returns what was done, or raises HostError.
    """

    def __init__(
        self,
        buckets: Buckets,
        state_url: str,
        data: Path,
        clock: Callable[[], int],
        version: str,
        forget: Callable[[str, str], Awaitable[str]],
    ) -> None:
        self._buckets = buckets
        self._state_url = state_url
        self._file = data / SOCKET
        self._clock = clock
        self._version = version
        self._forget = forget
        self._server: asyncio.Server | None = None
        self._one = asyncio.Lock()

    async def open(self) -> None:
        """Begin to listen; OSError when the path cannot be had."""
        sock = await asyncio.to_thread(_listening, self._file)
        self._server = await asyncio.start_unix_server(self._answer, sock=sock)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await asyncio.to_thread(self._file.unlink, missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            answer = await self._do(await reader.readline())
            writer.write(msgspec.json.encode(answer) + b"\n")
            await writer.drain()

    async def _do(self, line: bytes) -> Answer:
        try:
            ask = msgspec.json.decode(line, type=Ask)
        except msgspec.DecodeError as error:
            return Answer(error=str(error))
        if ask.forget:
            return await self._forget_host(ask)
        if not ask.backup:
            return Answer(error="expected 'backup' or 'forget'")
        if self._one.locked():
            return Answer(error="a backup is being made already")
        async with self._one:
            try:
                made = await backup.make(
                    self._buckets, self._state_url, Path(ask.backup), at=self._clock(), version=self._version
                )
            except (backup.BackupFailed, StoreUnavailable) as error:
                return Answer(error=str(error))
        return Answer(done=told(Path(ask.backup), made))

    async def _forget_host(self, ask: Ask) -> Answer:
        try:
            return Answer(done=await self._forget(ask.forget, ask.by))
        except HostError as error:
            return Answer(error=str(error))


def told(to: Path, made: backup.Manifest) -> str:
    """Say in one line what was made."""
    size = sum(entry.size for entry in made.files.values()) / 1e6
    return "; ".join([f"{to}: {len(made.files)} files, {size:.1f} MB", *made.missing])


async def ask(data: Path, command: Ask) -> Answer | None:
    """Ask the centre that runs on ``data``; None when none does."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(data / SOCKET))
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    with contextlib.closing(writer):
        writer.write(msgspec.json.encode(command) + b"\n")
        line = await reader.readline()
    return msgspec.json.decode(line, type=Answer) if line else Answer(error="the centre stopped before it was done")


def _listening(file: Path) -> socket.socket:
    if len(bytes(file.absolute())) > _PATH_MAX:
        raise OSError(f"{file}: the path of a socket may have {_PATH_MAX} bytes")
    file.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(str(file))
        file.chmod(0o600)
    except BaseException:
        sock.close()
        raise
    return sock
