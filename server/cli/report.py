"""``pantau report``: a period's availability report; ``pantau report compute``: the bare calculator for auditors."""

import argparse
import datetime as dt
import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from zoneinfo import ZoneInfo

from sqlalchemy.exc import DatabaseError

from alerts.i18n.catalogue import CODES, LanguageCode
from alerts.tables import StateAway
from configs.read import SettingsError
from server import settings
from server.cli import owner
from server.cli.options import add_settings
from server.report import cases, render
from server.report.build import build, month
from server.report.model import Report
from server.settings import Settings
from server.state.database import Database


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to ``pantau``."""
    parser = commands.add_parser("report", help="availability report of a month, or of any period")
    parser.add_argument(
        "--month", metavar="YYYY-MM", help="the month to report on; the current one when nothing is given"
    )
    parser.add_argument("--from", dest="start", metavar="MOMENT", help="start of another period, e.g. 2026-11-25T08:00")
    parser.add_argument(
        "--to", dest="end", metavar="MOMENT", help="its end; without an offset the zone of the settings counts"
    )
    parser.add_argument("--service", metavar="ID", help="only this service")
    parser.add_argument("--format", choices=("html", "json", "csv"), default="html")
    parser.add_argument("--lang", choices=CODES, help="language of HTML and CSV; that of the settings by default")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write there instead of to standard output")
    add_settings(parser)
    parser.set_defaults(run=_report)
    compute = parser.add_subparsers(metavar="compute").add_parser(
        "compute", help="count timelines of a JSON file by the standard, exactly"
    )
    compute.add_argument("cases", metavar="CASES.json", help='list of cases; "-" reads standard input')
    compute.set_defaults(run=_compute)


def _compute(arguments: argparse.Namespace) -> int:
    try:
        figures = cases.compute(_read(arguments.cases))
    except OSError as error:
        return _fail(f"report compute: {arguments.cases}: {error.strerror}")
    except UnicodeDecodeError as error:
        return _fail(f"report compute: {arguments.cases}: not UTF-8 at byte {error.start}")
    except cases.BadCases as error:
        return _fail(f"report compute: {arguments.cases}: {error}")
    print(json.dumps(figures, indent=1))  # ASCII, so that any id can be printed on any terminal
    return 0


def _fail(message: str) -> int:
    print(f"pantau {message}", file=sys.stderr)
    return 2


def _read(name: str) -> str:
    return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")


def _report(arguments: argparse.Namespace) -> int:
    known = settings.read(arguments.settings)
    now = time.time_ns() // 1_000_000
    try:
        start, end = _period(arguments, known.site.zone, now)
        with _opened(arguments.output) as out:  # by who types, even if the owner of the data then asks it
            owner.become_owner(known, arguments.settings)
            report = _build(known, start, end, now, arguments.service)
            out.write(_text(report, known, arguments, now).encode())
    except SettingsError:
        raise
    except StateAway as error:
        if known.state.file is None or known.state.file.exists():
            raise
        return _fail(f"report: no ledger can be read in {known.data}: {error}")
    except DatabaseError as error:
        return _fail(f"report: no ledger can be read in {known.data}: {error.orig}")
    except ValueError as error:
        return _fail(f"report: {error}")
    return 0


def _period(arguments: argparse.Namespace, zone: str, now: int) -> tuple[int, int]:
    if arguments.start is None and arguments.end is None:
        today = dt.datetime.fromtimestamp(now // 1000, ZoneInfo(zone))
        return month(arguments.month or f"{today:%Y-%m}", zone)
    if arguments.month or arguments.start is None or arguments.end is None:
        raise ValueError("give either --month, or both --from and --to")
    return moment(arguments.start, zone), moment(arguments.end, zone)


def moment(text: str, zone: str) -> int:
    """Read a moment as people type it, in ``zone`` unless it has an offset; ms since the epoch. ValueError when it is none."""
    try:
        read = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"expected a moment such as 2026-11-25T08:00, got {text!r}") from error
    return round((read if read.tzinfo else read.replace(tzinfo=ZoneInfo(zone))).timestamp() * 1000)


def _build(known: Settings, start: int, end: int, now: int, service: str | None) -> Report:
    with closing(Database(known.state)) as database:
        reading = database.engine.connect().execution_options(writes=False)
        with reading as tx, tx.begin():
            return build(
                tx, known.watched.register, start=start, end=end, now=now, zone=known.site.zone, service=service
            )


def _text(report: Report, known: Settings, arguments: argparse.Namespace, now: int) -> str:
    lang: LanguageCode = arguments.lang or known.site.language
    if arguments.format == "json":
        return render.json(report)
    if arguments.format == "csv":
        return render.csv(report, lang)
    return render.html(report, lang, made=now, title=known.site.title)


@contextmanager
def _opened(file: Path | None) -> Iterator[BinaryIO]:
    """Open the output; a file keeps what it has until something else is written, and a new one goes when nothing is."""
    if file is None:
        yield sys.stdout.buffer
        return
    new = not file.exists()
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o666), "wb") as out:
        try:
            yield out
        except BaseException:
            if new:
                with suppress(OSError):  # in a folder of root, after we became somebody else
                    file.unlink()
            raise
        if stat.S_ISREG(os.fstat(out.fileno()).st_mode):
            out.truncate()
