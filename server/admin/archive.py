"""Reading a tar of a stranger: plain files only, each once, none outside; and writing what it holds."""

import hashlib
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final, Protocol, cast

from server.admin.manifest import BackupFailed, Entry

_PIECE: Final = 256 * 1024  # bytes that are read at once


class Readable(Protocol):
    """Something that gives bytes, b"" at its end."""

    def read(self, size: int = ..., /) -> bytes:
        """Return at most ``size`` bytes."""
        ...


@contextmanager
def plain_errors(source: str) -> Iterator[None]:
    """Raise BackupFailed in one line that names the source where an archive is none."""
    try:
        yield
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError) as error:
        raise BackupFailed(f"{source} is no backup: {error}") from error


def members(archive: tarfile.TarFile) -> Iterator[tuple[str, Readable]]:
    """Yield the files of an archive by their names; of the rest of a member (mode, owner) nothing is taken.

    TarError for what leads outside, is neither a plain file nor a folder, or stands twice. ``extractall(filter="data")`` is
    not asked, since Python 3.11.2, that of Debian 12, does not have it.
    """
    seen: set[PurePosixPath] = {PurePosixPath()}
    folders: set[PurePosixPath] = set()
    for member in archive:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or "\0" in member.name:
            raise tarfile.TarError(f"{member.name!r} leads outside the backup")
        if not (member.isdir() or (member.isreg() and not member.issparse())):
            raise tarfile.TarError(f"{member.name!r} is neither a plain file nor a folder")
        if member.isdir():
            continue
        above = path.parents[:-1]
        if path in seen or path in folders or not seen.isdisjoint(above):
            raise tarfile.TarError(f"{member.name!r} stands twice")
        seen.add(path)
        folders.update(above)
        yield path.as_posix(), cast("IO[bytes]", archive.extractfile(member))


def digest(file: Readable) -> Entry:
    """Read a file to its end; return its size and digest."""
    size, known = 0, hashlib.sha256()
    while piece := file.read(_PIECE):
        known.update(piece)
        size += len(piece)
    return Entry(size, known.hexdigest())


def write(file: Readable, to: Path) -> Entry:
    """Write a file that is not there yet, for its owner only, and put it on disk; return its size and digest."""
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        found = digest(Tee(file, target))
        target.flush()
        os.fsync(target.fileno())
    return found


class Tee:
    """Give the bytes of a source, and write each to a file as well."""

    def __init__(self, source: Readable, to: IO[bytes]) -> None:
        self._source = source
        self._to = to

    def read(self, size: int = -1, /) -> bytes:
        """Return at most ``size`` bytes of the source."""
        piece = self._source.read(size)
        self._to.write(piece)
        return piece


def sync(path: Path) -> None:
    """Put a file, or the names in a folder, on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
