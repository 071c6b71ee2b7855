"""One centre on one folder and on one database: a second would tell every incident twice."""

import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from alerts.tables import StateAway

_KEY: Final = 0x50616E746175  # "Pantau": the advisory lock of the one centre, in each database one
_HOLDER: Final = """
    SELECT a.pid, a.application_name, host(a.client_addr), to_char(a.backend_start, 'YYYY-MM-DD HH24:MI TZ')
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (l.classid::bigint << 32) + l.objid::bigint = %s
"""
_TRIES: Final = 10  # to take over from a connection of ours that the server has not given up yet
# how soon the server notices that the machine of a centre is gone, and lets go of its lock: some 30 s instead of two hours
_NOTICED: Final = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4",
    "tcp_user_timeout": "30000",
}


class Occupied(Exception):
    """Another centre runs on this folder or database; the message says which."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder until the block ends or the process dies; Occupied when another process holds it."""
    with (folder / "centre.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Occupied(f"another centre runs on {folder}") from error
        yield


class Duty:
    """The duty of the one centre on a database of PostgreSQL: a lock that each connection which writes takes before anything else.

    The server lets go of it when that connection ends, however it ends, so who writes has it: there is nothing to renew or check.
    """

    def __init__(self) -> None:
        # by its token we know a connection of our own that broke here and that the server still believes in
        self._name = f"pantau {socket.gethostname()[:24]} pid {os.getpid()} {secrets.token_hex(4)}"

    def take(self, connection: Any, _record: object) -> None:
        """Acquire the duty for a new connection (of psycopg), SQLAlchemy's ``connect``; Occupied when another process has it."""
        from psycopg import OperationalError  # noqa: PLC0415 - only who keeps state in PostgreSQL has it

        try:
            self._take(connection)
        except OperationalError as error:
            connection.close()
            raise StateAway(" ".join(str(error).split())) from error
        except Occupied:
            connection.close()
            raise

    def _take(self, connection: Any) -> None:
        with connection.cursor() as cursor:
            for name, value in {"application_name": self._name, **_NOTICED}.items():
                cursor.execute("SELECT set_config(%s, %s, false)", [name, value])
            for _ in range(_TRIES):
                if cursor.execute("SELECT pg_try_advisory_lock(%s)", [_KEY]).fetchone()[0]:
                    connection.commit()
                    return
                holder = cursor.execute(_HOLDER, [_KEY]).fetchone()
                if holder is not None and holder[1] != self._name:
                    raise Occupied(_words(*holder))
                if holder is not None:
                    cursor.execute("SELECT pg_terminate_backend(%s)", [holder[0]])
                cursor.execute("SELECT pg_sleep(0.2)")
        raise Occupied("another centre runs on this database")


def _words(_backend: int, name: str | None, address: str | None, since: str | None) -> str:
    _, host, _, pid, *_ = [*(name or "").split(), "", "", "", "", ""]
    who = f"on {host}, process {pid}" if name and name.startswith("pantau ") else f"as {name!r}"
    return f"another centre runs on this database: {who}, from {address or 'the same machine'}, since {since}"
