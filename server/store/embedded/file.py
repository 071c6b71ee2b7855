"""Opening the file of the embedded store with DuckDB, and what DuckDB's errors mean."""

import os
import re
from errno import EACCES, EDQUOT, EFBIG, EMFILE, ENFILE, ENOMEM, ENOSPC, EPERM, EROFS
from pathlib import Path
from typing import Final

import duckdb

from server.store.embedded.reading import text
from server.store.sql import identifier, sql

# what the world does to a database; all other errors are our bugs
AWAY: Final = (duckdb.OperationalError, duckdb.InternalError, duckdb.FatalException)
BROKEN: Final = (duckdb.FatalException, duckdb.InternalException, duckdb.ConnectionException)
Connection = duckdb.DuckDBPyConnection
Error = duckdb.Error
Fatal = duckdb.FatalException

# what DuckDB says when bytes are not those that it wrote: it has no kind of error for that
_DAMAGE: Final = re.compile(
    "[Cc]orrupt|not a valid DuckDB database|Could not read enough bytes|replaying WAL|too small to be a Parquet|No magic bytes"
    "|Failed to read file|TProtocol|Serialization Error|Input/output error"
)
# what the system lacks or forbids is no damage, whichever file it was about
_LACKS: Final = (ENOSPC, EDQUOT, EFBIG, EMFILE, ENFILE, ENOMEM, EACCES, EPERM, EROFS)
_LOG_MAX: Final = "16MB"  # what a start after a crash has to read again: 0.1 s
_PREFIX: Final = re.compile(r"^(?:\w+ )?Error: ")
_SLACK: Final = 2_000_000  # bytes of free blocks that are worth a copy
_MOSTLY: Final = 0.7


def connect(file: Path, memory: int) -> Connection:
    """Open or create a file, made smaller when most of it is free; ``memory`` is what DuckDB may take, in bytes."""
    connection = open_file(file, memory)
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
    connection.execute(sql("ATTACH {path} AS copied", path=text(copy, wild=False)))
    connection.execute(sql("COPY FROM DATABASE {own} TO copied", own=identifier(file.stem)))
    connection.execute("DETACH copied")
    # closing writes out the log: nothing of the file is beside it when the copy takes its name
    connection.close()
    sync(copy)
    copy.rename(file)
    sync(file.parent)
    return open_file(file, memory)


def sync(path: Path) -> None:
    """Put a file, or the names in a folder, on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_file(file: Path, memory: int) -> Connection:
    """Open or create a file as it is; ``memory`` is what DuckDB may take, in bytes."""
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
    """Return in one line what the database says, e.g. without "IO Error: " and advice."""
    told = _PREFIX.sub("", str(error).partition("\n")[0]).partition(" See also ")[0]
    return f"the store is in use by another process: {told}" if "Conflicting lock" in told else told


def is_damage(error: duckdb.Error) -> bool:
    """Return whether an error says that a file is damaged."""
    told = str(error).partition("\n")[0]
    if any(os.strerror(number) in told for number in _LACKS):
        return False
    # an error of no particular kind is what a damaged footer or block gives
    return type(error) in {duckdb.Error, duckdb.InternalException} or _DAMAGE.search(told) is not None


def scratch() -> Connection:
    """Return a database in memory, to try files in that may be damaged: an internal error spoils the one that it happens in."""
    return duckdb.connect()
