"""State in a backup: always an SQLite file, wherever the centre has it, so that it can be brought back into either kind of database."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from alerts.tables import StateAway
from server.admin.manifest import BackupFailed
from server.state.copy import CopyFailed, copy
from server.state.database import Database
from server.state.migrate import upgrade
from server.state.place import Place

_SQLITE: Final = "sqlite:///"


def copy_out(state: Place | str, to: Path) -> None:
    """Copy one instant of the state into a new file, beside its readers and writers; BackupFailed."""
    with _plain_errors("cannot copy the state"):
        file = Place.of(state).file
        if file is not None:
            _copy_file(file, to)
            return
        with closing(Database(state)) as source, closing(Database(f"{_SQLITE}{to}")) as target:
            upgrade(target.engine)
            one_instant = source.engine.connect().execution_options(isolation_level="REPEATABLE READ", writes=False)
            with one_instant as here, here.begin(), target.engine.connect() as there:
                # portion by portion: the log beside the file stays small
                copy(here, there, told=lambda _table, _rows: there.commit())
                there.commit()


def copy_in(file: Path, state: Place | str) -> None:
    """Bring the state of a file into a database that has none yet, in one transaction; BackupFailed."""
    with (
        _plain_errors("cannot bring the state back into its database"),
        closing(Database(f"{_SQLITE}{file}")) as source,
        closing(Database(state)) as target,
    ):
        upgrade(source.engine)
        upgrade(target.engine)
        with (
            source.engine.connect().execution_options(writes=False) as here,
            here.begin(),
            target.engine.begin() as there,
        ):
            copy(here, there)


def _copy_file(file: Path, to: Path) -> None:
    source = f"{file.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(source, uri=True)) as now, closing(sqlite3.connect(to)) as target:
        now.backup(target)


@contextmanager
def _plain_errors(what: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, CopyFailed, StateAway) as error:
        raise BackupFailed(f"{what}: {error}") from error
    except SQLAlchemyError as error:
        why = error.orig if isinstance(error, DBAPIError) else error
        raise BackupFailed(f"{what}: {' '.join(str(why).split())}") from error
