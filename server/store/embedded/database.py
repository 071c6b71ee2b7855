"""The embedded store's DuckDB file, open for its one writer, and plain words for what goes wrong with it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path
from typing import Any, Final, LiteralString

from server.store import StoreDamaged, StoreFull, StoreUnavailable
from server.store.embedded.file import AWAY, BROKEN, Connection, Error, Fatal, connect, is_damage, words
from server.store.sql import Sql, identifier, joined, sql

_FULL: Final = tuple(os.strerror(number) for number in (ENOSPC, EDQUOT, EFBIG))


class Database:
    """An open file, with the folder of sorted files beside it. When ``broken`` is set only opening anew helps."""

    def __init__(self, file: Path, memory: int) -> None:
        """Open or create both; ``memory`` is what DuckDB may take, in bytes."""
        self.file = file
        self.folder = file.with_suffix(".files")
        self.broken = False
        with self.plain_errors():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._writer = connect(file, memory)

    def execute(self, statement: Sql | LiteralString, values: list[Any] | None = None) -> None:
        """Run a statement of the writer."""
        self._writer.execute(statement, values)

    def all(self, statement: Sql | LiteralString) -> list[tuple[Any, ...]]:
        """Return the rows that the writer sees."""
        return self._writer.execute(statement).fetchall()

    def register(self, name: str, columns: dict[str, Any]) -> None:
        """Let statements of the writer read arrays as a table."""
        self._writer.register(name, columns)

    def insert(self, table: Sql, columns: dict[str, Any]) -> None:
        """Write arrays as rows of a table."""
        batch = columns  # noqa: F841 - DuckDB finds it by its name here; to register it would cost a third of a small write
        names = joined(", ", map(identifier, columns))
        self._writer.execute(sql("INSERT INTO {table} ({names}) SELECT {names} FROM batch", table=table, names=names))

    def cursor(self) -> Connection:
        """Return a connection of its own to the file."""
        return self._writer.cursor()

    def rollback(self) -> None:
        """End a transaction that failed."""
        try:
            self._writer.execute("ROLLBACK")
        except Fatal:
            self.broken = True
        except Error:
            pass  # a commit that fails has ended the transaction

    def close(self) -> None:
        """Move what the log holds into the file and close it."""
        try:
            self._writer.close()
        except Error as error:
            raise StoreUnavailable(words(error)) from error

    @contextmanager
    def plain_errors(self) -> Iterator[None]:
        """Turn what the world does to a database into StoreUnavailable."""
        try:
            yield
        except Error as error:
            self.broken |= isinstance(error, BROKEN)
            told = words(error)
            if is_damage(error):
                raise StoreDamaged(f"{self.file} is damaged: {told}") from error
            if not isinstance(error, AWAY):
                raise
            raise (StoreFull if any(full in told for full in _FULL) else StoreUnavailable)(told) from error
        except OSError as error:
            told = f"{self.file}: {error.strerror}"
            raise (StoreFull if error.strerror in _FULL else StoreUnavailable)(told) from error
