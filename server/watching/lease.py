"""The lease of a centre in the store: two centres with a state of their own each must not write into one database of points.

The embedded store is one process's anyway, and one database of state has a lock (``server.state.alone``); this is for an InfluxDB that
two centres share by mistake, e.g. a copied settings file.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from collectors.point import Point
from server.store import Latest, Store, StoreUnavailable

MEASUREMENT: Final = "pantau_centre"
RENEW: Final = 15.0  # seconds between renewals
_LASTS: Final = 45_000  # ms that a lease speaks for its centre
_FILE: Final = "centre.id"
_log: Final = logging.getLogger("pantau.server")


class Lease:
    """This centre's lease, if its store is an InfluxDB: ``renew`` it again and again, ``end`` it at a clean stop.

    ``clock`` is ms since epoch. ``lost`` is called once, with words for the log, when another centre has had the store for longer:
    this one is to end.
    """

    def __init__(self, store: Store, data: Path, clock: Callable[[], int], lost: Callable[[str], None]) -> None:
        self._store = store
        self._file = data / _FILE
        self._clock = clock
        self._lost = lost
        self._since = clock()
        self._id, self._host = "", socket.gethostname()
        self._held = False
        self._over = False

    async def renew(self) -> None:
        """Look for another centre, and say that we are here; while the store is away there is nothing to say."""
        if self._over or self._store.newest() is not None:  # then it is no server, which others could write to as well
            return
        now = self._clock()
        try:
            if not self._id:
                self._id = await asyncio.to_thread(_own_id, self._file)
            leases = await self._store.latest(MEASUREMENT, ["since"], since=(now - _LASTS) * 1_000_000)
            self._end_before(next(filter(self._is_older, leases), None))
            if not self._over:
                await self._write(self._since)
        except StoreUnavailable:
            return

    async def end(self) -> None:
        """Let another centre begin at once."""
        if self._held and not self._over:
            try:
                await self._write(0)
            except StoreUnavailable:
                return

    def _end_before(self, other: Latest | None) -> None:
        if other is not None:
            self._over = True
            host = other.tags.get("host", "")
            words = f"another centre writes into this store: on {host}, last heard less than {_LASTS // 1000} s ago"
            _log.error("%s; this one ends", words)
            self._lost(words)

    def _is_older(self, lease: Latest) -> bool:
        """Return whether a lease is that of another centre that began before us; one that ended has no beginning."""
        since, name = lease.fields.get("since"), (lease.tags.get("centre", ""), lease.tags.get("host", ""))
        if not isinstance(since, int) or not since or name == (self._id, self._host):
            return False
        return (since, name) < (self._since, (self._id, self._host))

    async def _write(self, since: int) -> None:
        tags = {"centre": self._id, "host": self._host}
        await self._store.write([Point(MEASUREMENT, tags, {"since": since}, self._clock() * 1_000_000)])
        self._held = True


def _own_id(file: Path) -> str:
    """Return what the centre on this data folder is called, for good."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        name = secrets.token_hex(8)
        file.write_text(f"{name}\n", encoding="utf-8")
        return name
