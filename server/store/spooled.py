"""A store whose writes wait on disk while its database is away, and follow in their order when it is back."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import time_ns
from typing import Final, NamedTuple, TypeVar

import msgspec

from collectors.point import Point
from collectors.points import Points
from configs.units import Duration, Size
from server.store import Deletion, Found, Latest, Range, Series, Spender, Store, StoreFull, StoreUnavailable, Written
from server.store.influx.connection import Options as InfluxOptions
from server.store.influx.store import Influx
from server.store.waiting import Batch, Refused, Summary, Waiting

T = TypeVar("T")
_log: Final = logging.getLogger("pantau.store")
_POINTS: Final = 5000  # that follow in one write


class Spool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much may wait on disk, and how long; with ``size`` 0 nothing waits. Beyond the size writers are asked to keep points."""

    size: Size = Size(1_000_000_000)
    age: Duration = Duration(7 * 86400)


class Options(InfluxOptions, frozen=True, forbid_unknown_fields=True):
    """Settings of an InfluxDB, and of what waits on disk while it is away."""

    spool: Spool = Spool()


class Retry(NamedTuple):
    """Seconds between tries: the ``first`` pause is doubled up to the ``longest``."""

    first: float = 1.0
    longest: float = 30.0


_RETRY: Final = Retry()


class Spooled:
    """``store``, with a spool in ``folder``. Implements ``Store``; ``clock`` is ns since epoch.

    While writes wait, new ones wait behind them, so that the last write wins as if the database had never been away; and
    questions that reach into the time of points that wait are not answered.
    """

    def __init__(
        self,
        store: Store,
        options: Spool,
        folder: Path,
        clock: Callable[[], int] = time_ns,
        *,
        retry: Retry = _RETRY,
        pages: int | None = None,
    ) -> None:
        """Wait for ``store`` by ``retry``; ``pages`` bounds the file, as a full disk would."""
        self._store = store
        self._retry = retry
        self._options = options
        self._clock = clock
        self._waiting = Waiting(folder / "waiting.db", pages)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="points-spool")
        self._summary: Summary | None = None
        self._order = asyncio.Lock()
        self._replaying: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the database; what still waits from before follows."""
        await self._look()
        await self._store.open()

    async def write(self, points: Sequence[Point]) -> Written:
        """Write points, or let them wait on disk; StoreUnavailable when neither can be."""
        if isinstance(points, Points):
            points = await asyncio.to_thread(list, points)  # they are made only now
        away = StoreUnavailable("the database was away and is catching up")
        if not (await self._look()).batches or not points:
            try:
                return await self._store.write(points)
            except StoreUnavailable as error:
                if not self._options.size or not points:
                    raise
                away = error
        async with self._order:
            return await self._spool(points, away)

    async def _spool(self, points: Sequence[Point], away: StoreUnavailable) -> Written:
        summary = await self._look()
        if summary.size >= self._options.size:
            raise StoreUnavailable(f"{summary.points} points wait on disk already, no more fit: {away}")
        try:
            await self._in(self._waiting.add, points, self._clock() // 1_000_000)
            self._summary = await self._in(self._waiting.summary)
        except Refused as error:
            raise (StoreFull if error.full else StoreUnavailable)(f"{away}; {error}") from error
        if not summary.batches:
            _log.warning("writes wait on disk: %s", away)
        self._replay()
        return Written(len(points))

    async def _look(self) -> Summary:
        """Return what waits; looked up once."""
        if self._summary is None:
            try:
                self._summary = await self._in(self._waiting.summary)
            except Refused as error:
                raise StoreUnavailable(str(error)) from error
            if self._summary.batches:
                self._replay()
        return self._summary

    def _replay(self) -> None:
        if self._replaying is None:
            self._replaying = asyncio.create_task(self._keep_replaying())

    async def _keep_replaying(self) -> None:
        pause = self._retry.first
        while True:
            try:
                async with self._order:
                    first = await self._in(self._next)
                    if not first:
                        self._summary, self._replaying = Summary(), None
                        _log.info("no write waits any more")
                        return
                await self._deliver(first)
                async with self._order:
                    self._summary = await self._in(self._done, first[-1])
                pause = self._retry.first
            except (StoreUnavailable, Refused):
                await asyncio.sleep(pause)
                pause = min(2 * pause, self._retry.longest)

    def _next(self) -> list[Batch]:
        before = self._clock() // 1_000_000 - self._options.age.ms
        if lost := self._waiting.expire(before):
            _log.error("%d points waited longer than the spool keeps them and are lost", lost)
        return self._waiting.first(_POINTS)

    def _done(self, batch: Batch) -> Summary:
        self._waiting.remove(batch.id)
        return self._waiting.summary()

    async def _deliver(self, batches: Sequence[Batch]) -> None:
        """Write batches as one; what cannot be written is looked for one by one, and given up."""
        points = [point for batch in batches for point in batch.points]
        try:
            written = await self._store.write(points)
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001 - it would be the same next time, and nothing behind it would ever go in
            if len(batches) > 1:
                for batch in batches:
                    await self._deliver([batch])
                return
            _log.exception("a write of %d points that waited cannot be written and is lost", len(points))
        else:
            for rejected in written.rejected[:1]:
                _log.warning("%d fields that waited were refused, e.g. %s", len(written.rejected), rejected.why)

    async def _in(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    # --- asking ------------------------------------------------------------------------------------------------------

    async def _require(self, end: int | None = None) -> None:
        """Raise StoreUnavailable when a point that waits may belong to the answer."""
        summary = await self._look()
        if summary.batches and (end is None or end > summary.oldest):
            raise StoreUnavailable(_told(summary))

    async def latest(
        self, measurement: str, fields: Sequence[str], *, since: int, where: Mapping[str, str] | None = None
    ) -> list[Latest]:
        """Return the newest values. StoreUnavailable while newer ones may wait."""
        await self._require()
        return await self._store.latest(measurement, fields, since=since, where=where)

    async def range(self, query: Range) -> list[Series]:
        """Answer a question over time. StoreUnavailable while points of that time may wait."""
        await self._require(query.end)
        return await self._store.range(query)

    async def measurements(self) -> list[str]:
        """Name every measurement, sorted."""
        return await self._store.measurements()

    async def fields(self, measurement: str) -> dict[str, str]:
        """Name every field of a measurement with its type."""
        return await self._store.fields(measurement)

    async def tag_values(self, measurement: str, tag: str, *, where: Mapping[str, str] | None = None) -> list[str]:
        """Return every value of a tag, sorted."""
        return await self._store.tag_values(measurement, tag, where=where)

    async def find(self, deletion: Deletion) -> Found:
        """Return what a deletion would take. StoreUnavailable while points of that time may wait."""
        await self._require(deletion.end)
        return await self._store.find(deletion)

    async def delete(self, deletion: Deletion) -> None:
        """Delete points. StoreUnavailable while points of that time may wait: they would come back."""
        await self._require(deletion.end)
        await self._store.delete(deletion)

    async def cardinality(self) -> list[Spender]:
        """Return which measurements have how many series."""
        return await self._store.cardinality()

    async def drop_before(self, time: int) -> None:
        """Forget points older than ``time``."""
        await self._store.drop_before(time)

    async def backup(self, folder: Path) -> bool:
        """Let the database do it."""
        return await self._store.backup(folder)

    async def health(self) -> str:
        """Return "" when all is in the database and it works, else what is wrong and how much waits."""
        away = await self._store.health()
        try:
            summary = await self._look()
        except StoreUnavailable as error:
            return "; ".join(filter(None, [away, str(error)]))
        return "; ".join(filter(None, [away, _told(summary) if summary.batches else ""]))

    async def damage(self) -> str:
        """Return "": whether its own files are sound is for the database to say."""
        return ""

    async def takes(self) -> bool:
        """Return whether a write would be kept now, on disk while the database is away."""
        if await self._store.takes():
            return True
        try:
            return (await self._look()).size < self._options.size
        except StoreUnavailable:
            return False

    def newest(self) -> int | None:
        """Return what the store knows."""
        return self._store.newest()

    async def close(self) -> None:
        """Let go of the database; what waits stays on disk."""
        if self._replaying is not None:
            self._replaying.cancel()
            await asyncio.gather(self._replaying, return_exceptions=True)
            self._replaying = None
        await asyncio.to_thread(self._thread.shutdown)
        await asyncio.to_thread(self._waiting.close)
        await self._store.close()


class SpooledInflux(Spooled):
    """Points in an InfluxDB by ``options``, with a spool in ``folder``. Implements ``Store``."""

    def __init__(
        self, options: Options, folder: Path, clock: Callable[[], int] = time_ns, *, retry: Retry = _RETRY
    ) -> None:
        self.options = options
        self.folder = folder
        super().__init__(Influx(options, folder, clock), options.spool, folder, clock, retry=retry)


def _told(summary: Summary) -> str:
    return f"{summary.points} points wait on disk to be written ({summary.size / 1e6:.1f} MB)"
