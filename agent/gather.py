"""Gather: every collector in a task of its own, with its own pace, deadline and back-off; one that fails disturbs no other."""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, Final

import msgspec

from agent.clock import Clock
from agent.duplicates import Duplicates
from agent.pace import Pace
from agent.series import SeriesLimit
from agent.threads import CALLS
from collectors.host import Collector
from collectors.lineprotocol import encode
from collectors.point import Point

log = logging.getLogger("pantau.agent.gather")

_LONGEST_PAUSE: Final = 3600.0
_LACKING: Final = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EACCES,
    errno.EPERM,
    errno.ENODEV,
    errno.ENXIO,
    errno.ENOSYS,
    errno.ENOTSUP,
}
_INBOX_LINES: Final = 50_000
MAX_SERIES: Final = 2000


class Unit(msgspec.Struct, frozen=True):
    """One configured collector: every ``interval`` seconds, at most ``timeout`` seconds each and ``max_series`` at a time."""

    name: str
    collector: Collector
    interval: float
    timeout: float
    max_series: int = MAX_SERIES


class Counts(msgspec.Struct):
    """What one collector did since the start: lines, failures, the timeouts among them, turns that were missed, last duration.

    Left out were ``duplicates``, points that an earlier one of the reading hides, and ``limited``, those of series beyond its
    bound.
    """

    gathered: int = 0
    duplicates: int = 0
    limited: int = 0
    errors: int = 0
    timeouts: int = 0
    missed: int = 0
    took_ns: int = 0


class Inbox:
    """Lines on their way to the spool. Bounded: while the disk hangs, the oldest are given up and counted."""

    def __init__(self, most: int = _INBOX_LINES) -> None:
        self._most = most
        self._lines: list[bytes] = []
        self._lost = 0
        self._filled = asyncio.Event()

    def put(self, lines: Iterable[bytes]) -> None:
        """Add lines."""
        self._lines += lines
        over = len(self._lines) - self._most
        if over > 0:
            del self._lines[:over]
            self._lost += over
        self._filled.set()

    async def wait(self) -> None:
        """Wait until there is something to take."""
        await self._filled.wait()

    def take(self) -> tuple[list[bytes], int]:
        """Return the lines, and how many were given up since the last call."""
        taken = self._lines, self._lost
        self._lines, self._lost = [], 0
        self._filled.clear()
        return taken


class Runner:
    """Runs one collector for ever and hands its lines on; ``turned`` is the monotonic time of its last turn, ``off`` that it has none.

    ``tags`` (the host among them) are added to each point. ``calls`` are those of an earlier runner of this collector that may
    still hang in a thread; ``stuck`` is called when one of ours does.
    """

    def __init__(
        self,
        unit: Unit,
        tags: Mapping[str, str],
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        calls: Iterable[Future[Any]] = (),
        stuck: Callable[[], None] = lambda: None,
    ) -> None:
        self.unit = unit
        self.calls = list(calls)
        self._stuck = stuck
        self.counts = Counts()
        self.turned = clock.monotonic()
        self.off = False
        self._tags = dict(tags)
        self._clock = clock
        self._sleep = sleep
        self._pace = Pace(round(unit.interval * 1000))
        self._duplicates = Duplicates(unit.name)
        self._limit = SeriesLimit(unit.name, unit.max_series)
        self._task: asyncio.Future[list[Point]] | None = None
        self._failures = 0
        self._resume = 0.0
        self._why = ""

    async def probe(self) -> bool:
        """Read once, for the counters' first values; False when this host lacks what is read, which is explained in the log once.

        It may come later, a socket of a service for instance that starts after us, so a probe may be tried again.
        """
        was_off, self.off = self.off, False
        if self._hangs():
            self._failed(TimeoutError("a reading from before still hangs"))
            return True
        try:
            await self.look()
        except OSError as error:
            if error.errno in _LACKING:
                self.off = True
                if str(error) != self._why:
                    log.warning("collector %s is off: this host lacks what it reads: %s", self.unit.name, error)
                self._why = str(error)
                return False
            self._failed(error)
        except Exception as error:  # noqa: BLE001 - a collector may fail in any way
            self._failed(error)
        else:
            if was_off:
                log.warning("collector %s is on: this host has what it reads by now", self.unit.name)
            self._why = ""
        return True

    async def run(self, keep: Callable[[list[bytes]], None]) -> None:
        """Collect at every turn, until cancelled."""
        self.turned = self._clock.monotonic()
        while True:
            await self._sleep(self._pace.wait(self._clock.ms()))
            now = self._clock.monotonic()
            self.counts.missed += self._pace.missed(now - self.turned)
            self.turned = now
            if now < self._resume:
                continue
            if self._hangs():
                self.counts.missed += 1
                continue
            try:
                lines = await self.look()
            except Exception as error:  # noqa: BLE001 - a collector may fail in any way
                self._failed(error)
            else:
                self._works()
                keep(lines)

    async def look(self) -> list[bytes]:
        """Read once within the deadline and return lines; raises whatever the collector raises, and TimeoutError."""
        began = self._clock.monotonic()
        self._task = asyncio.ensure_future(self._collect(self._pace.stamp(self._clock.now())))
        self._task.add_done_callback(_seen)
        try:
            await asyncio.wait({self._task}, timeout=self.unit.timeout)
        finally:
            running = not self._task.done()
            self._task.cancel()
            self.counts.took_ns = round((self._clock.monotonic() - began) * 1e9)
        if running:
            self.counts.timeouts += 1
            if not all(call.done() for call in self.calls):
                self._stuck()
            raise TimeoutError(f"no answer within {self.unit.timeout:g} s")
        points = self._task.result()
        distinct = self._duplicates.admit(points)
        kept = self._limit.admit(distinct, began)
        lines = to_lines(kept, self._tags)
        self.counts.duplicates += len(points) - len(distinct)
        self.counts.limited += len(distinct) - len(kept)
        self.counts.gathered += len(lines)
        return lines

    def _hangs(self) -> bool:
        """Return whether the reading that timed out earlier still goes on, in the loop or in a thread."""
        self.calls = [call for call in self.calls if not call.done()]
        return bool(self.calls) or (self._task is not None and not self._task.done())

    async def _collect(self, now: int) -> list[Point]:
        CALLS.set(self.calls)
        try:
            return await self.unit.collector.collect(now)
        except (SystemExit, KeyboardInterrupt, asyncio.CancelledError) as error:
            raise RuntimeError(f"the collector raised {type(error).__name__}") from error

    def _failed(self, error: Exception) -> None:
        self.counts.errors += 1
        self._failures += 1
        pause = min(_LONGEST_PAUSE, self.unit.interval * 2 ** min(self._failures, 20))
        self._resume = self._clock.monotonic() + pause - self.unit.interval / 2
        why = f"{type(error).__name__}: {error}"
        if why != self._why:
            bug = None if isinstance(error, OSError) else error
            log.warning("collector %s failed (next try in %.0f s): %s", self.unit.name, pause, why, exc_info=bug)
        self._why = why

    def _works(self) -> None:
        if self._failures:
            log.warning("collector %s works again after %d failures", self.unit.name, self._failures)
        self._failures, self._resume, self._why = 0, 0.0, ""


def to_lines(points: Iterable[Point], tags: Mapping[str, str]) -> list[bytes]:
    """Write each point, with ``tags`` beside its own, as one physical line without its end; points without a value vanish."""
    full = [Point(point.measurement, {**tags, **point.tags}, point.fields, point.time) for point in points]
    text = encode(full)
    if b'"' in text:  # a quoted string may hold line ends, and bisecting needs one line to be one line
        return [line.replace(b"\n", b" ") for point in full if (line := encode((point,)).removesuffix(b"\n"))]
    return text.split(b"\n")[:-1]


def _seen(task: asyncio.Future[list[Point]]) -> None:
    """Look at the outcome of a reading, so that one that ended too late is not reported as never looked at."""
    if not task.cancelled():
        task.exception()
