"""The embedded store: columns in one DuckDB file, for a centre that has no database of its own.

Writes that come together are one transaction of one thread; readers have threads and a view of their own beside it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import monotonic, time_ns
from typing import Final, TypeVar

import msgspec

from collectors.point import Point
from configs.units import Duration, Size
from server.store import (
    FUTURE_TOLERANCE,
    Deletion,
    Found,
    Latest,
    Range,
    Series,
    Spender,
    StoreDamaged,
    StoreUnavailable,
    Written,
)
from server.store.embedded.columns import Chunk, last_writes
from server.store.embedded.deleting import Deleting, found
from server.store.embedded.encoding import Encoder
from server.store.embedded.forgetting import silent
from server.store.embedded.gathering import Gathering
from server.store.embedded.levels import RAW
from server.store.embedded.mending import damage, mend, salvage
from server.store.embedded.questions import Questions
from server.store.embedded.settling import Limits as SettlingLimits
from server.store.embedded.settling import Settler, retention
from server.store.embedded.tables import Tables
from server.store.trouble import Trouble

T = TypeVar("T")
_log: Final = logging.getLogger("pantau.store")
_READERS: Final = 4
_NEVER: Final = -(2**63)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the embedded store.

    ``memory`` is what the database may take; beside it each series takes some 1.3 kB and 0.2 kB for each of its fields, so 250,000 of
    five fields 0.6 GB. ``window`` is how long a write may wait for others to share its transaction, where several came together; one
    that comes alone does not wait, and none when 1,000 points are there. ``series`` is the most series that are taken, with 20 fields
    on average; one without values is forgotten within an hour of losing its last.
    Points later than now and ``future_tolerance`` are refused, and are no newest values where they are there already.
    ``raw``, ``minutes`` and ``five_minutes`` tell how long values are kept as they came and as roll-ups; those of an hour stay as
    long as anything. What comes later than ``raw`` is taken too, and kept as it came.
    """

    memory: Size = Size(512_000_000)
    window: Duration = Duration(0.1)
    series: int = 250_000
    raw: Duration = Duration(30 * 86400)
    minutes: Duration = Duration(7 * 86400)
    five_minutes: Duration = Duration(100 * 86400)
    future_tolerance: Duration = FUTURE_TOLERANCE


class Limits(msgspec.Struct, frozen=True):
    """What the store goes by that nobody has to set.

    A transaction with ``full`` points waits for no more. After a failure nothing is tried for ``pause`` seconds; settling looks
    around every ``settle_every`` seconds, and for silent series every ``forget_every``.
    """

    full: int = 1000
    pause: float = 1.0
    settle_every: float = 10.0
    forget_every: float = 3600.0
    settling: SettlingLimits = SettlingLimits()


_LIMITS: Final = Limits()


class Embedded:
    """Points in ``folder / "points.duckdb"`` and ``folder / "points.files"``; one process at a time. Implements ``Store``.

    ``clock`` is ns since epoch; retention goes by it or by the newest point, whichever is earlier.
    """

    def __init__(
        self, options: Options, folder: Path, clock: Callable[[], int] = time_ns, limits: Limits = _LIMITS
    ) -> None:
        self._options = options
        self._limits = limits
        self._clock = clock
        self._settler: Settler | None = None
        self._questions: Questions | None = None
        self._settling: asyncio.Task[None] | None = None
        self._forget_at = 0.0
        self._file = folder / "points.duckdb"
        self._tables: Tables | None = None
        self._gathering = Gathering(options.window, limits.full)
        self._writing: asyncio.Task[None] | None = None
        self._trouble = Trouble("the embedded store")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="points-write")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="points-read")
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="points-settle")

    async def open(self) -> None:
        """Open or create the file. StoreUnavailable says why not: in use by another process, not writable, damaged."""
        if self._settling is None:
            self._settling = asyncio.create_task(self._keep_settling())
        await self._in(self._writer, self._opened)

    async def write(self, points: Sequence[Point]) -> Written:
        """Write points; on disk when this returns. See ``Store.write``."""
        answer = self._gathering.add(points)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_waiting())
        return await answer

    async def _write_waiting(self) -> None:
        while self._gathering:
            taken = await self._gathering.gathered()
            try:
                results = await self._in(self._writer, self._write, [points for points, _ in taken])
            except Exception as error:  # noqa: BLE001 - whatever it was, those who wait must hear of it
                results = [error] * len(taken)
            self._gathering.written(taken)
            for (_, answer), result in zip(taken, results, strict=True):
                if answer.done():
                    continue
                if isinstance(result, Written):
                    answer.set_result(result)
                else:
                    answer.set_exception(result)
            self._trouble.note(next((str(result) for result in results if isinstance(result, StoreUnavailable)), ""))
            if self._trouble.text:
                await asyncio.sleep(self._limits.pause)  # opening a broken file again and again would cost a whole core

    def _write(self, waiting: Sequence[Sequence[Point]]) -> list[Written | Exception]:
        """Write batches in one transaction; a batch that cannot be read costs no other batch."""
        tables = self._opened()
        results, columns = _encoded(tables.encoder, waiting)
        rows = {kind: last_writes(chunks) for kind, chunks in columns.items()}
        if any(len(rows[kind].key) < sum(len(one.key) for one in chunks) for kind, chunks in columns.items()):
            results, columns = _encoded(tables.encoder, waiting, in_order=True)
            rows = {kind: last_writes(chunks) for kind, chunks in columns.items()}
        tables.write(rows)
        return results

    async def latest(
        self, measurement: str, fields: Sequence[str], *, since: int, where: Mapping[str, str] | None = None
    ) -> list[Latest]:
        """Return the newest values; sorted by tags. See ``Store.latest``."""
        return await self._ask(lambda asked: asked.latest(measurement, fields, since, where or {}))

    async def range(self, query: Range) -> list[Series]:
        """Answer a question over time. ValueError when the aggregate has no meaning for the field's type."""
        return await self._ask(lambda asked: asked.range(query))

    async def measurements(self) -> list[str]:
        """Name every measurement, sorted."""
        return await self._read(lambda tables: tables.lookup.measurements())

    async def fields(self, measurement: str) -> dict[str, str]:
        """Name every field of a measurement with its type."""
        return await self._read(lambda tables: tables.lookup.fields(measurement))

    async def tag_values(self, measurement: str, tag: str, *, where: Mapping[str, str] | None = None) -> list[str]:
        """Return every value of a tag, sorted."""
        return await self._ask(lambda asked: asked.tag_values(measurement, tag, where or {}))

    async def drop_before(self, time: int) -> None:
        """Forget points older than ``time`` (ns); series that have none left are forgotten within the hour."""
        await self._in(self._writer, lambda: self._opened().drop_before(time))

    async def find(self, deletion: Deletion) -> Found:
        """Return what a deletion would take."""
        return await self._read(lambda tables: found(tables, deletion))

    async def delete(self, deletion: Deletion) -> None:
        """Delete points; series that have none left are forgotten within the hour. Writes go on between its pieces."""
        work = await self._in(self._writer, lambda: Deleting(self._opened(), deletion))
        while await self._in(self._writer, work.turn):
            pass

    async def cardinality(self) -> list[Spender]:
        """Return which measurements have how many series; the greatest first."""
        return await self._read(lambda tables: tables.lookup.spenders())

    async def backup(self, folder: Path) -> bool:
        """Copy everything that is acknowledged now into ``folder``, from which a store can be opened."""
        await self._read(lambda tables: tables.views.copy(folder))
        return True

    async def read(self, work: Callable[[Tables], T]) -> T:
        """Let a function look at the tables, in a reading thread; for copies, see ``export``."""
        return await self._read(work)

    async def settle(self, *, everything: bool = False, limits: SettlingLimits | None = None) -> bool:
        """Settle the newest hour or day that is due, else drop what is old by level and forget series; tell whether there was any.

        ``everything`` takes hours that are still written to as well; ``limits`` are gone by this once instead of the store's. The
        store does this by itself every few seconds.
        """
        return await self._read(partial(self._settle, everything=everything, limits=limits), self._keeper)

    def _settle(self, tables: Tables, *, everything: bool, limits: SettlingLimits | None) -> bool:
        if self._settler is None or self._settler.tables is not tables:
            self._settler = Settler(tables, monotonic)
        self._settler.limits = limits or self._limits.settling
        settler, options = self._settler, self._options
        keep = {RAW: options.raw, "1m": options.minutes, "5m": options.five_minutes}
        newest = tables.newest_time
        gone = {} if newest is None else retention(keep, min(self._clock(), newest))
        must = [level for level, seconds in keep.items() if seconds > options.raw]
        due = settler.due(everything=everything, going=gone.get(RAW, _NEVER), must=must)
        for work in due[:1]:
            return settler.settle(work, lambda turn: self._writer.submit(turn).result())
        if gone:
            # a day that is written to just now waits for its roll-ups
            gone[RAW] = min([gone[RAW], *(work.start for work in settler.lacking(gone[RAW], must))])
        self._writer.submit(self._expire, tables, gone).result()
        if tables.dropped and monotonic() >= self._forget_at:
            tables.dropped = False
            self._forget_at = monotonic() + self._limits.forget_every
            if found := silent(tables):
                self._writer.submit(tables.forget, found).result()
        return False

    @staticmethod
    def _expire(tables: Tables, gone: Mapping[str, int]) -> None:
        for level, before in gone.items():
            tables.drop_level(level, before)
        tables.give_back()

    async def _keep_settling(self) -> None:
        trouble = Trouble("settling of the embedded store")
        while True:
            await asyncio.sleep(self._limits.settle_every)
            try:
                more = True
                while more:
                    more = await self.settle()
            except StoreUnavailable as error:
                trouble.note(str(error))
            except Exception as error:  # noqa: BLE001 - else nothing would be settled or forgotten until the next start
                if not trouble.text:
                    _log.exception("a piece of settling failed; it is tried again")
                trouble.note(repr(error))
            else:
                trouble.note("")

    async def health(self) -> str:
        """Return "" when the file is open and the last write went well, else what is wrong."""
        try:
            await self._read(lambda tables: tables.lookup.measurements())
        except StoreUnavailable as error:
            return str(error)
        return self._trouble.text

    async def takes(self) -> bool:
        """Return whether a write would be kept now."""
        return not await self.health()

    async def damage(self) -> str:
        """Return what damaged files are set aside, "" when there are none."""
        return await self._in(self._readers, damage, self._file)

    def newest(self) -> int:
        """Return the time (ns) of the newest point; 0 without any, or before the file is open."""
        return (self._tables.newest_time or 0) if self._tables else 0

    async def close(self) -> None:
        """Write out what waits and close the file."""
        if self._settling is not None:
            self._settling.cancel()
            await asyncio.gather(self._settling, return_exceptions=True)
            self._settling = None
        # a piece of work that has begun needs the writing thread
        await asyncio.to_thread(self._keeper.shutdown)
        if self._writing is not None:
            await self._writing
        try:
            if self._tables is not None:
                await self._in(self._writer, self._tables.close)
        finally:
            self._tables = None
            self._writer.shutdown(wait=False)
            self._readers.shutdown(wait=False)

    async def _ask(self, question: Callable[[Questions], T]) -> T:
        def answer(tables: Tables) -> T:
            if self._questions is None or self._questions.tables is not tables:
                self._questions = Questions(tables)
            return question(self._questions)

        return await self._read(answer)

    async def _read(self, work: Callable[[Tables], T], threads: ThreadPoolExecutor | None = None) -> T:
        tables = self._tables
        if tables is None or tables.broken:
            tables = await self._in(self._writer, self._opened)
        threads = threads or self._readers
        try:
            return await self._in(threads, work, tables)
        except StoreDamaged as error:
            _log.error("%s", error)
            # what is left answers
            return await self._in(threads, work, await self._in(self._writer, self._mended, tables))

    def _mended(self, damaged: Tables) -> Tables:
        """Set aside what cannot be read; in the writing thread, in which nobody else does so meanwhile."""
        tables = self._opened()
        return self._sound(tables, thorough=True) if tables is damaged or damaged.broken else tables

    def _sound(self, tables: Tables, *, thorough: bool) -> Tables:
        try:
            with tables.database.plain_errors():
                mend(tables, thorough=thorough)
        except StoreDamaged:
            self._tables = None
            with contextlib.suppress(StoreUnavailable):
                tables.close()
            return self._salvaged()
        return tables

    def _salvaged(self) -> Tables:
        salvage(self._file, self._options.memory)
        self._tables = self._from_file()
        return self._tables

    def _from_file(self) -> Tables:
        options = self._options
        return Tables(self._file, memory=options.memory, series=options.series, future=self._future)

    def _opened(self) -> Tables:
        """Open the file unless it is open and sound; in the writing thread."""
        if self._tables is not None and self._tables.broken:
            broken, self._tables = self._tables, None
            broken.close()
        if self._tables is None:
            try:
                self._tables = self._from_file()
            except StoreDamaged:
                self._tables = self._salvaged()
            self._tables = self._sound(self._tables, thorough=False)
        return self._tables

    def _future(self) -> int:
        """Return the time (ns) after which nothing can be the newest value."""
        return self._clock() + self._options.future_tolerance.ms * 1_000_000

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)


def _encoded(
    encoder: Encoder, waiting: Sequence[Sequence[Point]], *, in_order: bool = False
) -> tuple[list[Written | Exception], dict[str, list[Chunk]]]:
    """Turn batches into columns; a batch that cannot be read costs no other batch."""
    results: list[Written | Exception] = []
    columns: dict[str, list[Chunk]] = {}
    for points in waiting:
        try:
            encoded = encoder.encode(points, in_order=in_order)
        except TypeError as error:
            results.append(error)
            continue
        for kind, one in encoded.chunks:
            if len(one.key):
                columns.setdefault(kind, []).append(one)
        results.append(encoded.written)
    return results, columns
