"""A state file that is damaged: found at the start, and told in one line with the command that restores."""

import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, ExceptionContext

# result codes of SQLite; others (busy, full, read-only) say nothing of what the file holds
_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# of the errors of input and output those of reading; those of writing are a disk that is full
_UNREADABLE: Final = {
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_DATA,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
}
_PRIMARY: Final = 0xFF  # the part of a code that names the kind of error


class StateDamaged(Exception):
    """The file of state cannot be read, and waiting does not mend it; the message says what does."""

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(f"{file} is damaged ({why}); {remedy(file.parent)}")


def remedy(folder: Path) -> str:
    """Return the command that brings a data folder back."""
    return f"to restore: mv {folder} {folder}.damaged && pantau restore --from BACKUP"


def tell_damage(file: Path, context: ExceptionContext) -> None:
    """Raise StateDamaged for an error of SQLite that says so, whoever asked what; SQLAlchemy's ``handle_error``."""
    error = context.original_exception
    if isinstance(error, sqlite3.DatabaseError) and _damage(error):
        raise StateDamaged(file, str(error)) from error


def require_filled(file: Path | None, data: Path) -> None:
    """Raise StateDamaged when a SQLite file of state is empty though points lie in ``data`` beside it; before anybody opens it."""
    if file is not None and file.exists() and not file.stat().st_size and (data / "store").exists():
        raise StateDamaged(file, "it is empty, and what is stored beside it is not")


def require_sound(engine: Engine) -> None:
    """Read all of a SQLite file of state; StateDamaged when it is not sound."""
    if engine.dialect.name != "sqlite":
        return
    with engine.connect() as connection:
        answer = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if answer != "ok":
        raise StateDamaged(Path(engine.url.database or ""), " ".join(str(answer).split()))


def _damage(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0)  # an error of the driver itself has none
    return code & _PRIMARY in _DAMAGE or code in _UNREADABLE
