"""``pantau maintenance``: plan work, list it, call it off."""

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import closing
from typing import Final, TypeVar

from sqlalchemy import Connection

from alerts import audit
from alerts.i18n.language import Language
from server.cli import owner
from server.cli.options import add_settings
from server.cli.report import moment
from server.ledger import maintenance
from server.ledger.maintenance import Work
from server.settings import Settings
from server.state.database import Database
from server.state.folder import private_folder
from server.state.migrate import upgrade

T = TypeVar("T")
_ALWAYS: Final = 1 << 53


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to ``pantau``."""
    parser = commands.add_parser("maintenance", help="planned work: add, list, cancel")
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    plan = actions.add_parser("add", help="plan work; it counts as maintenance only when added before it starts")
    plan.add_argument("service", metavar="SERVICE", help="id of the service")
    plan.add_argument("--from", dest="start", required=True, metavar="MOMENT", help="e.g. 2026-11-28T22:00")
    plan.add_argument("--to", dest="end", required=True, metavar="MOMENT")
    plan.add_argument("--reason", required=True)
    plan.add_argument("--author", required=True, help="who proposes it")
    plan.add_argument("--approver", required=True, help="who approves it")
    plan.set_defaults(run=_add)

    show = actions.add_parser("list", help="list planned work, the coming and the past")
    show.add_argument("--service", metavar="ID")
    show.set_defaults(run=_list)

    stop = actions.add_parser("cancel", help="call planned work off; what has passed of it stays counted")
    stop.add_argument("id", type=int, metavar="NUMBER")
    stop.add_argument("--by", required=True, help="who calls it off")
    stop.set_defaults(run=_cancel)

    for each in (plan, show, stop):
        add_settings(each)


def _add(arguments: argparse.Namespace) -> int:
    known = owner.read(arguments.settings)
    now = _now()
    if arguments.service not in known.watched.register.services:
        names = ", ".join(known.watched.register.services) or "none"
        return _fail(f"unknown service {arguments.service!r}; known: {names}")
    subject = known.watched.register.services[arguments.service].subject

    def plan(tx: Connection) -> Work:
        work = maintenance.add(
            tx,
            subject=subject,
            start=moment(arguments.start, known.site.zone),
            end=moment(arguments.end, known.site.zone),
            reason=arguments.reason,
            author=arguments.author,
            approver=arguments.approver,
            now=now,
        )
        audit.note(
            tx, at=now, actor=work.author, action="maintenance.add", subject=subject, detail={"maintenance": work.id}
        )
        return work

    try:
        work = _run(known, plan)
    except ValueError as error:
        return _fail(str(error))
    print(_line(work, known))
    if work.approved >= work.start:
        print("Note: it was approved after its start, so availability reports do not count it.", file=sys.stderr)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    known = owner.read(arguments.settings)
    subjects = None if arguments.service is None else [f"service/{arguments.service}"]
    for work in _run(known, lambda tx: maintenance.within(tx, 0, _ALWAYS, subjects)):
        print(_line(work, known))
    return 0


def _cancel(arguments: argparse.Namespace) -> int:
    known = owner.read(arguments.settings)
    now = _now()

    def stop(tx: Connection) -> Work:
        work = maintenance.cancel(tx, arguments.id, now=now)
        detail = {"maintenance": work.id}
        audit.note(tx, at=now, actor=arguments.by, action="maintenance.cancel", subject=work.subject, detail=detail)
        return work

    try:
        print(_line(_run(known, stop), known))
    except (LookupError, ValueError) as error:
        return _fail(str(error))
    return 0


def _line(work: Work, known: Settings) -> str:
    language = Language("en", known.site.zone)
    start, end = language.moment(work.start), language.moment(work.end)
    state = "" if work.cancelled is None else f" [cancelled {language.moment(work.cancelled)}]"
    return f"{work.id}  {work.subject}  {start} to {end}  {work.reason} ({work.author}, approved by {work.approver}){state}"


def _run(known: Settings, work: Callable[[Connection], T]) -> T:
    private_folder(known.data)
    with closing(Database(known.state)) as database:
        upgrade(database.engine)
        with database.engine.begin() as tx:
            return work(tx)


def _now() -> int:
    return time.time_ns() // 1_000_000


def _fail(message: str) -> int:
    print(f"pantau maintenance: {message}", file=sys.stderr)
    return 2
