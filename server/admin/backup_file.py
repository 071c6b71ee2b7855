"""A backup where the command's user stands: written as it comes, compared with its manifest, and only then given its name."""

import fcntl
import io
import os
import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, cast

from server.admin.archive import Readable, Tee, digest, members, sync, write
from server.admin.manifest import (
    BROKEN_OFF,
    MANIFEST,
    MANIFEST_MAX,
    BackupFailed,
    Entry,
    Manifest,
    compare,
    read_manifest,
)

_PIECE: Final = 256 * 1024  # bytes that are read at once
_DATED: Final = re.compile(r"pantau-\d{8}T\d{6}Z\.tar")


def save(stream: Readable, to: Path) -> Manifest:
    """Write a backup that comes as a tar to ``to``: a tar file when it ends so, else a folder; neither may exist.

    It is for its owner only, on disk, and all that its manifest names when this returns; else there is nothing of that name:
    BackupFailed.
    """
    require_absent(to)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        return _tar(stream, to) if to.suffix == ".tar" else _folder(stream, to)
    except OSError as error:
        raise BackupFailed(f"cannot write {to}: {error.strerror or error}") from error


def require_absent(to: Path) -> None:
    """Raise BackupFailed where something has that name already."""
    if os.path.lexists(to):
        raise BackupFailed(f"{to} exists already")


def dated(folder: Path, at: float) -> Path:
    """Return the file of a backup that is made at a time (s since epoch) into a folder of backups."""
    return folder / time.strftime("pantau-%Y%m%dT%H%M%SZ.tar", time.gmtime(at))


def keep_newest(folder: Path, count: int) -> list[Path]:
    """Delete the oldest backups that are named as ``dated`` names them, beyond ``count``; return what went."""
    found = sorted(path for path in folder.iterdir() if _DATED.fullmatch(path.name) and path.is_file())
    gone = found[:-count]
    for path in gone:
        path.unlink()
    return gone


def _tar(stream: Readable, to: Path) -> Manifest:
    with _part(to) as (part, file):
        manifest = _received(Tee(stream, file), lambda _, member: digest(member))
        file.flush()
        os.fsync(file.fileno())
        _take_name(part, to)
    return manifest


def _folder(stream: Readable, to: Path) -> Manifest:
    part = Path(tempfile.mkdtemp(prefix=f".{to.name}.", suffix=".part", dir=to.parent))
    try:
        manifest = _received(stream, lambda name, member: write(member, part / name))
        for folder in (part, *(path for path in part.rglob("*") if path.is_dir())):
            sync(folder)
        _take_name(part, to)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


@contextmanager
def _part(to: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Have an open file beside ``to`` until the block ends, for its owner only; those that killed commands left go."""
    _sweep(to)
    handle, name = tempfile.mkstemp(prefix=f".{to.name}.", suffix=".part", dir=to.parent)
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with os.fdopen(handle, "wb") as file:
            yield Path(name), file
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


def _sweep(to: Path) -> None:
    """Remove what killed commands left beside ``to``: parts of it or of dated backups that nobody holds."""
    ours = re.compile(rf"\.({re.escape(to.name)}|{_DATED.pattern})\.\w+\.part")
    for path in [path for path in to.parent.iterdir() if ours.fullmatch(path.name)]:
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(handle)


def _take_name(part: Path, to: Path) -> None:
    require_absent(to)
    part.rename(to)
    sync(to.parent)


def _received(stream: Readable, take: Callable[[str, Readable], Entry]) -> Manifest:
    """Let every file of a tar be taken; BackupFailed unless it is whole, to its last block."""
    counted, found, told = _Counted(stream), dict[str, Entry](), b""
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", counted), mode="r|") as archive:
            for name, file in members(archive):
                if name == MANIFEST:
                    told = file.read(MANIFEST_MAX)
                    take(name, io.BytesIO(told))
                else:
                    found[name] = take(name, file)
            while counted.read(_PIECE):
                pass
            end = archive.offset + 2 * tarfile.BLOCKSIZE
    except tarfile.TarError as error:
        raise BackupFailed(BROKEN_OFF) from error
    if not told or counted.count < end:
        raise BackupFailed(BROKEN_OFF)
    manifest = read_manifest(told)
    compare(manifest, found)
    return manifest


class _Counted:
    def __init__(self, stream: Readable) -> None:
        self.count = 0
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        piece = self._stream.read(size)
        self.count += len(piece)
        return piece
