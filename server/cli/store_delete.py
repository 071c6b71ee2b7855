"""``pantau store delete``: takes points out of a bucket, through the centre where one runs; without ``--yes`` it only shows which."""

import argparse
import asyncio
import datetime as dt
import sys
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from alerts.i18n.catalogue import CODES
from server.admin import control_socket
from server.admin.control_socket import Answer, Ask, Points
from server.cli import owner
from server.cli.options import add_settings
from server.cli.report import moment
from server.cli.store_words import tell
from server.settings import Settings
from server.store import Deletion, Found
from server.store.buckets import Buckets

_MS = 1_000_000


def add(verbs: "argparse._SubParsersAction[Any]") -> None:
    """Add the verb to ``pantau store``."""
    told = "delete points of a measurement: of all its series or of some, of all times or a stretch"
    parser = verbs.add_parser(
        "delete", help=told, description=f"{told.capitalize()}. Without --yes it only shows what would go."
    )
    parser.add_argument("measurement", metavar="MEASUREMENT")
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        type=_tag,
        metavar="NAME=VALUE",
        help="only series with this tag; may be repeated",
    )
    parser.add_argument("--from", dest="start", metavar="MOMENT", help="from then on, e.g. 2026-11-28T22:00")
    parser.add_argument("--to", dest="end", metavar="MOMENT", help="before then")
    parser.add_argument("--bucket", metavar="NAME", help="in this bucket (default: the first)")
    parser.add_argument("--yes", action="store_true", help="delete; there is no way back but a backup")
    add_settings(parser)
    parser.add_argument("--lang", choices=CODES, help="Indonesian or English (default: as in the settings)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show what would be deleted, or delete it; 1 when the store cannot, 2 when the question makes no sense."""
    known = owner.read(arguments.settings)
    buckets = known.buckets()
    bucket = buckets.only(arguments.bucket)[0].name if arguments.bucket else next(iter(buckets)).name
    try:
        deletion = _deletion(arguments, known.site.zone)
    except ValueError as error:
        print(f"pantau: {error}", file=sys.stderr)
        return 2
    answer = asyncio.run(_ask_or_do(known, buckets, Points(bucket, deletion, arguments.yes)))
    if answer.error or answer.found is None:
        print(f"pantau: {answer.error}", file=sys.stderr)
        return 1
    _print(answer.found, bucket, deletion, known, arguments)
    return 0


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return name, value


def _deletion(arguments: argparse.Namespace, zone: str) -> Deletion:
    everything = Deletion(arguments.measurement)
    start = everything.start if arguments.start is None else moment(arguments.start, zone) * _MS
    end = everything.end if arguments.end is None else moment(arguments.end, zone) * _MS
    if start >= end:
        raise ValueError(f"--from {arguments.start} is not before --to {arguments.end}")
    return Deletion(arguments.measurement, dict(arguments.tag), start, end)


async def _ask_or_do(known: Settings, buckets: Buckets, points: Points) -> Answer:
    answer = await control_socket.ask(known.data, Ask(points=points))
    if answer is not None:
        return answer
    try:
        return await control_socket.take(buckets, points)
    finally:
        await buckets.close()


def _print(found: Found, bucket: str, deletion: Deletion, known: Settings, arguments: argparse.Namespace) -> None:
    language = arguments.lang or known.site.language

    def say(level: str, text: str, **values: str | int) -> None:
        print(tell(level, text, values, language))

    if not found.values:
        say("note", "delete_nothing", bucket=bucket, measurement=deletion.measurement)
        return
    bounds = {"oldest": _moment(found.oldest, known.site.zone), "newest": _moment(found.newest, known.site.zone)}
    say(
        "note",
        "delete_found",
        bucket=bucket,
        measurement=deletion.measurement,
        values=found.values,
        series=found.series,
        **bounds,
    )
    for tags in found.examples:
        print(f"    {_tags(tags)}")
    if found.series > len(found.examples):
        say("note", "delete_more", count=found.series - len(found.examples))
    say(*(("done", "deleted") if arguments.yes else ("note", "delete_dry")))


def _moment(time: int, zone: str) -> str:
    """Return a moment in the form that ``--from`` takes."""
    return f"{dt.datetime.fromtimestamp(time // 10**9, ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}"


def _tags(tags: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in tags.items()) or "-"
