"""Bringing a backup back into an empty data folder, all or nothing, for the folder's owner."""

import fcntl
import io
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from server.admin.acting import Owner, acting, as_before
from server.admin.archive import Readable, members, plain_errors, sync, write
from server.admin.manifest import (
    MANIFEST,
    MANIFEST_MAX,
    PARTS,
    STATE,
    BackupFailed,
    Entry,
    Manifest,
    compare,
    read_manifest,
)
from server.state.alone import Occupied, alone
from server.state.folder import private_folder

_PART: Final = "restore.part"
_LOCK: Final = "centre.lock"
_NO_DATA: Final = {_PART, _LOCK, "lost+found"}  # an empty folder may have them


def restore(source: Path, data: Path, owner: Owner, *, take_state: Callable[[Path], None] | None = None) -> Manifest:
    """Bring a backup into ``data``, which is empty or not there yet; every file is compared with the manifest first.

    ``source`` is a folder or a tar, read with the rights of who runs this. The folder and all that is in it belong to ``owner``.
    State goes to ``take_state`` as an SQLite file where it is given, else into ``data``. BackupFailed says why not, and nothing is left
    then. A centre cannot start on the folder meanwhile.
    """
    _require_no_centre(data)
    try:
        return _restored(source, data, owner, take_state)
    except OSError as error:
        raise BackupFailed(f"cannot write {error.filename or data}: {error.strerror or error}") from error


def _restored(source: Path, data: Path, owner: Owner, take_state: Callable[[Path], None] | None) -> Manifest:
    with _opened(source, owner) as files:
        made = not data.exists()
        if made:
            data.mkdir(mode=0o700, parents=True)
            if os.geteuid() == 0:
                os.chown(data, owner.uid, owner.gid)
        try:
            with acting(owner):
                private_folder(data)
                return _brought(files, data, source, take_state)
        except BaseException:
            if made:
                shutil.rmtree(data, ignore_errors=True)
            raise


def size_of(source: Path) -> int:
    """Return about how many bytes a backup takes when it is brought back."""
    if source.is_file():
        return source.stat().st_size
    return sum(path.stat().st_size for path in source.rglob("*") if path.is_file())


def _require_no_centre(data: Path) -> None:
    """Raise BackupFailed where a centre runs on the folder, or on one that was moved away to ``DATA.something``."""
    folders = [data]
    if data.parent.is_dir():
        folders += sorted(path for path in data.parent.iterdir() if path.name.startswith(f"{data.name}."))
    for folder in folders:
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError), (folder / _LOCK).open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BackupFailed(f"a centre runs on {folder}: stop it first") from error


def _brought(
    files: Iterator[tuple[str, Readable]], data: Path, source: Path, take_state: Callable[[Path], None] | None
) -> Manifest:
    if {path.name for path in data.iterdir()} - _NO_DATA:
        raise BackupFailed(f"{data} is not empty: move it away first")
    part = data / _PART
    try:
        with alone(data):
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(mode=0o700)
            try:
                manifest = _checked(files, part, source)
                for folder in (path for path in part.rglob("*") if path.is_dir()):
                    sync(folder)
                if take_state is not None and (part / STATE).exists():
                    take_state(part / STATE)
                    (part / STATE).unlink()
                for name in PARTS:
                    if (part / name).exists():
                        (part / name).rename(data / name)
                sync(data)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except Occupied as error:
        raise BackupFailed(f"a centre runs on {data}: stop it first") from error
    return manifest


def _checked(files: Iterator[tuple[str, Readable]], part: Path, source: Path) -> Manifest:
    found: dict[str, Entry] = {}
    told = b""
    for name, file in files:
        if name == MANIFEST:
            told = file.read(MANIFEST_MAX)
        else:
            found[name] = write(file, part / name)
    if not told:
        raise BackupFailed(f"{source} is no backup: it has no {MANIFEST}")
    try:
        manifest = read_manifest(told)
        compare(manifest, found)
    except BackupFailed as error:
        raise BackupFailed(f"{source}: {error}") from error
    if STATE in manifest.files:
        _require_sound(part / STATE)
    return manifest


def _require_sound(file: Path) -> None:
    try:
        with closing(sqlite3.connect(file)) as state:
            (answer,) = state.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.DatabaseError as error:
        answer = str(error)
    if answer != "ok":
        raise BackupFailed(f"the state in it is damaged: {answer}")


@contextmanager
def _opened(source: Path, owner: Owner) -> Iterator[Iterator[tuple[str, Readable]]]:
    if source.is_dir():
        yield _of_folder(source, owner)
        return
    try:
        file = source.open("rb")
    except OSError as error:
        raise BackupFailed(f"cannot read {source}: {error.strerror}") from error
    with file, plain_errors(str(source)), tarfile.open(fileobj=file) as archive:
        yield members(archive)


def _of_folder(source: Path, owner: Owner) -> Iterator[tuple[str, Readable]]:
    """Yield the files of a folder that its manifest names, the manifest last; each is opened with the rights of who runs this."""
    try:
        with as_before(owner):
            told = (source / MANIFEST).read_bytes()
    except OSError as error:
        raise BackupFailed(f"{source} is no backup: {error}") from error
    for name in read_manifest(told).files:
        with as_before(owner):
            path = source / name
            if not path.resolve().is_relative_to(source.resolve()):
                raise BackupFailed(f"the manifest names a file outside the backup: {name}")
            if not path.is_file():
                raise BackupFailed(f"{path} is missing or not as it was written")
            file = path.open("rb")
        with file:
            yield name, file
    yield MANIFEST, io.BytesIO(told)
