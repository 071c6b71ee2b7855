"""Writes that wait on disk for a database that is away: batches of line protocol in SQLite, in the order of writing.

For one thread at a time. Every call may raise ``Refused`` when the disk does not take or give them.
"""

import sqlite3
import zlib
from collections.abc import Sequence
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path
from typing import Any, Final, NamedTuple

from collectors.lineprotocol import encode
from collectors.linereader import decode
from collectors.point import Point

_SCHEMA: Final = """
    PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA auto_vacuum=INCREMENTAL;
    CREATE TABLE IF NOT EXISTS batch (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, oldest INTEGER NOT NULL, points INTEGER NOT NULL, body BLOB NOT NULL);
"""

_TOGETHER: Final = 500  # writes that are read at once
_FULL: Final = frozenset({ENOSPC, EDQUOT, EFBIG})


class Refused(Exception):
    """The disk does not take or give what waits; why, in one line, and whether it is full."""

    def __init__(self, why: str, *, full: bool = False) -> None:
        super().__init__(why)
        self.full = full


class Batch(NamedTuple):
    """One write: its number, when it came (ms), its points."""

    id: int
    at: int
    points: Sequence[Point]


class Summary(NamedTuple):
    """What waits: batches, points, bytes, when the oldest came (ms), and the oldest time of a point (ns); 0 when none waits."""

    batches: int = 0
    points: int = 0
    size: int = 0
    since: int = 0
    oldest: int = 0


class Waiting:
    """Batches in ``file``, of no more than ``pages`` of SQLite where that is given; it is made when it is first needed."""

    def __init__(self, file: Path, pages: int | None = None) -> None:
        self._file = file
        self._pages = pages
        self._database: sqlite3.Connection | None = None

    def summary(self) -> Summary:
        """Return how much waits."""
        if self._database is None and not self._file.exists():
            return Summary()
        question = "SELECT count(*), total(points), total(length(body)), coalesce(min(at), 0), coalesce(min(oldest), 0) FROM batch"
        return Summary(*map(int, self._run(question)[0]))

    def add(self, points: Sequence[Point], at: int) -> None:
        """Put a write at the end; on disk when this returns."""
        body = zlib.compress(encode(points, unsigned=True), 1)
        row = (at, min(point.time for point in points), len(points), body)
        self._run("INSERT INTO batch (at, oldest, points, body) VALUES (?, ?, ?, ?)", *row)

    def first(self, points: int) -> list[Batch]:
        """Return the oldest writes, in their order: one at least, and no more than have so many points together."""
        question = """
            SELECT id, at, body FROM (SELECT *, sum(points) OVER (ORDER BY id) AS sum FROM (SELECT * FROM batch ORDER BY id LIMIT ?))
            WHERE sum <= ? OR sum = points ORDER BY id"""
        rows = self._run(question, _TOGETHER, points)
        return [Batch(number, at, decode(zlib.decompress(body), now=0).points) for number, at, body in rows]

    def remove(self, until: int) -> None:
        """Forget writes up to a number."""
        self._run("DELETE FROM batch WHERE id <= ?", until)
        self._run("PRAGMA incremental_vacuum")

    def expire(self, before: int) -> int:
        """Forget writes that came before a moment (ms); return how many points that were."""
        lost = int(self._run("SELECT total(points) FROM batch WHERE at < ?", before)[0][0])
        if lost:
            self._run("DELETE FROM batch WHERE at < ?", before)
        return lost

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            if self._database is None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                # the thread changes over the years of a store, but there is only one at a time
                self._database = sqlite3.connect(self._file, check_same_thread=False, isolation_level=None)
                self._database.executescript(_SCHEMA)
                if self._pages:
                    self._database.execute(f"PRAGMA max_page_count={self._pages}")
            return self._database.execute(statement, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            full = (
                getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) in _FULL
            )
            raise Refused(f"{self._file}: {error}", full=full) from error
