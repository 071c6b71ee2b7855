"""Hosts that wrote: when each was last heard, by the centre's own clock; kept in memory, saved to the table ``host``."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, select, update

from alerts.tables import Database
from server.state.tables import host

_log: Final = logging.getLogger("pantau.ingest")
_NAME_MAX: Final = 255
_ADDRESS_MAX: Final = 64
_CLIENT_MAX: Final = 200


class Seen:
    """When each host last wrote. ``load`` once, ``note`` at each write, ``save`` every few seconds.

    The table has it on the wall clock, for people; how long a host is silent is counted in ``steady`` time, ms. Beyond ``most``
    hosts no more are taken: a client that makes up names must not fill the table.
    """

    def __init__(self, database: Database, steady: Callable[[], int], most: int = 20_000) -> None:
        self._database = database
        self._steady = steady
        self.most = most
        self._hosts: dict[str, dict[str, Any]] = {}
        self._heard: dict[str, int] = {}
        self._unsaved: set[str] = set()
        self._full = False

    async def load(self) -> None:
        """Read the table, so that a restart of the centre forgets nobody."""
        rows = await self._database.read(lambda tx: tx.execute(select(host)).mappings().all())
        self._hosts = {row["name"]: dict(row) for row in rows} | self._hosts
        now = self._steady()  # which began as the wall clock; what lies ahead was written before that was set back
        self._heard = {row["name"]: min(row["seen_ms"], now) for row in rows} | self._heard

    def last(self) -> dict[str, int]:
        """Return host -> when it last wrote, in ms of steady time."""
        return dict(self._heard)

    def strangers(self, hosts: Iterable[str]) -> set[str]:
        """Return those of the names that would be new; "" is no host."""
        return {name for name in hosts if name and len(name) <= _NAME_MAX and name not in self._hosts}

    def forget(self, name: str) -> None:
        """Hold a host no more, nor save it."""
        self._hosts.pop(name, None)
        self._heard.pop(name, None)
        self._unsaved.discard(name)

    def note(self, hosts: Mapping[str, int], *, at: int, address: str, client: str, joined: bool = False) -> None:
        """Record that these hosts wrote ``at`` (ms), and the time (ns) of the newest point of each; "" is no host.

        One that ``joined`` is always taken.
        """
        for name, time in hosts.items():
            if not name or len(name) > _NAME_MAX:
                continue
            newest = time // 1_000_000
            if name not in self._hosts and len(self._hosts) >= self.most and not joined:
                self._too_many(name, address)
                continue
            row = self._hosts.setdefault(name, {"name": name, "first_ms": at, "seen_ms": at, "point_ms": newest})
            row["seen_ms"] = at
            row["point_ms"] = max(newest, row["point_ms"])
            row["address"] = address[:_ADDRESS_MAX]
            # a header may hold bytes that are no text, which no database takes
            row["client"] = client[:_CLIENT_MAX].encode("utf-8", "replace").decode().replace("\0", "?")
            self._heard[name] = self._steady()
            self._unsaved.add(name)

    def _too_many(self, name: str, address: str) -> None:
        if not self._full:
            _log.warning("%d hosts are known, no more are taken: %r from %s", self.most, name, address)
        self._full = True

    async def save(self) -> None:
        """Write what changed to the table; what could not be written is written next time."""
        names, self._unsaved = self._unsaved & self._hosts.keys(), set()
        if not names:
            return
        rows = [dict(self._hosts[name]) for name in sorted(names)]
        try:
            await self._database.write(lambda tx: _save(tx, rows))
        except BaseException:
            self._unsaved |= names & self._hosts.keys()
            raise


def _save(tx: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    there = set(tx.execute(select(host.c.name)).scalars())
    if new := [row for row in rows if row["name"] not in there]:
        tx.execute(insert(host), new)
    if old := [{"key": row["name"], **row} for row in rows if row["name"] in there]:
        changes: dict[str, Any] = {
            column.name: bindparam(column.name) for column in host.c if column is not host.c.name
        }
        tx.execute(update(host).where(host.c.name == bindparam("key")).values(changes), old)
