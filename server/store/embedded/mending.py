"""What becomes of damaged files of the embedded store: they are set aside, and what is left of the points goes on.

In ``points.damaged`` lies what could not be read, until somebody restores a backup or deletes it; as long as it lies there, points
are missing.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from errno import EIO, ENOENT
from pathlib import Path
from typing import Final

from server.store import StoreDamaged
from server.store.embedded.file import Connection, Error, is_damage, open_file, scratch, sync, words
from server.store.embedded.layers import TABLES
from server.store.embedded.levels import File
from server.store.embedded.reading import files_list, text
from server.store.embedded.tables import Tables
from server.store.sql import Sql, identifier, sql

_log: Final = logging.getLogger("pantau.store")
_MAGIC: Final = b"PAR1"  # how a Parquet file begins and ends
_FOOT: Final = 8  # bytes of the footer's length and the magic
_ROWS: Final = 12_288  # are saved or lost together: a tenth of what DuckDB keeps in one place


def aside(file: Path) -> Path:
    """Return the folder of damaged files."""
    return file.with_suffix(".damaged")


def damage(file: Path) -> str:
    """Return in one line what is set aside, "" when nothing is."""
    folder = aside(file)
    count = len(list(folder.iterdir())) if folder.exists() else 0
    if not count:
        return ""
    files = "1 damaged file is" if count == 1 else f"{count} damaged files are"
    return f"{files} set aside in {folder}, and points are missing: bring a backup back, or delete the folder to do without"


def mend(tables: Tables, *, thorough: bool) -> None:
    """Set aside the sorted files that cannot be read; of all only head and foot are looked at when it is not ``thorough``.

    Raises StoreDamaged when a table of the database cannot be read: that takes ``salvage``, after closing it.
    """
    with contextlib.closing(scratch()) as tried:
        bad = [file for file in _files(tables) if not _sound(tables.folder / file.name, tried if thorough else None)]
    _set_aside(tables, bad)
    with contextlib.closing(tables.database.cursor()) as cursor:
        try:
            for table in TABLES.values():
                cursor.execute(sql("SELECT max(hash({table})) FROM {table}", table=table)).fetchall()
        except Error as error:
            if not is_damage(error):
                raise
            raise StoreDamaged(f"{tables.database.file} is damaged: {words(error)}") from error


def salvage(file: Path, memory: int) -> None:
    """Put a file with all that can be read in the place of a damaged one, which is set aside.

    Of the rows of values some may be lost; StoreDamaged when it is more than those.
    """
    fresh = file.with_suffix(".salvaged")
    fresh.unlink(missing_ok=True)
    try:
        with _connected(file, memory) as connection:
            lost = _copied(connection, file.stem, fresh)
    except Error as error:
        fresh.unlink(missing_ok=True)
        if not is_damage(error):
            raise
        raise StoreDamaged(f"{file} is damaged: {words(error)}") from error
    folder = aside(file)
    folder.mkdir(mode=0o700, exist_ok=True)
    number = len(list(folder.iterdir())) + 1
    for part in (file, file.with_suffix(f"{file.suffix}.wal")):
        if part.exists():
            part.rename(folder / f"{part.name}.{number}")
    sync(fresh)
    fresh.rename(file)
    sync(file.parent)
    _log.error(
        "%s was damaged and is set aside in %s; %d rows of values are lost, the others saved", file, folder, lost
    )


def _files(tables: Tables) -> list[File]:
    return [file for shelf in tables.shelves.values() for file in shelf.files()]


def _sound(path: Path, tried: Connection | None) -> bool:
    """Return whether a file has head and foot and, where it is ``tried`` in a database, can be read to the end."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
            if head != _MAGIC or file.seek(0, os.SEEK_END) < len(_MAGIC) + _FOOT:
                return False
            file.seek(-len(_MAGIC), os.SEEK_END)
            if file.read() != _MAGIC:
                return False
        if tried is not None:
            tried.execute(sql("SELECT max(hash(rows)) FROM {file} AS rows", file=files_list([path]))).fetchall()
    except Error as error:
        if not is_damage(error):
            raise
        return False
    except OSError as error:
        if error.errno not in {ENOENT, EIO}:
            raise
        return False
    return True


def _set_aside(tables: Tables, files: list[File]) -> None:
    if not files:
        return
    folder = aside(tables.database.file)
    folder.mkdir(mode=0o700, exist_ok=True)
    for file in files:
        kept = folder / file.name
        kept.unlink(missing_ok=True)
        if (tables.folder / file.name).exists():
            kept.hardlink_to(tables.folder / file.name)
        else:
            kept.touch()
    sync(folder)
    tables.let_go(files)
    names = ", ".join(file.name for file in files)
    _log.error("damaged files were set aside in %s, and what they held is missing: %s", folder, names)


@contextlib.contextmanager
def _connected(file: Path, memory: int) -> Iterator[Connection]:
    connection = open_file(file, memory)
    try:
        yield connection
    finally:
        with contextlib.suppress(Error):  # closing would write to a file that is given up
            connection.close()


def _copied(connection: Connection, name: str, fresh: Path) -> int:
    """Copy all that can be read into a fresh file; return how many rows of values were lost."""
    connection.execute(sql("ATTACH {path} AS salvaged", path=text(fresh, wild=False)))
    connection.execute(sql("COPY FROM DATABASE {name} TO salvaged (SCHEMA)", name=identifier(name)))
    found = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = ?", [name]).fetchall()
    lost = 0
    for (table,) in found:
        old, new = (
            sql("{base}.{table}", base=identifier(base), table=identifier(table)) for base in (name, "salvaged")
        )
        if table in TABLES.values():
            lost += _copied_rows(connection, old, new)
        else:
            connection.execute(sql("INSERT INTO {new} SELECT * FROM {old}", new=new, old=old))
    connection.execute("DETACH salvaged")
    return lost


def _copied_rows(connection: Connection, table: Sql, to: Sql) -> int:
    """Copy rows some at a time, so that a damaged place costs those around it only; return how many were lost."""
    rows = connection.execute(sql("SELECT count(*), coalesce(max(rowid), -1) FROM {table}", table=table)).fetchone()
    count, last = rows or (0, -1)
    for first in range(0, last + 1, _ROWS):
        some = sql(
            "INSERT INTO {to} SELECT * FROM {table} WHERE rowid BETWEEN {first} AND {last}",
            to=to,
            table=table,
            first=first,
            last=first + _ROWS - 1,
        )
        # what is damaged is lost
        with contextlib.suppress(Error):
            connection.execute(some)
    saved = connection.execute(sql("SELECT count(*) FROM {to}", to=to)).fetchone()
    return int(count) - int(saved[0] if saved else 0)
