"""The way to a running centre for commands on its machine: a Unix socket in the data folder, for its owner only.

One line of JSON asks, one line answers: ``{"forget": "HOST", "by": "WHO"}`` -> ``{"done": "..."}`` or ``{"error": "..."}``,
``{"reload": true}`` likewise; ``{"points": {"bucket": "pantau", "deletion": {"measurement": "cpu"}}}`` -> ``{"found": {...}}``.
After ``{"backup": true}`` -> ``{"tar": true}`` a tar follows; when the command has it on disk it says where in one line, a JSON string.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from configs.read import SettingsError
from server.admin.archive import Readable
from server.admin.backup_stream import Backups
from server.admin.manifest import BROKEN_OFF, BackupFailed
from server.inventory.known_hosts import HostError
from server.state.place import Place
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
    """A command: a ``backup`` to send, ``forget`` is a host to forget, ``by`` who wants it.

    Or ``points`` are looked for or deleted, or the settings read again (``reload``).
    """

    backup: bool = False
    forget: str = ""
    by: str = ""
    points: Points | None = None
    reload: bool = False


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of it; ``found`` are the points that go, or went; after ``tar`` one follows."""

    done: str = ""
    error: str = ""
    found: Found | None = None
    tar: bool = False


class Control:
    """Listens at ``data / "control.sock"`` from ``open`` to ``close``.

    ``clock`` is ms since epoch; ``forget`` forgets a host for someone and returns what was done, or raises HostError; ``reload`` reads
    the settings again and returns what changed, or raises SettingsError.
    """

    def __init__(
        self,
        buckets: Buckets,
        state: Place | str,
        data: Path,
        clock: Callable[[], int],
        version: str,
        forget: Callable[[str, str], Awaitable[str]],
        reload: Callable[[], Awaitable[str]],
    ) -> None:
        self._buckets = buckets
        self._backups = Backups(buckets, state, data, clock, version)
        self._file = data / SOCKET
        self._forget = forget
        self._reload = reload
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to listen; OSError when the path cannot be had."""
        await self._backups.open()
        sock = await asyncio.to_thread(_listening, self._file)
        self._server = await asyncio.start_unix_server(self._answer, sock=sock)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._backups.close()
            await asyncio.to_thread(self._file.unlink, missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            answer = await self._do(reader, writer)
            if answer is not None:
                writer.write(_line(answer))
                await writer.drain()

    async def _do(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer | None:
        try:
            ask = msgspec.json.decode(await reader.readline(), type=Ask)
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
        try:
            await self._backups.send(_line(Answer(tar=True)), reader, writer)
        except BackupFailed as error:
            return Answer(error=str(error))
        return None

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


def _line(answer: Answer) -> bytes:
    return msgspec.json.encode(answer) + b"\n"


class Coming:
    """A backup that comes from the centre."""

    def __init__(self, sock: socket.socket, stream: Readable) -> None:
        self._sock = sock
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        """Return at most ``size`` bytes of the tar; BackupFailed when the centre is gone."""
        try:
            return self._stream.read(size)
        except OSError as error:
            raise BackupFailed(BROKEN_OFF) from error

    def kept(self, where: Path) -> None:
        """Report to the centre where the backup is now, whole."""
        with contextlib.suppress(OSError):  # the centre need not know
            self._sock.sendall(msgspec.json.encode(str(where)) + b"\n")


@contextlib.contextmanager
def coming_backup(data: Path) -> Iterator[Coming | None]:
    """Ask the centre that runs on ``data`` for a backup; None when none runs. BackupFailed when it cannot make one."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(data / SOCKET))
        except (FileNotFoundError, ConnectionRefusedError):
            yield None
            return
        except PermissionError as error:
            raise BackupFailed(f"cannot ask the centre on {data}: run this as the folder's owner or as root") from error
        with sock.makefile("rb") as stream:
            coming = Coming(sock, stream)
            try:
                sock.sendall(msgspec.json.encode(Ask(backup=True)) + b"\n")
                answer = msgspec.json.decode(stream.readline(), type=Answer)
            except (OSError, msgspec.DecodeError) as error:
                raise BackupFailed(BROKEN_OFF) from error
            if not answer.tar:
                raise BackupFailed(answer.error)
            yield coming


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
