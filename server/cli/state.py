"""``pantau state``: moves the state into another database, or brings the one from before a newer version back."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, inspect

from configs.read import SettingsError
from configs.secret import Secret
from server.cli import owner
from server.cli.options import add_settings
from server.settings import Settings
from server.state import before
from server.state.alone import Occupied, alone
from server.state.copy import CopyFailed, compare, copy
from server.state.database import Database
from server.state.migrate import upgrade
from server.state.place import Place
from server.state.tables import metadata

_ROWS: Final = 5000  # of a transaction of the target; what is broken off loses that many at most


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add ``pantau state`` to the command line."""
    parser = commands.add_parser("state", help="the database of state: move it, go back to the one before an upgrade")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    move = _verb(verbs, "copy", "copy users, tokens, incidents, ledger and messages owed into another database")
    move.add_argument("--to", required=True, metavar="URL", help="postgresql://USER@HOST/DATABASE or sqlite:///PATH")
    move.add_argument("--password-file", type=Path, metavar="FILE", help="holds the password of --to")
    move.add_argument("--from", dest="source", metavar="URL", help="default: the state of the settings")
    move.add_argument("--from-password-file", type=Path, metavar="FILE", help="holds the password of --from")
    move.set_defaults(run=_copy)
    _verb(verbs, "back", "put back the state.db from before the last upgrade").set_defaults(run=_back)


def _verb(verbs: "argparse._SubParsersAction[Any]", name: str, told: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=told, description=f"{told[0].upper()}{told[1:]}.")
    add_settings(parser)
    return parser


def _copy(arguments: argparse.Namespace) -> int:
    target = _place(arguments.to, arguments.password_file)
    given = _place(arguments.source, arguments.from_password_file) if arguments.source else None
    known = owner.read(arguments.settings)
    source = given or known.state
    if source.url == target.url:
        raise SettingsError("--to is where the state is already")
    try:
        with ExitStack() as stack:
            here = stack.enter_context(_held(source, known, new=False))
            there = stack.enter_context(_held(target, known, new=True))
            _prepare(here, there)
            differences = _run(here, there)
    except Occupied as error:
        raise SettingsError(f"{error}: stop it first, since what it writes meanwhile would be missing") from error
    except CopyFailed as error:
        print(f"pantau: {error}", file=sys.stderr)
        return 1
    for line in differences:
        print(f"pantau: {line}", file=sys.stderr)
    if differences:
        return 1
    print("compares equal")
    _tell_settings(target, arguments.password_file)
    return 0


def _place(url: str, password_file: Path | None) -> Place:
    password = None
    if password_file is not None:
        password = Secret("file", str(password_file.absolute()))
        password.hold()  # by who typed the command, before it goes on as the owner of data
    try:
        place = Place.parse(url, password)
        # the line that is printed for the settings is to mean the same file wherever they lie
        return place if place.file is None else Place.parse(f"sqlite:///{place.file.absolute()}")
    except ValueError as error:
        raise SettingsError(str(error)) from error


@contextmanager
def _held(place: Place, known: Settings, *, new: bool) -> Iterator[Database]:
    """Open a database that no centre has, nor gets until the block ends; Occupied, SettingsError when it is not there."""
    with ExitStack() as stack:
        if place == known.state:
            stack.enter_context(alone(known.data))
        if place.file is not None:
            _require_file(place.file, new=new)
            if place != known.state and (place.file.parent / "centre.lock").exists():
                stack.enter_context(alone(place.file.parent))
        database = stack.enter_context(closing(Database(place, alone=True)))
        stack.enter_context(database.writing.connect())
        yield database


def _require_file(file: Path, *, new: bool) -> None:
    if file.exists():
        return
    if not new:
        raise SettingsError(f"{file}: no such file")
    os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))


def _prepare(source: Database, target: Database) -> None:
    """Bring both to the newest shape; a target with tables of something else is left alone."""
    with target.engine.connect() as connection:
        there = set(inspect(connection).get_table_names())
    strange = sorted(there & metadata.tables.keys()) if "alembic_version" not in there else []
    if strange:
        raise CopyFailed(f"the target holds something else: it has a table {strange[0]!r} that no Pantau made")
    upgrade(source.engine)
    upgrade(target.engine)


def _run(source: Database, target: Database) -> list[str]:
    with (
        source.engine.connect().execution_options(**_reading(source)) as here,
        here.begin(),
        target.engine.connect() as there,
    ):
        rows = copy(here, there, chunk=_ROWS, told=_Told(there))
        there.commit()
        for table, count in rows.items():
            print(f"{table:<18} {count:>12}")
        with there.begin():
            return compare(here, there, chunk=_ROWS)


def _reading(source: Database) -> dict[str, Any]:
    """Return the options that let a transaction see one state all the while."""
    return {"isolation_level": "REPEATABLE READ"} if source.engine.dialect.name == "postgresql" else {"writes": False}


class _Told:
    """Commits what was copied, and says how far it is on a terminal."""

    def __init__(self, target: Connection) -> None:
        self._target = target

    def __call__(self, table: str, rows: int) -> None:
        self._target.commit()
        if sys.stderr.isatty():
            print(f"\r{table:<18} {rows:>12}", end="\r", file=sys.stderr, flush=True)


def _tell_settings(target: Place, password_file: Path | None) -> None:
    print("To use it, in [server] of server.toml:")
    print(f'    state = "{target}"')
    if password_file is not None:
        print(f'    state_password = {{ file = "{password_file.absolute()}" }}')


def _back(arguments: argparse.Namespace) -> int:
    known = owner.read(arguments.settings)
    file = known.state.file
    if file is None:
        raise SettingsError("the state is in PostgreSQL: bring the dump from before the upgrade back with pg_restore")
    try:
        with alone(known.data):
            copy_, aside, lost = before.bring_back(file)
    except Occupied as error:
        raise SettingsError(f"{error}: stop it first") from error
    print(f"{file} is {copy_.name} again; the newer state is kept in {aside}")
    if lost:
        more = ", ".join(f"{rows} {table}" for table, rows in sorted(lost.items()))
        print(f"Since then the newer one has more rows, which are not in it: {more}")
    print(
        "Now install the version that you used before; the one that runs now would bring it forward again at its start."
    )
    return 0
