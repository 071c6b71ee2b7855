"""Opening the file of the embedded store with DuckDB, and what DuckDB's errors mean."""

import os
import re
from pathlib import Path
from typing import Final

import duckdb

from server.store.embedded.reading import text

# what the world does to a database; all other errors are our bugs
AWAY: Final = (duckdb.OperationalError, duckdb.InternalError, duckdb.FatalException)
BROKEN: Final = (duckdb.FatalException, duckdb.InternalException, duckdb.ConnectionException)
Connection = duckdb.DuckDBPyConnection
Error = duckdb.Error
Fatal = duckdb.FatalException

_LOG_MAX: Final = "16MB"  # what a start after a crash has to read again: 0.1 s
_PREFIX: Final = re.compile(r"^(?:\w+ )?Error: ")
_SLACK: Final = 2_000_000  # bytes of free blocks that are worth a copy
_MOSTLY: Final = 0.7


def connect(file: Path, memory: int) -> Connection:
    """Open or create a file, made smaller when most of it is free; ``memory`` is what DuckDB may take, in bytes."""
    connection = _connect(file, memory)
    try:
        row = connection.execute("SELECT block_size, total_blocks, free_blocks FROM pragma_database_size()").fetchone()
        block, total, free = row or (0, 0, 0)
        if free * block > _SLACK and free > _MOSTLY * total:
            connection = _copied(connection, file, memory)
        connection.execute("SET GLOBAL parquet_metadata_cache = true")
    except BaseException:
        connection.close()
        raise
    return connection


def _copied(connection: Connection, file: Path, memory: int) -> Connection:
    copy = file.with_suffix(".copy")
    copy.unlink(missing_ok=True)
    connection.execute(f"ATTACH {text(copy, wild=False)} AS copied")
    connection.execute(f'COPY FROM DATABASE "{file.stem}" TO copied')
    connection.execute("DETACH copied")
    # closing writes out the log: nothing of the file is beside it when the copy takes its name
    connection.close()
    sync(copy)
    copy.rename(file)
    sync(file.parent)
    return _connect(file, memory)


def sync(path: Path) -> None:
    """Put a file, or the names in a folder, on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _connect(file: Path, memory: int) -> Connection:
    return duckdb.connect(
        file,
        config={
            "memory_limit": f"{memory}B",
            "checkpoint_threshold": _LOG_MAX,
            "temp_directory": str(file.with_suffix(".tmp")),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )


def words(error: duckdb.Error) -> str:
    """Say in one line what the database says, e.g. without "IO Error: " and advice."""
    told = _PREFIX.sub("", str(error).partition("\n")[0]).partition(" See also ")[0]
    return f"the store is in use by another process: {told}" if "Conflicting lock" in told else told
