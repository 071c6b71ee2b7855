"""The way to a running centre for commands on its machine: a Unix socket in the data folder, for its owner only.

One line of JSON asks, one line answers: ``{"backup": "/where"}`` or ``{"forget": "HOST", "by": "WHO"}`` -> ``{"done": "..."}`` or
``{"error": "..."}``, ``{"reload": true}`` likewise; ``{"points": {"bucket": "pantau", "deletion": {"measurement": "cpu"}}}`` ->
``{"found": {...}}``.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from configs.read import SettingsError
from server.admin import backup
from server.inventory.known_hosts import HostError
from server.store import Deletion, Found, StoreUnavailable
from server.store.buckets import Buckets

_log: Final = logging.getLogger("pantau.store")
SOCKET: Final = "control.sock"
_PATH_MAX: Final = 107  # bytes; what the kernel takes


class Points(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Points of a bucket that are looked for, and deleted when they ``go``."""

    bucket: str
    deletion: Deletion
    go: bool = False


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A command: ``backup`` is the absolute path of the backup to make, ``forget`` a host to forget, ``by`` who wants it.

    Or ``points`` are looked for or deleted, or the settings read again (``reload``).
    """

    backup: str = ""
    forget: str = ""
    by: str = ""
    points: Points | None = None
    reload: bool = False


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of it; ``found`` are the points that go, or went."""

    done: str = ""
    error: str = ""
    found: Found | None = None


class Control:
    """Listens at ``data / "control.sock"`` from ``open`` to ``close``.

    ``clock`` is ms since epoch; ``forget`` forgets a host for someone and returns what was done, or raises HostError; ``reload`` reads
    the settings again and returns what changed, or raises SettingsError.
    """

    def __init__(
        self,
        buckets: Buckets,
        state_url: str,
        data: Path,
        clock: Callable[[], int],
        version: str,
        forget: Callable[[str, str], Awaitable[str]],
        reload: Callable[[], Awaitable[str]],
    ) -> None:
        self._buckets = buckets
        self._state_url = state_url
        self._file = data / SOCKET
        self._clock = clock
        self._version = version
        self._forget = forget
        self._reload = reload
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
        if ask.points is not None:
            return await take(self._buckets, ask.points)
        if ask.forget:
            return await self._forget_host(ask)
        if ask.reload:
            return await self._read_again()
        if not ask.backup:
            return Answer(error="expected 'backup', 'forget', 'points' or 'reload'")
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

    async def _read_again(self) -> Answer:
        try:
            return Answer(done=await self._reload())
        except SettingsError as error:
            return Answer(error=str(error))


async def take(buckets: Buckets, points: Points) -> Answer:
    """Return the points that are found, when they have gone if they are to go."""
    bucket = buckets.find(points.bucket)
    if bucket is None:
        return Answer(error=f"unknown bucket {points.bucket!r}")
    try:
        found = await bucket.store.find(points.deletion)
        if points.go:
            await bucket.store.delete(points.deletion)
            told = "deleted %d values of %d series from bucket %s: %s"
            _log.warning(told, found.values, found.series, bucket.name, points.deletion)
    except StoreUnavailable as error:
        return Answer(error=str(error))
    return Answer(found=found)


def told(to: Path, made: backup.Manifest) -> str:
    """Return in one line what was made."""
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
