"""A database of state that cannot be reached for now: which errors say so, and what is told of it, once when it begins and ends."""

import logging
import sqlite3
import threading
import time
from typing import Final

from sqlalchemy import ExceptionContext

from alerts.tables import StateAway

_log: Final = logging.getLogger("pantau.state")

# SQLSTATE classes of PostgreSQL: connection, resources (disk full, too many connections), operator (shutdown), system (I/O);
# and a server that only reads, as one that has become the standby does
_CLASSES: Final = {"08", "53", "57", "58"}
_ONLY_READS: Final = "25006"
_SQLITE: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY}
_PRIMARY: Final = 0xFF  # the part of a code that names the kind of error


def tell_away(context: ExceptionContext) -> None:
    """Raise StateAway for an error that waiting or an administrator mends; SQLAlchemy's ``handle_error``."""
    error = context.original_exception
    if context.is_pre_ping:
        return  # the pool makes a new connection, which says whether it is away
    if isinstance(error, sqlite3.Error):
        away = getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _SQLITE
    else:
        state = str(getattr(error, "sqlstate", None) or "")
        unconnected = context.connection is None and type(error).__name__ == "OperationalError"
        away = unconnected or context.is_disconnect or state[:2] in _CLASSES or state == _ONLY_READS
    if away:
        raise StateAway(" ".join(str(error).split())) from error


class Outage:
    """Since when a database is away; ``why`` is "" while it is there. Many threads may tell of it."""

    def __init__(self) -> None:
        self.why = ""
        self._since = 0.0
        self._lock = threading.Lock()

    def begin(self, why: str) -> None:
        """Note that it is away."""
        with self._lock:
            if not self.why:
                self._since = time.monotonic()
                _log.error("the database of state is away: %s; looks go on and are judged when it is back", why)
            self.why = why or "away"

    def end(self) -> None:
        """Note that it is there."""
        if not self.why:
            return
        with self._lock:
            if self.why:
                _log.warning("the database of state is back after %d s", time.monotonic() - self._since)
            self.why = ""
