"""Backups of the whole data folder, made while the centre runs, and brought back into an empty folder.

A backup is a folder (or a tar file of it): ``state.db``, the embedded store's files in ``store``, and ``manifest.json`` with the size and
SHA-256 of each. Its last step is a rename, so a backup that has its name is whole.
"""

import asyncio
import hashlib
import lzma
import os
import shutil
import sqlite3
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

import msgspec

from server.state.folder import private_folder
from server.store.buckets import STORE, Buckets

STATE: Final = "state.db"
_MANIFEST: Final = "manifest.json"
_FORMAT: Final = 1
_SQLITE: Final = "sqlite:///"


class BackupFailed(Exception):
    """A backup that cannot be made or brought back, and why, in one line."""


class Entry(msgspec.Struct, frozen=True):
    """One file of a backup."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds: ``at`` is ms since epoch; ``missing`` says what has to be saved by other means."""

    format: int
    at: int
    version: str
    missing: tuple[str, ...]
    files: dict[str, Entry]


async def make(buckets: Buckets, state_url: str, to: Path, *, at: int, version: str) -> Manifest:
    """Make a backup at ``to``, a tar file when it ends so, else a folder; neither may exist. BackupFailed, StoreUnavailable."""
    if await asyncio.to_thread(os.path.lexists, to):
        raise BackupFailed(f"{to} exists already")
    part = to.with_name(f"{to.name}.part")
    try:
        await asyncio.to_thread(_begin, part)
        missing = []
        if not await buckets.backup(part / STORE):
            missing.append("the points are in a database of its own: back them up with its tools")
        if state_url.startswith(_SQLITE):
            await asyncio.to_thread(_copy_state, Path(state_url.removeprefix(_SQLITE)), part / STATE)
        else:
            missing.append("the state is in a database of its own: back it up with its tools, e.g. pg_dump")
        manifest = Manifest(_FORMAT, at, version, tuple(missing), await asyncio.to_thread(_entries, part))
        await asyncio.to_thread(_finish, part, to, manifest)
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"cannot write the backup: {error}") from error
    finally:
        await asyncio.to_thread(shutil.rmtree, part, ignore_errors=True)
    return manifest


def restore(source: Path, data: Path) -> Manifest:
    """Bring a backup into ``data``, which is empty or not there yet; every file is compared with the manifest first."""
    if data.exists() and any(data.iterdir()):
        raise BackupFailed(f"{data} is not empty: move it away first")
    with _unpacked(source, data.with_name(f"{data.name}.restoring")) as folder:
        try:
            manifest = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=Manifest)
        except (OSError, msgspec.DecodeError) as error:
            raise BackupFailed(f"{source} is no backup: {error}") from error
        if manifest.format != _FORMAT:
            raise BackupFailed(f"{source} has format {manifest.format}, this version of Pantau reads {_FORMAT}")
        _compare(folder, manifest)
        private_folder(data)
        for name in manifest.files:
            target = data / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(folder / name, target)
            _sync(target)
    if STATE in manifest.files:
        with closing(sqlite3.connect(data / STATE)) as state:
            (answer,) = state.execute("PRAGMA integrity_check").fetchone()
        if answer != "ok":
            raise BackupFailed(f"{data / STATE} is damaged: {answer}")
    return manifest


def _begin(part: Path) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)


def _copy_state(file: Path, to: Path) -> None:
    source = f"{file.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(source, uri=True)) as now, closing(sqlite3.connect(to)) as copy:
        now.backup(copy)


def _entries(folder: Path) -> dict[str, Entry]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): Entry(path.stat().st_size, _digest(path)) for path in files}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _finish(part: Path, to: Path, manifest: Manifest) -> None:
    (part / _MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    for path in part.rglob("*"):
        _sync(path)
    if to.suffix == ".tar":
        packed = to.with_name(f"{to.name}.packing")
        with tarfile.open(packed, "w") as archive:
            archive.add(part, arcname=".")
        packed.chmod(0o600)
        _sync(packed)
        packed.rename(to)
    else:
        part.rename(to)
    _sync(to.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _unpacked(source: Path, beside: Path) -> Iterator[Path]:
    if not source.is_file():
        yield source
        return
    try:
        _begin(beside)
        with tarfile.open(source) as archive:
            for member in archive:
                _extract(archive, member, beside)
        yield beside
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError) as error:
        raise BackupFailed(f"{source} is no backup: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write one plain file or folder of an archive below ``folder``; of the rest of a member (mode, owner) nothing is taken.

    TarError for what leads outside, is neither a plain file nor a folder, or stands twice. ``extractall(filter="data")`` is
    not asked, since Python 3.11.2, that of Debian 12, does not have it.
    """
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\0" in member.name:
        raise tarfile.TarError(f"{member.name!r} leads outside the backup")
    if not (member.isdir() or (member.isreg() and not member.issparse())):
        raise tarfile.TarError(f"{member.name!r} is neither a plain file nor a folder")
    target = folder / path
    try:
        (target if member.isdir() else target.parent).mkdir(mode=0o700, parents=True, exist_ok=True)
        if member.isdir():
            return
        with target.open("xb") as file:
            shutil.copyfileobj(cast("IO[bytes]", archive.extractfile(member)), file)
    except (FileExistsError, NotADirectoryError) as error:
        raise tarfile.TarError(f"{member.name!r} stands twice") from error


def _compare(folder: Path, manifest: Manifest) -> None:
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BackupFailed(f"the manifest names a file outside the backup: {name}")
        if not path.is_file() or path.stat().st_size != entry.size or _digest(path) != entry.sha256:
            raise BackupFailed(f"{path} is missing or not as it was written")
