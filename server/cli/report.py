"""``pantau report``: a period's availability report; ``pantau report compute``: the bare calculator for auditors."""

import argparse
import datetime as dt
import json
import sys
import time
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy.exc import DatabaseError

from alerts.i18n.catalogue import CODES, LanguageCode
from server import settings
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
        report = _build(known, start, end, now, arguments.service)
        _write(arguments, _text(report, known, arguments, now))
    except DatabaseError as error:
        return _fail(f"report: no ledger can be read in {known.data}: {error.orig}")
    except (OSError, ValueError) as error:
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
    with closing(Database(known.state_url)) as database:
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


def _write(arguments: argparse.Namespace, text: str) -> None:
    if arguments.output is None:
        sys.stdout.buffer.write(text.encode())
    else:
        arguments.output.write_bytes(text.encode())
