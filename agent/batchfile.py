"""The file of the spool: batches, quarantine and tally in SQLite (WAL). The one place that imports sqlite3."""

import contextlib
import sqlite3
from collections.abc import Collection, Generator, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

Order = Literal["ASC", "DESC"]

LAYOUT: Final = 1
_SPARE_PAGES: Final = 1000
_CORRUPT: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_TABLES: Final = """
    BEGIN IMMEDIATE;
    CREATE TABLE batch (id INTEGER PRIMARY KEY, made INTEGER NOT NULL, lines INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE TABLE quarantine (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, reason TEXT NOT NULL, line BLOB NOT NULL);
    CREATE TABLE tally (collected INTEGER, delivered INTEGER, dropped INTEGER, quarantined INTEGER, rejected INTEGER);
    INSERT INTO tally VALUES (0, 0, 0, 0, 0);
    PRAGMA user_version = 1;
    COMMIT;
"""
_ROWS: Final = {
    "ASC": "SELECT id, made, lines, body FROM batch ORDER BY id ASC",
    "DESC": "SELECT id, made, lines, body FROM batch ORDER BY id DESC",
}
_TYPES: Final = (int, int, int, bytes)
_OLDEST: Final = "SELECT id, made, lines, length(body) FROM batch ORDER BY id LIMIT 200"


class Tally(msgspec.Struct, frozen=True):
    """Where every collected line went; ``spooled`` ones still wait. Kept over restarts."""

    collected: int = 0
    delivered: int = 0
    dropped: int = 0
    quarantined: int = 0
    rejected: int = 0
    spooled: int = 0

    def add(self, **more: int) -> "Tally":
        """Return the sum of these counts and ``more``."""
        return msgspec.structs.replace(self, **{name: getattr(self, name) + count for name, count in more.items()})


class Batch(msgspec.Struct, frozen=True):
    """Lines that were kept together: ``made`` in ms since epoch, ``body`` their gzip'd text."""

    id: int
    made: int
    lines: int
    body: bytes


class Poison(msgspec.Struct, frozen=True):
    """A line that the centre refuses for what it is: when (ms since epoch), why, and the line."""

    at: int
    reason: str
    line: bytes


class Change(msgspec.Struct, frozen=True):
    """What one commit does: batches that go and come, lines for the quarantine, the counts; and the bounds to hold.

    Batches made before ``since`` or beyond ``limit`` bytes are dropped, oldest first, but none of ``spared``.
    """

    gone: Collection[int]
    come: Collection[Batch]
    poison: Sequence[Poison]
    tally: Tally
    since: int
    limit: int
    spared: Collection[int]
    durable: bool
    quarantine: int = 1000


class Unusable(Exception):
    """The file is corrupt, or no spool of this version."""


class OtherLayout(Unusable):
    """The file is whole, but of another version: ``layout`` is its own."""

    def __init__(self, layout: int) -> None:
        super().__init__(f"it has layout {layout}, this agent knows {LAYOUT}")
        self.layout = layout


class DiskRefuses(Exception):
    """The file cannot be read or written now: no space, read-only, no rights."""


class BatchFile:
    """One open file; ``tally`` is what it holds, ``last_id`` its highest batch, ``size`` the bytes in use.

    Building opens or makes it. Everything raises Unusable or DiskRefuses and nothing else because of the file.
    """

    def __init__(self, file: Path) -> None:
        with _translated():
            self._db = sqlite3.connect(file, timeout=5, isolation_level=None, check_same_thread=False)
        self._durable: bool | None = None
        self._page = 0
        self._spare = 0
        try:
            with _translated():
                self.tally, self.last_id = self._prepare()
                self.size = self._used()
        except BaseException:
            self._db.close()
            raise

    def rows(self, order: Order) -> Generator[Batch, None, None]:
        """Yield the batches by id; close the iterator when done with it."""
        with _translated(), contextlib.closing(self._db.execute(_ROWS[order])) as rows:
            for row in rows:
                if tuple(map(type, row)) != _TYPES:
                    raise Unusable(f"a batch of it has no {_TYPES}")
                yield Batch(*row)

    def quarantine(self) -> list[Poison]:
        """Return the lines in quarantine, oldest first."""
        with _translated():
            return [
                Poison(*row)
                for row in self._db.execute("SELECT at, reason, line FROM quarantine ORDER BY id").fetchall()
            ]

    def commit(self, change: Change) -> int:
        """Apply a change, all of it or nothing; return how many lines a bound made it drop."""
        with _translated():
            if change.durable is not self._durable:
                self._db.execute("PRAGMA synchronous = FULL" if change.durable else "PRAGMA synchronous = NORMAL")
                self._durable = change.durable
            try:
                self._db.execute("BEGIN IMMEDIATE")
                dropped = self._apply(change)
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.DatabaseError):
                    self._db.rollback()
                raise
            if self._spare > _SPARE_PAGES:
                self._db.executescript(
                    f"PRAGMA incremental_vacuum({_SPARE_PAGES})"
                )  # execute() would free one page only
        return dropped

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _prepare(self) -> tuple[Tally, int]:
        self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA journal_size_limit = 1000000")
        self._db.execute("PRAGMA wal_autocheckpoint = 250")
        self._db.execute("PRAGMA cache_size = -256")
        (self._page,) = self._db.execute("PRAGMA page_size").fetchone()
        (layout,) = self._db.execute("PRAGMA user_version").fetchone()
        if layout == 0:
            self._db.executescript(_TABLES)
        elif layout != LAYOUT:
            raise OtherLayout(layout)
        (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise Unusable(verdict)
        spooled, last = self._db.execute("SELECT COALESCE(SUM(lines), 0), COALESCE(MAX(id), 0) FROM batch").fetchone()
        row = self._db.execute("SELECT collected, delivered, dropped, quarantined, rejected FROM tally").fetchone()
        if row is None or any(type(count) is not int or count < 0 for count in (*row, spooled, last)):
            raise Unusable("its counts are damaged")
        _, delivered, dropped, quarantined, rejected = row
        collected = (
            delivered + dropped + quarantined + rejected + spooled
        )  # as it was kept, unless a count of lines was damaged
        return Tally(collected, delivered, dropped, quarantined, rejected, spooled), last

    def _apply(self, change: Change) -> int:
        self._db.executemany("DELETE FROM batch WHERE id = ?", ((number,) for number in change.gone))
        self._db.executemany(
            "INSERT OR REPLACE INTO batch VALUES (?, ?, ?, ?)",
            [(batch.id, batch.made, batch.lines, batch.body) for batch in change.come],
        )
        if change.poison:
            self._db.executemany(
                "INSERT INTO quarantine (at, reason, line) VALUES (?, ?, ?)",
                [(poison.at, poison.reason, poison.line) for poison in change.poison],
            )
            self._db.execute(
                "DELETE FROM quarantine WHERE id <= (SELECT MAX(id) FROM quarantine) - ?", (change.quarantine,)
            )
        dropped = self._trim(change)
        tally = change.tally
        self._db.execute(
            "UPDATE tally SET collected = ?, delivered = ?, dropped = ?, quarantined = ?, rejected = ?",
            (tally.collected, tally.delivered, tally.dropped + dropped, tally.quarantined, tally.rejected),
        )
        return dropped

    def _trim(self, change: Change) -> int:
        """Delete what breaks a bound, oldest first; return how many lines."""
        dropped = 0
        while True:
            self.size = self._used()
            over = self.size - change.limit
            victims = []
            for number, made, lines, size in self._db.execute(_OLDEST):
                if over <= 0 and made >= change.since:
                    break
                if number not in change.spared:
                    victims.append((number,))
                    dropped += lines
                    over -= size
            if not victims:
                return dropped
            self._db.executemany("DELETE FROM batch WHERE id = ?", victims)

    def _used(self) -> int:
        """Return the bytes in use, and keep in mind how many pages are spare."""
        (count,) = self._db.execute("PRAGMA page_count").fetchone()
        (self._spare,) = self._db.execute("PRAGMA freelist_count").fetchone()
        return (int(count) - int(self._spare)) * self._page


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT:
            raise Unusable(str(error)) from error
        raise DiskRefuses(str(error)) from error
