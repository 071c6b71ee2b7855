"""``pantau restore``: a backup back into an empty data folder; ``--drill``: only to see that it could be."""

import argparse
import asyncio
import sys
from functools import partial
from pathlib import Path

from configs.read import SettingsError
from server import settings
from server.admin.acting import acting, owner_for
from server.admin.manifest import BackupFailed
from server.admin.restore import restore
from server.admin.state_copy import copy_in
from server.cli.drill import drill
from server.cli.options import add_settings
from server.state.damage import StateDamaged
from server.state.last_backup import moment
from server.store import StoreUnavailable
from server.store.buckets import Buckets


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to ``pantau``."""
    parser = commands.add_parser("restore", help="bring a backup back into an empty data folder")
    parser.add_argument(
        "--from", dest="source", required=True, type=Path, metavar="PATH", help="the backup: a .tar file, or a folder"
    )
    parser.add_argument(
        "--owner",
        metavar="USER",
        help="as root: whose it is to be; default: who owns the data folder, else the folder around it, else the user pantau",
    )
    parser.add_argument(
        "--drill", action="store_true", help="bring it back into a folder that goes again, and count what is in it"
    )
    parser.add_argument(
        "--in", dest="place", type=Path, metavar="DIR", help="with --drill: where; default: $TMPDIR, else /tmp"
    )
    add_settings(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    known = settings.read(arguments.settings)
    try:
        if arguments.drill:
            drill(arguments.source, known, arguments.place, tell=print)
        else:
            _restore(arguments.source, known, arguments.owner)
    except (BackupFailed, SettingsError, StoreUnavailable, StateDamaged, OSError) as error:
        print(f"pantau: {error}", file=sys.stderr)
        return 1
    return 0


def _restore(source: Path, known: settings.Settings, named: str | None) -> None:
    owner = owner_for(known.data, named)
    elsewhere = partial(copy_in, state=known.state) if known.state.file is None else None
    manifest = restore(source, known.data, owner, take_state=elsewhere)
    with acting(owner):
        series = asyncio.run(_count(known.buckets()))
    when = moment(manifest.at)
    print(f"{known.data}: {len(manifest.files)} files, {series} series, as it was at {when}; belongs to {owner.name}")
    for missing in manifest.missing:
        print(f"not in it: {missing}")


async def _count(buckets: Buckets) -> int:
    """Open the stores that were brought back, which checks them, and count their series."""
    try:
        stores = [bucket.store for bucket in buckets]
        for store in stores:
            await store.open()
        return sum([one.series for store in stores for one in await store.cardinality()])
    finally:
        await buckets.close()
