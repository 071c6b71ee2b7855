"""``pantau store``: makes an InfluxDB ready, says what works of it, moves the points of the embedded store into it, deletes points."""

import argparse
import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any, Final

from alerts.i18n.catalogue import CODES, LanguageCode
from configs.units import Duration
from server.cli import owner, store_copy, store_delete
from server.cli.options import add_settings
from server.cli.store_words import speaking, tell
from server.settings import Settings
from server.store import Store, StoreUnavailable
from server.store.buckets import Bucket
from server.store.influx.setup import Setup, Step
from server.store.spooled import SpooledInflux

_PATIENCE: Final = 5.0
_IN_USE: Final = "in use by another process"  # so an embedded store says it


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add ``pantau store`` to the command line."""
    parser = commands.add_parser("store", help="the database of points: make it ready, check it, move into it")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    init = _verb(
        verbs, "init", "make bucket or database, retention and roll-ups in the InfluxDB of [store]; says what it did"
    )
    init.add_argument("--change", action="store_true", help="shorten retention also where that deletes values")
    init.set_defaults(run=_init)
    _verb(
        verbs, "check", "say what works: reach, version, rights, writing and reading back, retention, roll-ups, clock"
    ).set_defaults(run=_check)
    copy = _verb(
        verbs, "copy", "copy the points of the embedded store into the InfluxDB of [store]; goes on after a stop"
    )
    copy.add_argument("--from", dest="source", required=True, choices=["embedded"])
    copy.add_argument("--to", dest="target", required=True, choices=["influx"])
    copy.add_argument("--again", action="store_true", help="from the beginning, whatever was copied before")
    copy.set_defaults(run=store_copy.run)
    store_delete.add(verbs)


def _verb(verbs: "argparse._SubParsersAction[Any]", name: str, told: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=told, description=f"{told[0].upper()}{told[1:]}.")
    add_settings(parser)
    parser.add_argument("--bucket", metavar="NAME", help="this bucket only (default: all)")
    parser.add_argument("--lang", choices=CODES, help="Indonesian or English (default: as in the settings)")
    return parser


def _init(arguments: argparse.Namespace) -> int:
    known = owner.read(arguments.settings)
    language = speaking(arguments.lang or known.site.language)

    async def embedded(_store: Store) -> Step:
        return Step("note", "embedded")

    buckets = known.buckets().only(arguments.bucket)
    return asyncio.run(_each(buckets, language, lambda setup: setup.init(change=arguments.change), embedded))


def _check(arguments: argparse.Namespace) -> int:
    known = owner.read(arguments.settings)
    language = speaking(arguments.lang or known.site.language)

    async def embedded(store: Store) -> Step:
        return await _look(known, store)

    buckets = known.buckets().only(arguments.bucket)
    return asyncio.run(_each(buckets, language, lambda setup: setup.check(socket.gethostname()), embedded))


async def _each(
    buckets: Sequence[Bucket],
    language: LanguageCode,
    influx: Callable[[Setup], AsyncIterator[Step]],
    embedded: Callable[[Store], Awaitable[Step]],
) -> int:
    """Do the work on each bucket and tell its steps; 1 when one of them is bad."""
    bad = False
    logging.getLogger("pantau.store").propagate = False  # the lines below say it better
    try:
        for bucket in buckets:
            if len(buckets) > 1:
                print(f"{bucket.name}:")
            if isinstance(bucket.store, SpooledInflux):
                setup = Setup(bucket.store.options, Duration(bucket.retention), time.time_ns)
                bad |= await _told(setup, influx(setup), language)
            else:
                bad |= _tell(await embedded(bucket.store), language)
    finally:
        logging.getLogger("pantau.store").propagate = True
    return int(bad)


async def _told(setup: Setup, steps: AsyncIterator[Step], language: LanguageCode) -> bool:
    bad = False
    try:
        async for step in steps:
            bad |= _tell(step, language)
    except StoreUnavailable as error:
        bad = _tell(Step("bad", "away", {"why": str(error)}), language)
    finally:
        await setup.close()
    return bad


def _tell(step: Step, language: LanguageCode) -> bool:
    print(tell(step.level, step.what, step.values, language), flush=True)
    return step.level == "bad"


async def _look(known: Settings, store: Store) -> Step:
    """Open an embedded store, which a running centre has open already."""
    try:
        await store.open()
        series = sum(one.series for one in await store.cardinality())
    except StoreUnavailable as error:
        if _IN_USE in str(error) and await asyncio.to_thread(_serves, *known.listen):
            return Step("well", "embedded_served")
        return Step("bad", "embedded_bad", {"why": str(error)})
    finally:
        await store.close()
    return Step("well", "embedded_well", {"series": series})


def _serves(host: str, port: int) -> bool:
    """Ask the centre that has the store open whether it works."""
    connection = HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
