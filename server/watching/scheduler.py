"""The schedule: one job a check, spread by the hash of its id, one run in flight, nothing skipped in silence.

The only door of APScheduler. A job looks and returns Results; ``tell`` hands them on after the slot is free again, so that
storing and alerting never hold one. A re-check after a failed look runs beside the due times and moves none of them.
Due times that pass without a look, also those that APScheduler merges into one, are counted.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_SUBMITTED, JobSubmissionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from alerts.tables import StateAway
from collectors.result import Reason, Result, Status
from server.watching.options import Options
from server.watching.punctuality import Punctuality

_log: Final = logging.getLogger("pantau.schedule")
_AGAIN: Final = " again"  # which is no part of a job's id
_SPREAD: Final = 2.0  # seconds over which the first looks of all jobs are spread
_AHEAD: Final = 1.0  # seconds beyond its interval that a due time lies ahead only after the clock was set back


class Job(msgspec.Struct, frozen=True):
    """One thing to look at again and again.

    ``interval`` and ``timeout`` are seconds; ``look(at)`` returns Results; ``group`` and ``target`` name what limits count:
    the kind of check and the host that it burdens ("" = no host); ``subject`` is named when the look itself fails. A look at
    the centre itself (``own``) takes no slot, so that it can tell that there are none.
    """

    id: str
    subject: str
    interval: float
    timeout: float
    look: Callable[[int], Awaitable[Sequence[Result]]]
    group: str = ""
    target: str = ""
    own: bool = False


class Schedule:
    """Runs jobs until it is stopped.

    A look that overstays its own timeout by ``grace`` seconds is cut off as a bug; a stop gives ``patience`` seconds to results on
    their way.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        tell: Callable[[Sequence[Result], int], Awaitable[None]],
        limits: Options = Options(),  # noqa: B008 - frozen
        grace: float = 2.0,
        patience: float = 3.0,
    ) -> None:
        self._clock = clock
        self._tell = tell
        self._grace = grace
        self._patience = patience
        self._limits = _Limits(limits)
        self._jobs: dict[str, Job] = {}
        self._running: set[str] = set()
        self._broken: set[str] = set()
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self._due_at: dict[str, int] = {}
        self.punctuality = Punctuality()
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )
        self._scheduler.add_listener(self._handed, EVENT_JOB_SUBMITTED | EVENT_JOB_MAX_INSTANCES)
        # APScheduler warns of each skipped slot in its own words; ours are counted and shown
        logging.getLogger("apscheduler").setLevel(logging.ERROR)

    def add(self, job: Job) -> None:
        """Run a job from its next due time on; the first look comes within one interval."""
        self._jobs[job.id] = job
        self.punctuality.add(job.id, job.group, job.interval)
        self._scheduler.add_job(self._due, _trigger(job), args=[job.id], id=job.id, replace_existing=True)

    def replace(self, jobs: Sequence[Job], limits: Options) -> None:
        """Run these jobs and no others, from now on; to be called on the event loop.

        A job keeps its due times as long as its id and interval stay, and a look that runs goes on; one that is new also looks soon,
        as at a start. Looks of jobs that are gone may end. Other ``limits`` count the looks that begin after this.
        """
        before, self._jobs = self._jobs, {job.id: job for job in jobs}
        for job_id in before.keys() - self._jobs.keys():
            self._remove(job_id)
        for job in jobs:
            known = before.get(job.id)
            if known is None or known.interval != job.interval or known.group != job.group:
                self.add(job)
            if known is None:
                self.recheck(job.id, phase(job.id, _SPREAD))
        self._broken &= self._jobs.keys()
        self._limits = self._limits.following(limits, jobs)

    def _remove(self, job_id: str) -> None:
        for one in (job_id, _again_id(job_id)):
            if self._scheduler.get_job(one) is not None:
                self._scheduler.remove_job(one)
            self._due_at.pop(one, None)
        self.punctuality.remove(job_id)

    def recheck(self, job_id: str, seconds: float) -> None:
        """Look once more soon, beside the due times; a re-check that already waits is moved."""
        if job_id not in self._jobs:
            return
        at = datetime.fromtimestamp(self._clock() / 1000 + seconds, UTC)
        self._scheduler.add_job(
            self._again, DateTrigger(at, UTC), args=[job_id], id=_again_id(job_id), replace_existing=True
        )

    def start(self, *, now: bool = False) -> None:
        """Begin; with ``now`` every job also looks at once, spread over the first two seconds."""
        self._scheduler.start()
        if now:
            for job_id in self._jobs:
                self.recheck(job_id, phase(job_id, _SPREAD))

    def realign(self) -> None:
        """Bring near again the due times that a clock which was set back has left far ahead; call it now and then."""
        now, moved = self._clock() / 1000, 0
        for job in self._jobs.values():
            planned = self._scheduler.get_job(job.id)
            if planned is not None and planned.next_run_time.timestamp() > now + job.interval + _AHEAD:
                self.punctuality.forget_due(job.id)
                self._scheduler.reschedule_job(job.id, trigger=_trigger(job))
                moved += 1
        if moved:
            _log.warning("the clock was set back: %d checks were planned anew", moved)

    async def stop(self) -> None:
        """Accept no new work, end the looks that run, and let what they showed be told."""
        self._stopping = True
        if self._scheduler.running:
            self._scheduler.pause()
            await asyncio.sleep(0)  # what it has just handed over begins, and ends at once
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._patience)
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        if self._telling:
            await asyncio.wait(self._telling, timeout=self._patience)
        for telling in self._telling:
            telling.cancel()

    async def _due(self, job_id: str) -> None:
        job, due = self._jobs.get(job_id), self._due_at.get(job_id)
        if self._stopping or job is None:  # it was handed over, and is gone
            return
        if job_id in self._running:  # a re-check is under way
            self.punctuality.skip(job_id)
        elif due is not None:
            await self._guarded(job, due)

    async def _again(self, job_id: str) -> None:
        job, due = self._jobs.get(job_id), self._due_at.get(_again_id(job_id))
        if job is not None and due is not None and job_id not in self._running and not self._stopping:
            await self._guarded(job, due)

    async def _guarded(self, job: Job, due: int) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._running.add(job.id)
        try:
            results = await self._look(job, due)
        except asyncio.CancelledError:
            if self._stopping:
                return  # a job that ends as cancelled is an error to APScheduler, which it logs with a traceback
            raise
        finally:
            self._running.discard(job.id)
        # on its own: while it waits for the disk or a lock, the next look is due all the same
        telling = asyncio.create_task(self._tell_all(results))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell_all(self, results: Sequence[Result]) -> None:
        try:
            await self._tell(results, self._clock())
        except StateAway:
            pass  # it waits, which is told by itself
        except Exception:  # noqa: BLE001 - the schedule goes on
            _log.exception("results could not be told")

    async def _look(self, job: Job, due: int) -> Sequence[Result]:
        async with self._slot(job, due) as at:
            try:
                async with asyncio.timeout(job.timeout + self._grace):
                    results = await job.look(at)
            except StateAway as error:
                return [_unknown(job, Reason.STATE_AWAY, at, str(error))]
            except Exception as error:  # noqa: BLE001 - the runner is the one place that turns a bug into UNKNOWN
                if job.id not in self._broken:
                    self._broken.add(job.id)
                    _log.exception("check %s failed by itself; its subject is unknown until this is mended", job.id)
                return [_unknown(job, Reason.BUG, at, f"{type(error).__name__}: {error}".rstrip(": "))]
            finally:
                self.punctuality.end(job.id, self._clock())
        if job.id in self._broken:
            self._broken.discard(job.id)
            _log.info("check %s works again", job.id)
        return results

    @contextlib.asynccontextmanager
    async def _slot(self, job: Job, due: int) -> AsyncIterator[int]:
        """Wait until the limits allow a look; gives when that was."""
        self.punctuality.ask(job.id, due, self._clock())
        try:
            async with contextlib.AsyncExitStack() as stack:
                if not job.own:
                    # the narrowest first: who waits for a busy host must not keep slots from all others meanwhile
                    for limit in self._limits.of(job):
                        await stack.enter_async_context(limit)
                at = self._clock()
                self.punctuality.start(job.id, at)
                yield at
        finally:
            self.punctuality.give_up(job.id)

    def _handed(self, event: JobSubmissionEvent) -> None:
        """Record each due time; called before the look begins, or instead of it when the one before still runs."""
        due = round(event.scheduled_run_times[-1].timestamp() * 1000)
        if event.job_id in self._jobs:
            first = self.punctuality.handed(event.job_id, due)
            if event.code == EVENT_JOB_MAX_INSTANCES:
                self.punctuality.skip(event.job_id)
                return
            due = first
        elif event.job_id.removesuffix(_AGAIN) not in self._jobs:
            return  # it is gone
        self._due_at[event.job_id] = due


class _Limits:
    """Slots for looks: in all, of one kind and at one host."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._total = asyncio.Semaphore(options.total)
        self._types: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(options.per_type))
        self._targets: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(options.per_target))

    def of(self, job: Job) -> tuple[asyncio.Semaphore, ...]:
        """Return the slots that a look of a job needs, the narrowest first."""
        return self._targets[job.target or job.id], self._types[job.group], self._total

    def following(self, options: Options, jobs: Sequence[Job]) -> "_Limits":
        """Return the limits after these for ``jobs``: the same slots where the options are the same."""
        if options != self._options:
            return _Limits(options)
        burdened = {job.target or job.id for job in jobs}
        for target in self._targets.keys() - burdened:
            del self._targets[target]
        return self


def _unknown(job: Job, reason: Reason, at: int, detail: str) -> Result:
    return Result(check=job.id, subject=job.subject, status=Status.UNKNOWN, reason=reason, at=at, detail=detail)


def _again_id(job_id: str) -> str:
    return job_id + _AGAIN


def _trigger(job: Job) -> IntervalTrigger:
    first = datetime.fromtimestamp(phase(job.id, job.interval), UTC)
    return IntervalTrigger(seconds=job.interval, start_date=first, timezone=UTC)  # type: ignore[arg-type,unused-ignore]


def phase(job_id: str, interval: float) -> float:
    """Return where in its interval a job is due, in seconds: always the same for one id, evenly spread over many."""
    digest = hashlib.blake2b(job_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 * interval
