"""``pantau backup``: state and points, also while the centre runs, into a file or folder where the command's user stands."""

import argparse
import asyncio
import shlex
import signal
import sys
import time
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import configs
from server import settings
from server.admin.acting import Owner, acting, owner_for
from server.admin.backup import Pieces, copied
from server.admin.backup_file import dated, keep_newest, require_absent, save
from server.admin.control_socket import coming_backup
from server.admin.manifest import BackupFailed, Manifest
from server.cli.options import add_settings
from server.settings import Settings
from server.state.last_backup import LastBackup, last_backup, moment, remember

_UNITS: Final = ("pantau-backup.service", "pantau-backup.timer")
_SYSTEM: Final = Path("/etc/systemd/system")
FOLDER: Final = "/var/backups/pantau"  # that of the unit
KEEP: Final = 14


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to ``pantau``."""
    parser = commands.add_parser("backup", help="copy state and points, also while the centre runs")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--to", type=Path, metavar="PATH", help="a new file that ends in .tar, or a new folder")
    what.add_argument("--into", type=Path, metavar="DIR", help="a new file, named by the time, in a folder of backups")
    what.add_argument("--last", action="store_true", help="tell the last good backup; exit code 1 when there is none")
    what.add_argument("--schedule", action="store_true", help="print what makes a backup every night on this machine")
    parser.add_argument(
        "--keep",
        type=_count,
        metavar="N",
        help="with --into: then delete the oldest of that folder, so that N are left",
    )
    add_settings(parser)
    parser.set_defaults(run=_run)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, got {text!r}")
    return int(text)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.keep is not None and arguments.into is None:
        print("pantau: --keep goes with --into", file=sys.stderr)
        return 2
    if arguments.schedule:
        print(_schedule(Path(arguments.settings).absolute()))
        return 0
    known = settings.read(arguments.settings)
    if arguments.last:
        return _last(known.data)
    # ended by its supervisor it leaves nothing half done either
    before = signal.signal(signal.SIGTERM, _ended)
    try:
        return _backup(known, arguments.to, arguments.into, arguments.keep)
    except BackupFailed as error:
        print(f"pantau: {error}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)


def _ended(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _backup(known: Settings, to: Path | None, into: Path | None, keep: int | None) -> int:
    target = (to or dated(into or Path(), time.time())).absolute()
    require_absent(target)
    print(f"{target}: {_made(known, target).told()}")
    if into is not None and keep is not None:
        try:
            gone = keep_newest(into, keep)
        except OSError as error:
            raise BackupFailed(f"made, but cannot delete older ones: {error.filename}: {error.strerror}") from error
        if gone:
            print(f"deleted: {', '.join(path.name for path in gone)}")
    return 0


def _made(known: Settings, to: Path) -> Manifest:
    with coming_backup(known.data) as coming:
        if coming is not None:
            manifest = save(coming, to)
            coming.kept(to)
            return manifest
    if not known.data.is_dir():
        raise BackupFailed(f"{known.data} is not there: nothing to back up")
    return asyncio.run(_made_here(known, to, owner_for(known.data), version("pantau")))


async def _made_here(known: Settings, to: Path, owner: Owner, us: str) -> Manifest:
    """Make it without a centre: the copy with the rights of whom the data belongs to, the target with our own."""
    at = time.time_ns() // 1_000_000
    buckets = known.buckets()
    async with AsyncExitStack() as stack:
        with acting(owner):
            try:
                copying = copied(buckets, known.state, known.data, at=at, version=us)
                pieces = await stack.enter_async_context(copying)
            finally:
                await buckets.close()
        manifest = await asyncio.to_thread(save, Pieces(pieces), to)
    with acting(owner):
        await asyncio.to_thread(remember, known.data, LastBackup(at, str(to), manifest.size))
    return manifest


def _last(data: Path) -> int:
    last = last_backup(data)
    if last is None:
        print(f"pantau: no backup of {data} is known", file=sys.stderr)
        return 1
    hours = max(0, time.time() - last.at / 1000) / 3600
    print(f"{last.to}: as it was at {moment(last.at)}, {hours:.1f} hours ago, {last.size / 1e6:.1f} MB")
    return 0


def _schedule(file: Path) -> str:
    """Return what to type: the timer's where systemd runs, else a line of a crontab."""
    if not Path("/run/systemd/system").is_dir():
        program = shlex.quote(str(Path(sys.argv[0]).absolute()))
        line = f"17 2 * * * {program} backup --settings {shlex.quote(str(file))} --into {FOLDER} --keep {KEEP}"
        return f"# systemd does not run here; add this line by: crontab -e (as root)\n{line}"
    source = Path(configs.__path__[0]) / "systemd"
    installed = all(
        any((folder / unit).exists() for folder in (_SYSTEM, Path("/lib/systemd/system"))) for unit in _UNITS
    )
    copy = [f"install -m 644 {' '.join(str(source / unit) for unit in _UNITS)} {_SYSTEM}", "systemctl daemon-reload"]
    return "\n".join(
        [
            f"# every night, {KEEP} are kept in {FOLDER}; other figures: systemctl edit pantau-backup.service",
            *([] if installed else copy),
            "systemctl enable --now pantau-backup.timer",
            "systemctl start pantau-backup.service     # the first one now",
        ]
    )
