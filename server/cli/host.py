"""``pantau host``: the hosts that wrote or joined, and forgetting those that are gone."""

import argparse
import asyncio
import sys
from contextlib import closing
from typing import Any

from alerts.follow import Terms
from alerts.i18n.language import Language
from alerts.judge import Judge
from alerts.route import connect
from configs.clock import Clock
from server.admin import control_socket
from server.admin.control_socket import Answer, Ask
from server.admin.forget_host import forget_host
from server.cli import owner
from server.cli.options import add_settings
from server.inventory.known_hosts import HostError, KnownHost, known_hosts
from server.ledger.running_time import RunningTime
from server.ledger.writing import Ledger
from server.settings import Settings
from server.state.database import Database
from server.state.migrate import upgrade


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add ``pantau host`` to the command line."""
    parser = commands.add_parser("host", help="the hosts that wrote or joined: list, forget")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    show = verbs.add_parser("list", help="list every host that wrote or joined, and when it was last heard")
    show.set_defaults(run=_list)
    told = "forget hosts that are gone: off the list, their incidents closed; one that writes again is back"
    gone = verbs.add_parser("forget", help=told, description=f"{told.capitalize()}.")
    gone.add_argument("names", nargs="+", metavar="NAME")
    gone.set_defaults(run=_forget)
    for each in (show, gone):
        add_settings(each)


def _list(arguments: argparse.Namespace) -> int:
    known = owner.read(arguments.settings)
    with closing(_database(known)) as database, database.engine.connect() as connection:
        hosts = known_hosts(connection)
    language = Language("en", known.site.zone)
    print("\n".join(_line(host, language) for host in hosts.values()) or "no host has written or joined yet")
    return 0


def _line(host: KnownHost, language: Language) -> str:
    heard = "never wrote" if host.seen is None else f"last heard {language.moment(host.seen)}"
    whose = "token of its own" if host.joined else "shared token"
    return "  ".join([f"{host.name:<32}", heard, f"from {host.address or '?'}", whose, host.client]).rstrip()


def _forget(arguments: argparse.Namespace) -> int:
    known = owner.read(arguments.settings)
    answers = asyncio.run(_forget_all(known, arguments.names, owner.operator()))
    for answer in answers:
        print(answer.done or f"pantau: {answer.error}", file=sys.stdout if answer.done else sys.stderr)
    return 2 if any(answer.error for answer in answers) else 0


async def _forget_all(known: Settings, names: list[str], by: str) -> list[Answer]:
    """Ask the running centre, or do it where none runs."""
    answers = []
    for name in names:
        answer = await control_socket.ask(known.data, Ask(forget=name, by=by))
        answers.append(await _forget_here(known, name, by) if answer is None else answer)
    return answers


async def _forget_here(known: Settings, name: str, by: str) -> Answer:
    database = await asyncio.to_thread(_database, known)
    try:
        # what is owed for closed incidents goes to whoever was told of them, by the next centre that starts
        clock = Clock()
        terms = Terms(known.watched.policy, known.watched.about, connect((), (), ()))
        judge = Judge(database, terms, Ledger(RunningTime(database, clock.now, "")), clock)
        return Answer(done=await forget_host(database, judge, name, by=by, at=clock.now()))
    except HostError as error:
        return Answer(error=str(error))
    finally:
        await asyncio.to_thread(database.close)


def _database(known: Settings) -> Database:
    known.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(known.state)
    upgrade(database.engine)
    return database
