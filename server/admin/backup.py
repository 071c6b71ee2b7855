"""Backups of the whole data folder, made while the centre runs: a copy of one instant in the data folder, read out as a tar.

The copy needs little room: sorted files of the store, which never change, are hard links. It is made by whom the data folder belongs to,
and goes as soon as it was read.
"""

import asyncio
import fcntl
import hashlib
import shutil
import tarfile
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from server.admin.manifest import MANIFEST, STATE, BackupFailed, Entry, manifest_of, write_manifest
from server.admin.state_copy import copy_out
from server.state.place import Place
from server.store import StoreUnavailable
from server.store.buckets import STORE, Buckets

SCRATCH: Final = "backup.scratch"
_LOCK: Final = "backup.lock"
_PIECE: Final = 256 * 1024  # bytes that are read at once


class Pieces:
    """Bytes that come in pieces, to be read in portions of any size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def read(self, size: int = _PIECE, /) -> bytes:
        """Return at most ``size`` bytes, b"" at the end."""
        if not self._left:
            self._left = memoryview(next(self._pieces, b""))
        taken, self._left = self._left[:size], self._left[size:]
        return bytes(taken)


class _Packed(Iterator[bytes]):
    """Pieces that one thread may read while another ends it: the file that is being read is closed, and no piece comes after that."""

    def __init__(self, pieces: Generator[bytes, None, None]) -> None:
        self._pieces = pieces
        self._turn = threading.Lock()

    def __next__(self) -> bytes:
        with self._turn:
            return next(self._pieces)

    def close(self) -> None:
        with self._turn:
            self._pieces.close()


class Scratch:
    """The place in a data folder for the copy of a backup; one at a time, whichever process makes it."""

    def __init__(self, data: Path) -> None:
        """Acquire it; what a killed one left there goes. BackupFailed when another backup is being made, or nothing can be written."""
        self.folder = data / SCRATCH
        try:
            self._lock = (data / _LOCK).open("a")
        except OSError as error:
            raise BackupFailed(f"cannot write the backup: {error}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(mode=0o700)
        except OSError as error:
            self._lock.close()
            busy = isinstance(error, BlockingIOError)
            raise BackupFailed(
                "a backup is being made already" if busy else f"cannot write the backup: {error}"
            ) from error

    def close(self) -> None:
        """Remove the copy and let go of the place."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()


def tidy(data: Path) -> None:
    """Remove what a backup left that was killed; nothing while one is being made."""
    if (data / SCRATCH).exists():
        with suppress(BackupFailed):
            Scratch(data).close()


@asynccontextmanager
async def copied(
    buckets: Buckets, state: Place | str, data: Path, *, at: int, version: str
) -> AsyncIterator[Iterator[bytes]]:
    """Copy one instant of everything; yield the pieces of a tar of it, each read from disk when it is asked for.

    The copy is there until the block ends. Raises BackupFailed.
    """
    scratch = await asyncio.to_thread(Scratch, data)
    try:
        try:
            missing = await _copy(buckets, state, scratch.folder)
        except (OSError, StoreUnavailable) as error:
            raise BackupFailed(f"cannot write the backup: {error}") from error
        packed = _Packed(_packed(scratch.folder, at=at, version=version, missing=missing))
        try:
            yield packed
        finally:
            await asyncio.to_thread(packed.close)
    finally:
        await asyncio.to_thread(scratch.close)


async def _copy(buckets: Buckets, state: Place | str, folder: Path) -> tuple[str, ...]:
    """Copy store and state; return what is not in it."""
    missing = []
    if not await buckets.backup(folder / STORE):
        missing.append("the points are in a database of its own: back them up with its tools")
    await asyncio.to_thread(copy_out, state, folder / STATE)
    return tuple(missing)


def _packed(folder: Path, *, at: int, version: str, missing: tuple[str, ...]) -> Generator[bytes, None, None]:
    """Yield a tar of a folder in pieces that are not empty: its files, then the manifest with the digests of what was read."""
    files: dict[str, Entry] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        size, known, left = path.stat().st_size, hashlib.sha256(), path.stat().st_size
        yield _header(name, size, at)
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                known.update(piece)
                left -= len(piece)
                yield piece
        if left:
            raise BackupFailed(f"{path} changed while it was read")
        if padding := _padding(size):
            yield padding
        files[name] = Entry(size, known.hexdigest())
    told = write_manifest(manifest_of(files, at=at, version=version, missing=missing))
    yield _header(MANIFEST, len(told), at) + told + _padding(len(told)) + bytes(2 * tarfile.BLOCKSIZE)


def _header(name: str, size: int, at: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, at // 1000
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
