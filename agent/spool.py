"""Spool: the lines that the centre has not acknowledged yet.

Everything is staged in memory and then committed to the file; a disk that is full or read-only only means that it stays
staged, within a small bound, and is tried again at the next change. The tally is committed with the batches, so that at any
moment ``collected = delivered + dropped + quarantined + rejected + spooled``, all counted in lines.
"""

import contextlib
import logging
import os
import threading
import zlib
from collections.abc import Callable, Generator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Final

import msgspec

from agent import batchfile
from agent.batchfile import Batch, BatchFile, Change, DiskRefuses, Order, OtherLayout, Poison, Tally, Unusable
from agent.packing import pack, unpack
from agent.stamps import move
from configs.units import Duration, Size

log = logging.getLogger("pantau.agent.spool")

_STAGED_BYTES: Final = 4_000_000
_STAGED_POISON: Final = 1000
_LEAST_BYTES: Final = 1_000_000  # allowed even on a full disk, so that live data still passes
_BATCH_LINES: Final = 2000
_GONE_BATCHES: Final = 4
_SAME_SKEW: Final = 60_000  # ms; a clock that is disciplined drifts, one that is set jumps
_ADOPTED_AT_ONCE: Final = 50
_MOVED_AT_ONCE: Final = 50


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of the spool: bytes on disk, age of a batch, and what must stay free on the disk."""

    max_size: Size = Size(200_000_000)
    max_age: Duration = Duration(7 * 86400)
    min_free: Size = Size(500_000_000)


class Group(msgspec.Struct, frozen=True):
    """Batches that are sent together, and their lines without line ends."""

    batches: tuple[Batch, ...]
    lines: list[bytes]

    @property
    def body(self) -> bytes | None:
        """The lines as one gzip body, when that is there already."""
        return self.batches[0].body if len(self.batches) == 1 else None


class Spool:
    """The lines that wait; for several threads, but only one takes groups out. No method raises because of the disk.

    ``tally`` and ``size`` (bytes on disk) are as of the last change. ``durable`` asks for a sync to the disk at each commit
    (for when the centre is away), ``ages`` that old batches are given up, which needs a clock that is right. ``set_aside`` counts
    files that could not be used.
    """

    def __init__(self, file: Path, options: Options) -> None:
        self.ages = True
        self.durable = True
        self.set_aside = 0
        self.size = 0
        self.tally = Tally()
        self.options = options
        self._path = file
        self._lock = threading.Lock()
        self._moving = threading.Lock()
        self._file: BatchFile | None = None
        self._closed = False
        self._trouble = ""
        self._full = False
        self._last_id = 0
        self._staged: dict[int, Batch] = {}
        self._gone: set[int] = set()
        self._under_way: dict[int, Batch] = {}
        self._poison: list[Poison] = []
        self._skews: list[tuple[int, int]] = []
        with self._lock:
            self._open()
            self._adopt()

    def put(self, lines: Sequence[bytes], now: int, *, lost: int = 0, skew: int | None = None) -> None:
        """Keep lines (without line ends); committed on return unless the disk refuses.

        ``now`` is ms since epoch, ``skew`` that of the clock which stamped them, for ``correct``. ``lost`` lines were collected but
        given up before they came here.
        """
        with self._lock:
            if skew is not None and (not self._skews or abs(skew - self._skews[-1][1]) > _SAME_SKEW):
                self._skews.append((self._last_id + 1, skew))
            for start in range(0, len(lines), _BATCH_LINES):
                self._last_id = max(self._last_id + 1, now * 1000)  # by time, so that ids stay unique over restarts
                self._stage(self._last_id, now, lines[start : start + _BATCH_LINES])
            self.tally = self.tally.add(collected=len(lines) + lost, spooled=len(lines), dropped=lost)
            self._commit(now)

    def newest(self, lines: int) -> Group | None:
        """Return the last batches, together at most about ``lines``, to send them; None when nothing waits."""
        with self._lock:
            return self._take(self._waiting("DESC"), lines)

    def oldest(self, lines: int, *, before: int) -> Group | None:
        """Return the first batches made ``before`` (ms since epoch), together at most about ``lines``; None when there are none."""
        with self._lock:
            return self._take((batch for batch in self._waiting("ASC") if batch.made < before), lines)

    def settle(
        self,
        group: Group,
        now: int,
        *,
        rest: Sequence[bytes] = (),
        rejected: int = 0,
        poison: Sequence[tuple[bytes, str]] = (),
    ) -> None:
        """Give a group back: its lines were delivered, but for the ``rest`` (waits on), ``rejected`` and ``poison`` (line, reason)."""
        with self._lock:
            self._under_way.clear()
            if len(rest) == len(group.lines):
                return
            for batch in group.batches:
                if self._staged.pop(batch.id, None) is None:
                    self._gone.add(batch.id)
            if rest:
                first = min(group.batches, key=lambda batch: batch.id)
                self._stage(first.id, first.made, rest)
            self._poison += [Poison(now, reason, line) for line, reason in poison]
            settled = len(group.lines) - len(rest)
            self.tally = self.tally.add(
                spooled=-settled,
                quarantined=len(poison),
                rejected=rejected,
                delivered=settled - len(poison) - rejected,
            )
            # A few delivered batches wait for the next put: one write to the disk a turn instead of two. If we are killed
            # before, they are delivered once more, which is harmless.
            if rest or poison or rejected or len(self._gone) > _GONE_BATCHES:
                self._commit(now)

    def correct(self, shift: Callable[[int], int]) -> None:
        """Move the stamps of lines that were put since the start by ``shift`` of the skew they were stamped at (both ms)."""
        with self._moving:
            self._correct(shift)

    def _correct(self, shift: Callable[[int], int]) -> None:
        for position, (first, skew) in enumerate(self._skews):
            if by := round(shift(skew) / 1000) * 1000:  # stamps of whole seconds stay such
                last = self._skews[position + 1][0] if position + 1 < len(self._skews) else self._last_id + 1
                log.warning(
                    "the clock was wrong: the stamps of what was collected meanwhile are moved by %.0f s", by / 1000
                )
                self._move(first, last, by)
                self._skews[position] = first, skew + by

    def _move(self, first: int, end: int, by: int) -> None:
        while True:
            with self._lock:
                some = list(
                    islice((batch for batch in self._waiting("ASC") if first <= batch.id < end), _MOVED_AT_ONCE)
                )
                if not some:
                    return
                for batch in some:
                    with contextlib.suppress(zlib.error):  # a damaged one is noticed when it is to be sent
                        self._stage(batch.id, batch.made + by, move(unpack(batch.body), by))
                self._commit(0)
                first = some[-1].id + 1

    def quarantined(self) -> list[Poison]:
        """Return the quarantined lines, oldest first."""
        with self._lock:
            return [*(self._file.quarantine() if self._file else ()), *self._poison]

    def close(self) -> None:
        """Close the file, after a last try if the disk refused before; what comes later is not kept."""
        with self._lock:
            if self._trouble or self._gone:
                self._commit(self._last_id // 1000)
            self._closed = True
            if self._file is not None:
                self._file.close()
                self._file = None

    def _stage(self, number: int, made: int, lines: Sequence[bytes]) -> None:
        self._staged[number] = Batch(number, made, len(lines), pack(lines))

    def _take(self, waiting: Generator[Batch, None, None], most: int) -> Group | None:
        picked: list[Batch] = []
        lines: list[bytes] = []
        try:
            with contextlib.closing(waiting):
                for batch in waiting:
                    if picked and len(lines) + batch.lines > most:
                        break
                    try:
                        held = unpack(batch.body)
                    except zlib.error:
                        self._lose(batch)
                        continue
                    lines += held
                    picked.append(self._counted(batch, len(held)))
        except (Unusable, DiskRefuses) as error:
            self._failed(error)
            return None
        self._under_way = {batch.id: batch for batch in picked}
        return Group(tuple(picked), lines) if picked else None

    def _waiting(self, order: Order) -> Generator[Batch, None, None]:
        staged = sorted(self._staged.values(), key=lambda batch: batch.id, reverse=order == "DESC")
        if order == "DESC":
            yield from staged
        if self._file is not None:
            with contextlib.closing(self._file.rows(order)) as rows:
                for batch in rows:
                    if batch.id not in self._gone:
                        yield batch
        if order == "ASC":
            yield from staged

    def _counted(self, batch: Batch, lines: int) -> Batch:
        """Return the batch with its number of lines; where that was damaged, the tally is put right by it."""
        wrong = lines - batch.lines
        if wrong:
            self.tally = self.tally.add(spooled=wrong, collected=wrong)
        return msgspec.structs.replace(batch, lines=lines) if wrong else batch

    def _lose(self, batch: Batch) -> None:
        """Give up a batch whose bytes no longer unpack; its row goes with the next commit."""
        log.error("a batch of %d lines in %s is damaged and was dropped", batch.lines, self._path)
        self._gone.add(batch.id)
        self.tally = self.tally.add(dropped=batch.lines, spooled=-batch.lines)

    def _commit(self, now: int) -> None:
        if self._closed:
            return
        if self._file is None:
            self._open()
        for _ in range(2):  # the second time into the fresh file, when the first one turned out to be corrupt
            if self._file is None:
                break
            try:
                self._save(self._file, now)
            except (Unusable, DiskRefuses) as error:
                if not self._failed(error):
                    break
                self._open()
            else:
                self._tell("")
                return
        self._bound_staged()

    def _save(self, file: BatchFile, now: int) -> None:
        dropped = file.commit(
            Change(
                gone=self._gone,
                come=self._staged.values(),
                poison=self._poison,
                tally=self.tally,
                since=now - self.options.max_age.ms if self.ages else 0,
                limit=self._limit(),
                spared=self._under_way,
                durable=self.durable,
            )
        )
        self.tally = self.tally.add(dropped=dropped, spooled=-dropped)
        self.size = file.size
        self._gone.clear()
        self._staged.clear()
        self._poison.clear()
        if dropped and not self._full:
            log.error("the spool is at its bounds: dropping the oldest lines (%d now)", dropped)
            self._full = True
        elif self._full and self.tally.spooled < _BATCH_LINES:
            log.warning("the spool is within its bounds again; %d lines were dropped in all", self.tally.dropped)
            self._full = False

    def _limit(self) -> int:
        """Return how many bytes the file may use: what the settings say, or no growth while the disk is short of space."""
        with contextlib.suppress(OSError):
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail * disk.f_frsize < self.options.min_free:
                return min(self.options.max_size, max(_LEAST_BYTES, self.size))
        return self.options.max_size

    def _bound_staged(self) -> None:
        size = sum(len(batch.body) for batch in self._staged.values())
        for number in sorted(self._staged):
            if size <= _STAGED_BYTES:
                break
            if number not in self._under_way:
                batch = self._staged.pop(number)
                size -= len(batch.body)
                self.tally = self.tally.add(dropped=batch.lines, spooled=-batch.lines)
        del self._poison[:-_STAGED_POISON]

    def _open(self) -> None:
        """Open the file; a corrupt one is set aside for a fresh one, one that the disk refuses stays away for now."""
        for _ in range(2):
            try:
                file = BatchFile(self._path)
            except (Unusable, DiskRefuses) as error:
                if self._failed(error):
                    continue
                return
            self._file = file
            self._last_id = max(self._last_id, file.last_id)
            self.tally = self.tally.add(**msgspec.structs.asdict(file.tally))
            self.size = file.size
            return

    def _adopt(self) -> None:
        """Restore the file that an older agent set aside, after a downgrade, because it did not know this layout."""
        aside = self._beside(f".layout{batchfile.LAYOUT}")
        if self._file is None or not aside.exists():
            return
        try:
            with contextlib.closing(BatchFile(aside)) as kept:
                taken = {batch.id for batch in self._waiting("ASC")}
                batches = kept.rows("ASC")
                while some := list(islice(batches, _ADOPTED_AT_ONCE)):
                    for batch in some:
                        number = next(free for free in count(batch.id) if free not in taken)
                        taken.add(number)
                        self._staged[number] = msgspec.structs.replace(batch, id=number)
                    self.tally = self.tally.add(
                        **{key: sum(batch.lines for batch in some) for key in ("collected", "spooled")}
                    )
                    self._commit(0)
                    if self._trouble:
                        return  # the disk refuses: what is left is taken at the next start
            aside.unlink()
        except (Unusable, DiskRefuses, OSError) as error:
            log.error("the spool %s that was set aside cannot be taken back: %s", aside, error)  # noqa: TRY400 - the words say it
            return
        log.warning("the spool that an older agent set aside was taken back; %d lines wait", self.tally.spooled)

    def _beside(self, tail: str) -> Path:
        return self._path.with_name(self._path.name + tail)

    def _failed(self, error: Unusable | DiskRefuses) -> bool:
        """Record an error; True when a corrupt file was set aside, so that trying again makes sense."""
        if isinstance(error, DiskRefuses):
            self._tell(str(error))
            return False
        if self._file is not None:
            self._file.close()
            self._file = None
        aside = self._beside(f".layout{error.layout}" if isinstance(error, OtherLayout) else ".corrupt")
        try:
            self._path.replace(aside)
            for tail in ("-wal", "-shm"):
                self._beside(tail).unlink(missing_ok=True)
        except OSError as trouble:
            self._tell(f"{error}, and it cannot be set aside: {trouble.strerror}")
            return False
        self._staged = self._under_way | self._staged
        lost = self.tally.spooled - sum(batch.lines for batch in self._staged.values())
        self.tally = self.tally.add(dropped=lost, spooled=-lost)
        self._gone.clear()
        self.set_aside += 1
        log.error("the spool %s cannot be used (%s): set aside as %s, starting afresh", self._path, error, aside.name)
        return True

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.error("the spool %s cannot be written: %s; keeping a little in memory", self._path, trouble)
        elif self._trouble and not trouble:
            log.warning("the spool %s can be written again", self._path)
        self._trouble = trouble
