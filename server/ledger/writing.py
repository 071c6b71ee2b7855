"""The ledger written as looks come: the newest span of each (check, subject) is lengthened in memory, and rows follow in batches.

What memory alone cannot do (a confirmed change that corrects what was written, a clock that was set back) is done by
``record.record`` on the rows themselves, after the batch; until then all looks of that subject go the same way.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, text

from alerts.state import Seen, reach
from alerts.states import Key, placeholders
from server.ledger import record
from server.ledger.running_time import RunningTime
from server.state.tables import span

_log: Final = logging.getLogger("pantau.ledger")
_ODD: Final = 100_000  # looks that wait for the rows, while the database is away
_NEWEST: Final = text("""
    SELECT s.* FROM span s JOIN (
        SELECT check_id, subject, MAX(start_ms) AS start_ms FROM span GROUP BY check_id, subject
    ) newest ON s.check_id = newest.check_id AND s.subject = newest.subject AND s.start_ms = newest.start_ms
    ORDER BY s.id
""")
_INSERT: Final = ("check_id", "subject", "status", "reason", "start_ms", "last_ms", "end_ms", "counts", "looks")
_UPDATE: Final = (
    "UPDATE span SET last_ms = {0}, end_ms = {0}, looks = {0} WHERE check_id = {0} AND subject = {0} AND start_ms = {0}"
)
_DELETE: Final = "DELETE FROM span WHERE check_id = {0} AND subject = {0} AND start_ms = {0}"
# if a correction of it was written, and only the answer to that was lost, a later span is there, and says all
_LATER: Final = "SELECT 1 FROM span later WHERE later.check_id = {0} AND later.subject = {0} AND later.start_ms > {0}"
_UPDATE_NEWEST: Final = f"{_UPDATE} AND NOT EXISTS ({_LATER})"


class _Open:
    """The newest span of one (check, subject).

    ``stored``: its row is there; ``dirty``: it waits to be written; ``tried``: it was tried before, and its row may be there.
    """

    __slots__ = ("counts", "dirty", "end", "key", "last", "looks", "reason", "start", "status", "stored", "tried")

    def __init__(self, key: Key, status: str, reason: str, start: int, last: int, end: int, *, counts: bool) -> None:
        self.key, self.status, self.reason = key, status, reason
        self.start, self.last, self.end = start, last, end
        self.counts = counts
        self.looks = 1
        self.stored = self.dirty = self.tried = False

    def inserted(self) -> tuple[Any, ...]:
        return *self.key, self.status, self.reason, self.start, self.last, self.end, self.counts, self.looks

    def updated(self) -> tuple[Any, ...]:
        return self.last, self.end, self.looks, *self.key, self.start


class Drawn(NamedTuple):
    """What is to be written: spans with their rows as they were when it was drawn, then looks that need the rows themselves."""

    new: Sequence[tuple[_Open, tuple[Any, ...]]]
    longer: Sequence[tuple[_Open, tuple[Any, ...]]]
    odd: Sequence[Seen]


class Ledger:
    """Implements ``alerts.batch.Ledger``; ``running`` notes with each transaction that the centre lives.

    ``notice`` lets ``running`` know, before each transaction, of time that nobody lived through. At most ``odd`` looks wait for rows.
    """

    def __init__(self, running: RunningTime, notice: Callable[[], None] = lambda: None, *, odd: int = _ODD) -> None:
        self._running = running
        self._notice = notice
        self._limit = odd
        self._open: dict[Key, _Open] = {}
        self._dirty: list[_Open] = []
        self._odd: list[Seen] = []
        self._oddly: Counter[Key] = Counter()
        self._lost = 0

    def read(self, tx: Connection) -> Sequence[Row[Any]]:
        """Return the newest span of every (check, subject)."""
        return tx.execute(_NEWEST.columns(*span.columns)).all()

    def load(self, rows: Iterable[Row[Any]]) -> None:
        """Lengthen these spans from now on."""
        self._open = {(row.check_id, row.subject): _stored(row) for row in rows}

    def see(self, seen: Seen) -> None:
        """Note a look: lengthen the span it agrees with, or begin another one; see ``record.record``."""
        key = (seen.check, seen.subject)
        newest = self._open.get(key)
        if key in self._oddly or seen.since < seen.at or (newest is not None and seen.at < newest.start):
            self._wait(key, seen)
        elif newest is None:
            self._begin(key, seen)
        elif seen.at > newest.last:
            self._lengthen(newest, seen)

    def draw(self) -> Drawn:
        """Return what is to be written now."""
        self._notice()
        new, longer = [], []
        for opened in self._dirty:
            opened.dirty = False
            if opened.stored:
                longer.append((opened, opened.updated()))
            else:
                opened.stored = True
                new.append((opened, opened.inserted()))
        drawn = Drawn(new, longer, self._odd)
        self._dirty, self._odd = [], []
        return drawn

    def write(self, tx: Connection, drawn: Drawn, at: int) -> Mapping[Key, Row[Any] | None]:
        """Write it, and that the centre was alive ``at`` (ms); return the newest spans of those whose rows had to be mended."""
        mark = placeholders(tx.dialect.paramstyle, 1)
        new = [(opened, row) for opened, row in drawn.new if not (opened.tried and _has_later(tx, opened, mark))]
        if tried := [(*opened.key, opened.start) for opened, _ in new if opened.tried]:
            tx.exec_driver_sql(_DELETE.format(mark), tried)
        if tried := [(*row, *opened.key, opened.start) for opened, row in drawn.longer if opened.tried]:
            tx.exec_driver_sql(_UPDATE_NEWEST.format(mark), tried)
        if longer := [row for opened, row in drawn.longer if not opened.tried]:
            tx.exec_driver_sql(_UPDATE.format(mark), longer)
        if new:
            columns = f"({', '.join(_INSERT)}) VALUES ({placeholders(tx.dialect.paramstyle, len(_INSERT))})"
            tx.exec_driver_sql(f"INSERT INTO span {columns}", [row for _, row in new])
        for seen in drawn.odd:
            record.record(tx, seen)
        self._running.show_life(tx, at)
        return {(seen.check, seen.subject): record.newest(tx, seen.check, seen.subject) for seen in drawn.odd}

    def settle(self, drawn: Drawn, written: Mapping[Key, Row[Any] | None]) -> None:
        """Lengthen in memory again what was mended."""
        for opened, _ in (*drawn.new, *drawn.longer):
            opened.tried = False
        self._done(drawn.odd)
        for key, row in written.items():
            if key in self._oddly:
                continue  # more of it waits
            if row is None:
                self._open.pop(key, None)
            else:
                self._open[key] = _stored(row)

    def give_back(self, drawn: Drawn) -> None:
        """Write it with the next turn; the answer may be all that was lost."""
        for opened, _ in drawn.new:
            opened.stored = False
        for opened, _ in (*drawn.new, *drawn.longer):
            opened.tried = True
            self._touch(opened)
        self._odd = [*drawn.odd, *self._odd]

    def split(self, drawn: Drawn) -> list[Drawn]:
        """Return it by (check, subject)."""
        pieces: dict[Key, tuple[list[Any], list[Any], list[Any]]] = {}
        for position, entries in enumerate((drawn.new, drawn.longer)):
            for opened, row in entries:
                pieces.setdefault(opened.key, ([], [], []))[position].append((opened, row))
        for seen in drawn.odd:
            pieces.setdefault((seen.check, seen.subject), ([], [], []))[2].append(seen)
        return [Drawn(*piece) for piece in pieces.values()]

    def lose(self, drawn: Drawn) -> None:
        """Hold nothing of what cannot be written: the next look of its subject begins a new span."""
        self._done(drawn.odd)
        for opened, _ in (*drawn.new, *drawn.longer):
            if self._open.get(opened.key) is opened:
                del self._open[opened.key]

    def _begin(self, key: Key, seen: Seen) -> None:
        opened = _Open(
            key, seen.status.value, seen.reason.value, seen.at, seen.at, seen.at + seen.step, counts=seen.counts
        )
        self._open[key] = opened
        self._touch(opened)

    def _lengthen(self, opened: _Open, seen: Seen) -> None:
        speaks = max(opened.end, opened.last + reach(seen.step))
        if opened.status == seen.status.value and opened.counts == seen.counts and seen.at <= speaks:
            opened.last, opened.end = seen.at, max(seen.at + seen.step, opened.end)
            opened.looks += 1
            self._touch(opened)
            return
        if seen.at <= speaks:
            opened.end = seen.at
            self._touch(opened)
        self._begin(opened.key, seen)

    def _touch(self, opened: _Open) -> None:
        if not opened.dirty:
            opened.dirty = True
            self._dirty.append(opened)

    def _wait(self, key: Key, seen: Seen) -> None:
        self._odd.append(seen)
        self._oddly[key] += 1
        if len(self._odd) > self._limit:
            if not self._lost:
                _log.error("%d looks wait for the database of state; older ones go: unobserved", self._limit)
            self._lost += 1
            self._done([self._odd.pop(0)])

    def _done(self, looks: Iterable[Seen]) -> None:
        for seen in looks:
            key = (seen.check, seen.subject)
            self._oddly[key] -= 1
            if not self._oddly[key]:
                del self._oddly[key]


def _has_later(tx: Connection, opened: _Open, mark: str) -> bool:
    return tx.exec_driver_sql(_LATER.format(mark), (*opened.key, opened.start)).first() is not None


def _stored(row: Row[Any]) -> _Open:
    opened = _Open(
        (row.check_id, row.subject), row.status, row.reason, row.start_ms, row.last_ms, row.end_ms, counts=row.counts
    )
    opened.looks = row.looks
    opened.stored = True
    return opened
