"""Copies of ``state.db`` from before each migration, for the way back to the version before; the last ones are kept."""

import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from configs.read import SettingsError

_KEPT: Final = 2
_SPARE: Final = 64 * 2**20  # bytes that the migration itself may need beside the copy
_NAME: Final = re.compile(r".*\.before-\d+")  # and not what SQLite lays beside it


def keep(file: Path, schema: str) -> Path:
    """Copy a SQLite file of state, whole and in its old shape, to ``FILE.before-SCHEMA``; return that.

    A copy of the same name is older than what there is now, and goes. SettingsError, and nothing is touched, when there is no room.
    """
    copy = name(file, schema)
    need, free = _size(file) + _SPARE, shutil.disk_usage(file.parent).free
    if free < need:
        raise SettingsError(
            f"{file} is copied before its tables change, and {file.parent} has {free // 2**20} MB left of the {need // 2**20} MB "
            "that this needs: make room and start again"
        )
    part = copy.with_name(f"{copy.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_WRONLY, 0o600))
    with closing(_open(file, "mode=ro")) as now, closing(sqlite3.connect(part)) as target:
        now.backup(target)
    _sync(part)
    part.rename(copy)
    _sync(file.parent)
    for old in copies(file)[:-_KEPT]:
        old.unlink()
    return copy


def name(file: Path, schema: str) -> Path:
    """Return where the copy from before a schema is kept."""
    return file.with_name(f"{file.name}.before-{schema}")


def copies(file: Path) -> list[Path]:
    """Return the copies that are there, oldest schema first."""
    return sorted(one for one in file.parent.glob(f"{file.name}.before-*") if _NAME.fullmatch(one.name))


def bring_back(file: Path) -> tuple[Path, Path, dict[str, int]]:
    """Put the newest copy into the place of ``file``, which is set aside; the centre is stopped.

    Returns the copy, where the newer state is now, and how many rows it has that the copy does not, by table. SettingsError when
    there is no copy, or something lies where the newer state is to be set aside.
    """
    found = copies(file)
    if not found:
        raise SettingsError(f"there is no copy from before a newer version: {file}.before-* (restore a backup instead)")
    copy = found[-1]
    aside = file.with_name(f"{file.name}.{copy.name.rpartition('-')[2]}")
    if aside.exists():
        raise SettingsError(
            f"{aside} is in the way: it was set aside when somebody went back before; move it elsewhere"
        )
    lost = _more(file, copy)
    with closing(sqlite3.connect(file)) as state:
        state.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what is set aside is one file, whole
    file.rename(aside)
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    copy.rename(file)
    _sync(file.parent)
    return copy, aside, lost


def _more(file: Path, copy: Path) -> dict[str, int]:
    now, then = _counts(file, "mode=ro"), _counts(copy, "mode=ro&immutable=1")
    return {table: rows - then.get(table, 0) for table, rows in now.items() if rows > then.get(table, 0)}


def _counts(file: Path, how: str) -> dict[str, int]:
    with closing(_open(file, how)) as state:
        tables = [name for (name,) in state.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        quoted = {table: table.replace('"', '""') for table in tables if not table.startswith(("sqlite_", "alembic_"))}
        return {
            table: state.execute(f'SELECT count(*) FROM "{quoted[table]}"').fetchone()[0]  # noqa: S608 - a table's own name
            for table in quoted
        }


def _open(file: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True)


def _size(file: Path) -> int:
    return sum(one.stat().st_size for one in (file, file.with_name(f"{file.name}-wal")) if one.exists())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
