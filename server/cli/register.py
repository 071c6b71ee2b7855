"""``pantau register add``: services and agencies from a list that an office keeps, into the register."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from configs.read import SettingsError, Source
from server import settings
from server.cli.options import add_settings
from server.inventory import register
from server.inventory.listed import Found, ListError, as_tables, read_list


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add ``pantau register`` to the command line."""
    parser = commands.add_parser("register", help="agencies and services: add those of a list")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    told = "add the services of a CSV list to the register, with their agencies; what is there already stays as it is"
    more = verbs.add_parser(
        "add", help=told, description=f"{told[0].upper()}{told[1:]}. Without --yes it only shows the tables."
    )
    more.add_argument("list", type=Path, metavar="LIST.csv", help="columns: nama, opd, url, kritikalitas, dampak, id")
    more.add_argument("--yes", action="store_true", help="write them to the end of the register")
    add_settings(more)
    more.set_defaults(run=_add)


def _add(arguments: argparse.Namespace) -> int:
    file = settings.register_file(arguments.settings)
    source = Source.read(file)
    try:
        found = read_list(arguments.list.read_bytes(), register.read(source))
    except ListError as error:
        raise SettingsError("\n".join(f"{arguments.list.name}: {line}" for line in str(error).splitlines())) from error
    tables = as_tables(found)
    if not arguments.yes:
        print(tables, end="")
    if found.services and arguments.yes:
        _append(file, tables)
    print(_told(found, file, written=arguments.yes), file=sys.stdout if arguments.yes else sys.stderr)
    return 0


def _told(found: Found, file: Path, *, written: bool) -> str:
    there = f"; already there: {', '.join(found.known)}" if found.known else ""
    if not found.services:
        return f"{file}: nothing new in the list{there}"
    what = f"{len(found.services)} services and {len(found.agencies)} agencies"
    return f"{file}: {what} added{there}" if written else f"{what} would be added to {file}{there}; with --yes they are"


def _append(file: Path, tables: str) -> None:
    """Put tables to the end of the register at once, or leave it as it was; SettingsError when it could not be read then."""
    text = file.read_text(encoding="utf-8")
    whole = f"{text.rstrip()}\n\n{tables}" if text.strip() else tables
    register.read(Source(whole, file))
    part = file.with_name(f"{file.name}.part")
    part.write_text(whole, encoding="utf-8")
    kept = file.stat()
    part.chmod(kept.st_mode & 0o7777)
    if os.geteuid() == 0:
        os.chown(part, kept.st_uid, kept.st_gid)
    part.replace(file)
