"""``pantau enrol``: one-time tokens for hosts that are to join, and the hosts that have joined."""

import argparse
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from sqlalchemy import Connection

from alerts.i18n.language import Language
from configs.units import Duration
from server.cli import owner
from server.cli.options import add_settings
from server.enrolment import invitations
from server.enrolment.invitations import Agent, EnrolmentError, Invitation
from server.settings import Settings
from server.state.database import Database
from server.state.folder import private_folder
from server.state.migrate import upgrade

Work = Callable[[Connection, int], list[str]]


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add ``pantau enrol`` to the command line."""
    parser = commands.add_parser("enrol", help="let hosts join: one-time tokens, and who has joined")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    new = _verb(verbs, "new", _new, "make a one-time token and print the command for the host; it is shown this once")
    new.add_argument("--hosts", type=int, default=1, metavar="N", help="how many hosts may join with it (default: 1)")
    new.add_argument(
        "--host", metavar="NAME", help="the only host that may join with it, also in the place of another machine"
    )
    new.add_argument(
        "--ttl", type=_duration, default=Duration(3600), metavar="TIME", help="how long it is good (default: 1h)"
    )
    _verb(verbs, "list", _list, "list one-time tokens that are good, and hosts that joined")
    ended = _verb(verbs, "revoke", _revoke, "end a host's token, or a one-time token by its number")
    ended.add_argument("which", metavar="HOST|#NUMBER")
    taken = _verb(
        verbs, "accept", _accept, "give a host's name to the other machine that was refused it (new hardware)"
    )
    taken.add_argument("host", metavar="HOST")
    taken.add_argument(
        "--from", dest="address", metavar="ADDRESS", help="only if the machine that was refused is at this address"
    )


def _verb(
    verbs: "argparse._SubParsersAction[Any]", name: str, plan: Callable[[argparse.Namespace, Settings], Work], told: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=told, description=told.capitalize() + ".")
    add_settings(parser)
    parser.set_defaults(run=lambda arguments: _run(plan, arguments))
    return parser


def _run(plan: Callable[[argparse.Namespace, Settings], Work], arguments: argparse.Namespace) -> int:
    known = owner.read(arguments.settings)
    private_folder(known.data)
    work = plan(arguments, known)
    try:
        with closing(Database(known.state)) as database:
            upgrade(database.engine)
            with database.engine.begin() as tx:
                told = work(tx, time.time_ns() // 1_000_000)
    except EnrolmentError as error:
        print(f"pantau: {error}", file=sys.stderr)
        return 2
    print("\n".join(told))
    return 0


def _new(arguments: argparse.Namespace, known: Settings) -> Work:
    host, port = known.listen
    url = known.site.public_url or f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def work(tx: Connection, now: int) -> list[str]:
        until = now + arguments.ttl.ms
        only: str | None = arguments.host
        token = invitations.invite(tx, hosts=arguments.hosts, until=until, by=owner.operator(), at=now, host=only)
        hosts = f"host {only}" if only else "1 host" if arguments.hosts == 1 else f"{arguments.hosts} hosts"
        named = f" --host {shlex.quote(only)}" if only else ""
        return [
            f"Good for {hosts} until {Language('en', known.site.zone).moment(until)}:",
            "",
            f"  pantau-agent join {url}{named}",
            "",
            "It asks for this one-time token, which stays out of command lines, where every user of a machine can read it:",
            "",
            f"  {token}",
        ]

    return work


def _list(_arguments: argparse.Namespace, known: Settings) -> Work:
    def work(tx: Connection, now: int) -> list[str]:
        language = Language("en", known.site.zone)
        open_ones = [_invitation(one, language) for one in invitations.invitations(tx, now)]
        return [*open_ones, *(_agent(one, language) for one in invitations.agents(tx))] or ["nobody has joined yet"]

    return work


def _revoke(arguments: argparse.Namespace, _known: Settings) -> Work:
    which: str = arguments.which

    def work(tx: Connection, now: int) -> list[str]:
        if which.startswith("#") and which[1:].isdigit():
            invitations.withdraw(tx, int(which[1:]), by=owner.operator(), at=now)
            return [f"one-time token {which} ended; hosts that joined with it stay"]
        invitations.revoke(tx, which, by=owner.operator(), at=now)
        return [f"the token of {which} ended; a running centre refuses it within 5 s"]

    return work


def _accept(arguments: argparse.Namespace, _known: Settings) -> Work:
    def work(tx: Connection, now: int) -> list[str]:
        agent = invitations.accept(tx, arguments.host, by=owner.operator(), at=now, address=arguments.address)
        return [
            f"{agent.host} is now the machine at {agent.claimed_from}; the former one is refused",
            "where it has no token yet: pantau-agent join, there, with a one-time token",
        ]

    return work


def _invitation(one: Invitation, language: Language) -> str:
    until = language.moment(one.expires_ms)
    left = f"for {one.host}" if one.host else f"{one.hosts_left} left"
    return f"#{one.id:<23} one-time token, {left}, until {until} (by {one.author})"


def _agent(one: Agent, language: Language) -> str:
    line = f"{one.host:<24} joined {language.moment(one.joined_ms)} from {one.address}"
    if one.claimed_ms is None:
        return line
    return f"{line}; another machine at {one.claimed_from} was refused, last {language.moment(one.claimed_ms)}"


def _duration(text: str) -> Duration:
    try:
        return Duration.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
