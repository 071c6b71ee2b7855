"""``pantau user``: who may come into the web. The first admin is made here."""

import argparse
import getpass
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from typing import Any

from sqlalchemy import Connection

from server.cli import owner
from server.cli.options import add_settings
from server.state.database import Database
from server.state.folder import private_folder
from server.state.migrate import upgrade
from server.web import accounts
from server.web.accounts import ROLES, AccountError, Passwords

Work = Callable[[Connection], list[str]]


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add ``pantau user`` to the command line."""
    parser = commands.add_parser("user", help="make, list and change users of the web")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    new = _verb(verbs, "add", _add, "make a user; asks for the password")
    new.add_argument("name")
    new.add_argument("--role", choices=ROLES, default="viewer")
    _password(new)
    _verb(verbs, "list", _list, "list users")
    _verb(verbs, "disable", _disable, "shut a user out at once, open sessions included").add_argument("name")
    _verb(verbs, "enable", _enable, "let a user that was shut out come in again").add_argument("name")
    other = _verb(verbs, "role", _role, "give a user another role and end open sessions")
    other.add_argument("name")
    other.add_argument("role", choices=ROLES)
    again = _verb(verbs, "passwd", _passwd, "give a user a new password and end open sessions")
    again.add_argument("name")
    _password(again)


def _verb(
    verbs: "argparse._SubParsersAction[Any]",
    name: str,
    run: Callable[[argparse.Namespace], Work],
    told: str,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=told, description=told.capitalize() + ".")
    add_settings(parser)
    parser.set_defaults(run=lambda arguments: _run(run, arguments))
    return parser


def _password(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")


def _run(plan: Callable[[argparse.Namespace], Work], arguments: argparse.Namespace) -> int:
    known = owner.read(arguments.settings)
    private_folder(known.data)
    try:
        work = plan(arguments)  # asks before the transaction: a running centre must not wait for somebody who types
        with closing(Database(known.state)) as database:
            upgrade(database.engine)
            with database.engine.connect() as connection, connection.begin():
                told = work(connection)
    except AccountError as error:
        print(f"pantau: {error}", file=sys.stderr)
        return 2
    for line in told:
        print(line)
    return 0


def _add(arguments: argparse.Namespace) -> Work:
    name, role, password = accounts.normal_name(arguments.name), arguments.role, _asked(arguments)

    def work(tx: Connection) -> list[str]:
        accounts.add(tx, name=name, password=password, role=role, at=_now(), by=owner.operator())
        return [f"user {name} made, role {role}"]

    return work


def _list(_arguments: argparse.Namespace) -> Work:
    def work(tx: Connection) -> list[str]:
        every = accounts.every(tx)
        return [f"{one.name:<24} {one.role:<10}{' disabled' if one.disabled else ''}".rstrip() for one in every]

    return work


def _disable(arguments: argparse.Namespace) -> Work:
    name = accounts.normal_name(arguments.name)

    def work(tx: Connection) -> list[str]:
        accounts.disable(tx, name=name, at=_now(), by=owner.operator())
        return [f"user {name} disabled, open sessions ended", *_left_alone(tx)]

    return work


def _enable(arguments: argparse.Namespace) -> Work:
    name = accounts.normal_name(arguments.name)

    def work(tx: Connection) -> list[str]:
        accounts.enable(tx, name=name, at=_now(), by=owner.operator())
        return [f"user {name} enabled"]

    return work


def _role(arguments: argparse.Namespace) -> Work:
    name, role = accounts.normal_name(arguments.name), arguments.role

    def work(tx: Connection) -> list[str]:
        accounts.set_role(tx, name=name, role=role, at=_now(), by=owner.operator())
        return [f"user {name} has role {role} now, open sessions ended", *_left_alone(tx)]

    return work


def _left_alone(tx: Connection) -> list[str]:
    return [] if accounts.admins(tx) else ["Note: nobody can log in as admin any more."]


def _passwd(arguments: argparse.Namespace) -> Work:
    name, password = accounts.normal_name(arguments.name), _asked(arguments)

    def work(tx: Connection) -> list[str]:
        accounts.set_password(tx, name=name, password=password, at=_now(), by=owner.operator())
        return [f"user {name} has a new password, open sessions ended"]

    return work


def _asked(arguments: argparse.Namespace) -> str:
    """Return the hash of the password that was typed or piped in."""
    if arguments.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = _typed("Password: ")
        if password != _typed("Once more: "):
            raise AccountError("the two passwords differ")
    return Passwords().make(password)


def _typed(prompt: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would show what is typed
            return getpass.getpass(prompt)
    except (EOFError, getpass.GetPassWarning) as error:
        raise AccountError(
            "there is no terminal to ask for the password: --password-stdin takes it from a pipe"
        ) from error


def _now() -> int:
    return time.time_ns() // 1_000_000
