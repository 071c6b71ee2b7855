"""A restore drill: a backup is brought back into a folder that goes again, and what is in it is counted."""

import asyncio
import datetime as dt
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DatabaseError

from alerts.tables import incident, outbox
from server.admin.acting import owner_for
from server.admin.manifest import STATE, BackupFailed, Manifest
from server.admin.restore import restore, size_of
from server.report import document
from server.report.build import build, month
from server.settings import Settings
from server.state.damage import require_sound
from server.state.database import Database
from server.state.last_backup import moment
from server.state.migrate import upgrade
from server.state.tables import enrolled, span, user
from server.store.buckets import STORE
from server.store.embedded.store import Embedded, Options

_COUNTED: Final = {
    "users": user,
    "incidents": incident,
    "rows of the ledger": span,
    "joined hosts": enrolled,
    "messages": outbox,
}


def drill(source: Path, settings: Settings, place: Path | None, *, tell: Callable[[str], None]) -> None:
    """Bring a backup back below ``place``, count what is in it, one line each to ``tell``, and remove it again.

    Nothing else is touched: a centre may run meanwhile. Raises BackupFailed, StateDamaged, StoreUnavailable or OSError that says
    why it cannot be brought back.
    """
    where = place or Path(tempfile.gettempdir())
    _require_room(source, where, tell)
    with tempfile.TemporaryDirectory(prefix="pantau-drill-", dir=where) as folder:
        data = Path(folder) / "data"
        # who owns the temporary folder: nobody else may get at it
        manifest = restore(source, data, owner_for(Path(folder)))
        tell(f"{source}: {manifest.told()}, as it was at {moment(manifest.at)}, every file as its digest says")
        if STATE in manifest.files:
            _look_at_state(data, settings, manifest, tell)
        for file in sorted((data / STORE).rglob("points.duckdb")):
            bucket = "the first" if file.parent == data / STORE else file.parent.name
            tell(f"series of bucket {bucket}: {asyncio.run(_series(file.parent))}")
    tell(f"{source} can be restored")


def _require_room(source: Path, where: Path, tell: Callable[[str], None]) -> None:
    try:
        needed, free = size_of(source), shutil.disk_usage(where).free
    except OSError as error:
        raise BackupFailed(f"cannot read {error.filename}: {error.strerror}") from error
    room = f"needs {needed / 1e6:.1f} MB in {where}, {free / 1e6:.1f} MB are free"
    if free < needed:
        raise BackupFailed(f"{room}: name another folder with --in")
    tell(room)


def _look_at_state(data: Path, settings: Settings, manifest: Manifest, tell: Callable[[str], None]) -> None:
    with closing(Database(f"sqlite:///{data / STATE}")) as database:
        try:
            require_sound(database.engine)
            upgrade(database.engine)
            with database.engine.connect().execution_options(writes=False) as tx, tx.begin():
                for name, table in _COUNTED.items():
                    tell(f"{name}: {tx.scalar(select(func.count()).select_from(table))}")
                name, digest = _report(tx, settings, manifest.at)
        except DatabaseError as error:
            raise BackupFailed(f"the state in it cannot be used: {error.orig}") from error
    tell(f"report of {name}: digest {digest}")


def _report(tx: Connection, settings: Settings, at: int) -> tuple[str, str]:
    """Return the last month that was over at a time (ms since epoch), and the digest of its report."""
    zone = settings.site.zone
    last = dt.datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).replace(day=1) - dt.timedelta(days=1)
    name = f"{last:%Y-%m}"
    start, end = month(name, zone)
    return name, document.digest(build(tx, settings.watched.register, start=start, end=end, now=at, zone=zone))


async def _series(folder: Path) -> int:
    store = Embedded(Options(), folder)
    try:
        await store.open()
        return sum(one.series for one in await store.cardinality())
    finally:
        await store.close()
