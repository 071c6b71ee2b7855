"""``pantau backup`` and ``pantau restore``: the whole data folder, while the centre runs."""

import argparse
import asyncio
import sys
import time
from importlib.metadata import version
from pathlib import Path

from server import settings
from server.admin import backup, control_socket
from server.admin.backup import BackupFailed
from server.admin.control_socket import Answer, Ask
from server.cli.options import add_settings
from server.settings import Settings
from server.store import StoreUnavailable
from server.store.buckets import Buckets


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to ``pantau``."""
    save = commands.add_parser("backup", help="copy state and points, also while the centre runs")
    save.add_argument(
        "--to", required=True, type=Path, metavar="PATH", help="a new folder, or a new file that ends in .tar"
    )
    save.set_defaults(run=_backup)
    back = commands.add_parser("restore", help="bring a backup back into an empty data folder")
    back.add_argument("--from", dest="source", required=True, type=Path, metavar="PATH")
    back.set_defaults(run=_restore)
    for each in (save, back):
        add_settings(each)


def _backup(arguments: argparse.Namespace) -> int:
    known = settings.read(arguments.settings)
    to = arguments.to.absolute()
    answer = asyncio.run(_ask_or_make(known, known.buckets(), to, version("pantau")))
    if answer.error:
        print(f"pantau: {answer.error}", file=sys.stderr)
        return 1
    print(answer.done)
    return 0


async def _ask_or_make(known: Settings, buckets: Buckets, to: Path, us: str) -> Answer:
    try:
        answer = await control_socket.ask(known.data, Ask(backup=str(to)))
        if answer is not None:
            return answer
        made = await backup.make(buckets, known.state_url, to, at=time.time_ns() // 1_000_000, version=us)
    except (BackupFailed, StoreUnavailable) as error:
        return Answer(error=str(error))
    finally:
        await buckets.close()
    return Answer(done=control_socket.told(to, made))


def _restore(arguments: argparse.Namespace) -> int:
    known = settings.read(arguments.settings)
    try:
        manifest = backup.restore(arguments.source, known.data)
        series = asyncio.run(_count(known.buckets()))
    except (BackupFailed, StoreUnavailable, OSError) as error:
        print(f"pantau: {error}", file=sys.stderr)
        return 1
    print(f"{known.data}: {len(manifest.files)} files, {series} series, as it was at {_moment(manifest.at)}")
    for missing in manifest.missing:
        print(f"not in it: {missing}")
    return 0


async def _count(buckets: Buckets) -> int:
    """Open the stores that were brought back, which checks them, and count their series."""
    try:
        stores = [bucket.store for bucket in buckets]
        for store in stores:
            await store.open()
        return sum([one.series for store in stores for one in await store.cardinality()])
    finally:
        await buckets.close()


def _moment(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at / 1000))
