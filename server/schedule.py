"""The schedule: one job a check, spread by the hash of its id, one run in flight, nothing skipped in silence.

The only door of APScheduler. A job looks and returns Results; ``tell`` hands them on after the slot is free again, so that
storing and alerting never hold one. A re-check after a failed look runs beside the due times and moves none of them.
"""

import asyncio
import hashlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from collectors.result import Reason, Result, Status

_log: Final = logging.getLogger("pantau.schedule")
_PATIENCE: Final = 3.0  # seconds that a stop gives to results on their way
_GRACE: Final = 2.0  # a look that overstays its own timeout by this much is cut off as a bug


class Job(msgspec.Struct, frozen=True):
    """One thing to look at again and again.

    ``interval`` and ``timeout`` are seconds; ``look(at)`` returns Results; ``group`` and ``target`` name what limits count:
    the kind of check and the host that it burdens ("" = no host); ``subject`` is named when the look itself fails.
    """

    id: str
    subject: str
    interval: float
    timeout: float
    look: Callable[[int], Awaitable[Sequence[Result]]]
    group: str = ""
    target: str = ""


class Lateness(msgspec.Struct):
    """How punctual a job is: runs, skipped slots, and the last run's delays in milliseconds."""

    runs: int = 0
    skipped: int = 0
    late_ms: int = 0  # started after its due time
    waited_ms: int = 0  # waited for a slot
    took_ms: int = 0


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many looks may run at once, in all for one kind of check and for one target host."""

    per_type: int = 64
    per_target: int = 4


class Schedule:
    """Runs jobs until it is stopped."""

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        tell: Callable[[Result], Awaitable[None]],
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        self._clock = clock
        self._tell = tell
        self._types: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(limits.per_type))
        self._targets: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(limits.per_target))
        self._jobs: dict[str, Job] = {}
        self._running: set[str] = set()
        self._broken: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self.lateness: dict[str, Lateness] = {}
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )
        self._scheduler.add_listener(self._skipped, EVENT_JOB_MAX_INSTANCES)
        # APScheduler warns of each skipped slot in its own words; ours are counted and shown
        logging.getLogger("apscheduler").setLevel(logging.ERROR)

    def add(self, job: Job) -> None:
        """Run a job from its next due time on; the first look comes within one interval."""
        self._jobs[job.id] = job
        self.lateness[job.id] = Lateness()
        first = datetime.fromtimestamp(phase(job.id, job.interval), UTC)
        self._scheduler.add_job(
            self._due,
            IntervalTrigger(seconds=job.interval, start_date=first, timezone=UTC),  # type: ignore[arg-type,unused-ignore]
            args=[job.id],
            id=job.id,
            replace_existing=True,
        )

    def recheck(self, job_id: str, seconds: float) -> None:
        """Look once more soon, beside the due times; a re-check that already waits is moved."""
        if job_id not in self._jobs:
            return
        at = datetime.fromtimestamp(self._clock() / 1000 + seconds, UTC)
        self._scheduler.add_job(
            self._again, DateTrigger(at, UTC), args=[job_id], id=f"{job_id} again", replace_existing=True
        )

    def start(self, *, now: bool = False) -> None:
        """Begin; with ``now`` every job also looks at once, spread over the first two seconds."""
        self._scheduler.start()
        if now:
            for job_id in self._jobs:
                self.recheck(job_id, phase(job_id, 2.0))

    async def stop(self) -> None:
        """Take no new work, end the looks that run, and let what they showed be told."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._telling:
            await asyncio.wait(self._telling, timeout=_PATIENCE)
        for telling in self._telling:
            telling.cancel()

    async def _due(self, job_id: str) -> None:
        job, now = self._jobs[job_id], self._clock()
        step = round(job.interval * 1000)
        start = round(phase(job_id, job.interval) * 1000)
        self.lateness[job_id].late_ms = (now - start) % step
        await self._guarded(job)

    async def _again(self, job_id: str) -> None:
        await self._guarded(self._jobs[job_id])

    async def _guarded(self, job: Job) -> None:
        if job.id in self._running:
            self.lateness[job.id].skipped += 1
            return
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._running.add(job.id)
        try:
            results = await self._look(job)
        finally:
            self._running.discard(job.id)
        # on its own: while it waits for the disk or a lock, the next look is due all the same
        telling = asyncio.create_task(self._tell_all(results))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell_all(self, results: Sequence[Result]) -> None:
        for result in results:
            try:
                await self._tell(result)
            except Exception:  # noqa: BLE001 - one result that cannot be told must not cost the others
                _log.exception("a result of %s could not be told", result.check)

    async def _look(self, job: Job) -> Sequence[Result]:
        late, asked = self.lateness[job.id], self._clock()
        async with self._types[job.group], self._targets[job.target or job.id]:
            at = self._clock()
            late.runs += 1
            late.waited_ms = at - asked
            try:
                async with asyncio.timeout(job.timeout + _GRACE):
                    results = await job.look(at)
            except Exception as error:  # noqa: BLE001 - the runner is the one place that turns a bug into UNKNOWN
                if job.id not in self._broken:
                    self._broken.add(job.id)
                    _log.exception("check %s failed by itself; its subject is unknown until this is mended", job.id)
                detail = f"{type(error).__name__}: {error}".rstrip(": ")
                return [
                    Result(
                        check=job.id,
                        subject=job.subject,
                        status=Status.UNKNOWN,
                        reason=Reason.BUG,
                        at=at,
                        detail=detail,
                    )
                ]
            finally:
                late.took_ms = self._clock() - at
        if job.id in self._broken:
            self._broken.discard(job.id)
            _log.info("check %s works again", job.id)
        return results

    def _skipped(self, event: JobSubmissionEvent) -> None:
        late = self.lateness.get(event.job_id)
        if late is not None:
            late.skipped += len(event.scheduled_run_times)


def phase(job_id: str, interval: float) -> float:
    """Return where in its interval a job is due, in seconds: always the same for one id, evenly spread over many."""
    digest = hashlib.blake2b(job_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 * interval
