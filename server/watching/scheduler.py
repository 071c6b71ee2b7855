"""The schedule: a job a check, spread by the hash of its id on steady time, one look in flight, nothing skipped in silence.

A round is a look, which returns Results, and handing them over: ``tell`` gets them after the slot is free again, so that storing and
alerting never hold one, and returns when they are committed. A due time that comes while the look before runs, or while what two
looks before showed is not committed, is skipped and counted. A re-check after a failed look runs beside the due times and moves none
of them.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final

import msgspec

from alerts.tables import StateAway
from collectors.result import Reason, Result, Status
from configs.clock import Clock
from server.watching.options import Options
from server.watching.punctuality import Punctuality, Round
from server.watching.slots import Slots
from server.watching.timer import Timer

_log: Final = logging.getLogger("pantau.schedule")
_AGAIN: Final = " again"  # which is no part of a job's id
_ROUNDS: Final = 2  # of one job under way: one looks while the one before is written
_FIRST_LOOKS: Final = 20.0  # a second at least, while a start looks at everything once
_DISTURBED: Final = 1_000  # ms that may be lost during a look that still proves that something is bad


class Job(msgspec.Struct, frozen=True):
    """One thing to look at again and again.

    ``interval`` and ``timeout`` are seconds; ``look(at)`` returns Results, ``at`` is the wall clock in ms; ``group`` and ``target``
    name what limits count: the kind of check and the host that it burdens ("" = no host); ``subject`` is named when the look itself
    fails. A look at the centre itself (``own``) takes no slot, so that it can tell that there are none.
    """

    id: str
    subject: str
    interval: float
    timeout: float
    look: Callable[[int], Awaitable[Sequence[Result]]]
    group: str = ""
    target: str = ""
    own: bool = False


class _Seen(msgspec.Struct, frozen=True):
    """What a look showed, and when it began on the steady scale; ``disturbed`` when this process did not run all the while."""

    round: Round
    results: Sequence[Result]
    steady: int
    disturbed: bool


class Schedule:
    """Runs jobs until it is stopped; due times, delays and intervals are differences of the clock's steady time.

    ``tell(results, steady)`` gets all results of a look at once and the ms at which it began; it returns when they are committed,
    and raises StateAway when they are accepted and will be. A look that overstays its own timeout by ``grace`` seconds is cut off
    as a bug; a stop gives ``patience`` seconds to results on their way.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        tell: Callable[[Sequence[Result], int], Awaitable[None]],
        limits: Options = Options(),  # noqa: B008 - frozen
        grace: float = 2.0,
        patience: float = 3.0,
    ) -> None:
        self._clock = clock
        self._tell = tell
        self._grace = grace
        self._patience = patience
        self._slots = Slots(limits)
        self._jobs: dict[str, Job] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._rounds: dict[str, set[asyncio.Task[None]]] = defaultdict(set)
        self._wanted: set[str] = set()
        self._broken: set[str] = set()
        self._stopping = False
        self._timer = Timer(clock.steady)
        self.punctuality = Punctuality()

    def add(self, job: Job) -> None:
        """Run a job from its next due time on; the first look comes within one interval."""
        self._jobs[job.id] = job
        self.punctuality.add(job.id, job.group, job.interval)
        self._timer.every(job.id, self._due, _ms(job.interval), _ms(phase(job.id, job.interval)))

    def replace(self, jobs: Sequence[Job], limits: Options) -> None:
        """Run these jobs and no others, from now on; to be called on the event loop.

        A job keeps its due times as long as its id and interval stay, and a round that is under way goes on; one that is new also
        looks soon, as at a start. Looks of jobs that are gone may end. Other ``limits`` count the looks that begin after this.
        """
        before, self._jobs = self._jobs, {job.id: job for job in jobs}
        for job_id in before.keys() - self._jobs.keys():
            self._timer.remove(job_id)
            self._timer.remove(job_id + _AGAIN)
            self.punctuality.remove(job_id)
        for job in jobs:
            known = before.get(job.id)
            if known is None or known.interval != job.interval or known.group != job.group:
                self.add(job)
        self._broken &= self._jobs.keys()
        self._slots = self._slots.following(limits, map(_target, jobs))
        self._look_soon(job for job in jobs if job.id not in before)

    def recheck(self, job_id: str, seconds: float) -> None:
        """Look once more soon, beside the due times; a re-check that already waits is moved."""
        if job_id in self._jobs:
            self._timer.once(job_id + _AGAIN, self._again, self._clock.steady() + _ms(seconds))

    def start(self, *, now: bool = False) -> None:
        """Begin; with ``now`` every job also looks soon, unless it is due soon."""
        self._timer.start()
        if now:
            self._look_soon(self._jobs.values())

    async def stop(self) -> None:
        """Accept no new work, end the looks that run, and let what they showed be told."""
        self._stopping = True
        self._timer.pause()
        await asyncio.sleep(0)  # what it has just handed over begins, and ends at once
        self._timer.stop()
        for looking in self._looking.values():
            looking.cancel()
        if under_way := [task for rounds in self._rounds.values() for task in rounds]:
            _, late = await asyncio.wait(under_way, timeout=self._patience)
            for task in late:
                task.cancel()

    def _look_soon(self, jobs: Iterable[Job]) -> None:
        """Let jobs look for the first time: at twice the rate of all looks to come, not all at once.

        The centre's own come first, then those that would be due last; who is due before its turn comes needs none.
        """
        now, turn = self._clock.steady(), 0
        rate = max(_FIRST_LOOKS, 2 * sum(1 / job.interval for job in self._jobs.values()))
        pauses = {job.id: (phase(job.id, job.interval) - now / 1000) % job.interval for job in jobs}
        for job_id in sorted(pauses, key=lambda job_id: (not self._jobs[job_id].own, -pauses[job_id], job_id)):
            if turn / rate < pauses[job_id]:
                self.recheck(job_id, turn / rate)
                turn += 1

    def _due(self, job_id: str, due: int) -> None:
        job = self._jobs.get(job_id)
        if job is None or self._stopping:  # it was handed over, and is gone
            return
        first = self.punctuality.handed(job_id, due)
        if job_id in self._looking or self._is_full(job_id):
            self.punctuality.skip(job_id)
        else:
            self._begin(job, first)

    def _again(self, name: str, due: int) -> None:
        job = self._jobs.get(name.removesuffix(_AGAIN))
        if job is None or self._stopping or job.id in self._looking:
            return
        if self._is_full(job.id):  # look when it is not
            self._wanted.add(job.id)
        else:
            self._begin(job, due)

    def _is_full(self, job_id: str) -> bool:
        return len(self._rounds.get(job_id, ())) >= _ROUNDS

    def _begin(self, job: Job, due: int) -> None:
        task = asyncio.create_task(self._round(job, due), name=f"look {job.id}")
        self._looking[job.id] = task
        self._rounds[job.id].add(task)
        task.add_done_callback(partial(self._end, job.id))

    def _end(self, job_id: str, task: asyncio.Task[None]) -> None:
        if self._looking.get(job_id) is task:
            del self._looking[job_id]
        self._rounds[job_id].discard(task)
        if not self._rounds[job_id]:
            del self._rounds[job_id]
        if job_id in self._wanted:
            self._wanted.discard(job_id)
            self.recheck(job_id, 0)

    async def _round(self, job: Job, due: int) -> None:
        seen = await self._undisturbed(job, due)
        self._looking.pop(job.id, None)
        try:
            if seen.results:
                await self._tell(seen.results, seen.steady)
            self.punctuality.commit(seen.round, self._clock.steady())
        except StateAway:
            pass  # its own incident tells of that
        except Exception:  # noqa: BLE001 - one round that cannot be told must not end the schedule
            _log.exception("what %s showed could not be told", job.id)
        finally:
            self.punctuality.give_up(seen.round)

    async def _undisturbed(self, job: Job, due: int) -> _Seen:
        """Look, and once more when this process was stopped, or the clock stepped, meanwhile.

        What did not answer then may have done so while nobody listened: it proves nothing. If the second look was disturbed, too,
        only what is good counts, and the due time as skipped.
        """
        seen = await self._look(job, due)
        if not seen.disturbed:
            return seen
        self.punctuality.give_up(seen.round)
        seen = await self._look(job, self._clock.steady())
        if not seen.disturbed:
            return seen
        self.punctuality.skip(job.id)
        return msgspec.structs.replace(seen, results=[one for one in seen.results if one.status is Status.UP])

    async def _look(self, job: Job, due: int) -> _Seen:
        fault: Exception | None = None
        async with self._slot(job, due) as under_way:
            at, steady, lost = self._clock.now(), self._clock.steady(), self._clock.lost()
            self.punctuality.start(under_way, steady, at)
            try:
                async with asyncio.timeout(job.timeout + self._grace):
                    results = await job.look(at)
            except Exception as error:  # noqa: BLE001 - the runner is the one place that turns a bug into UNKNOWN
                fault = error
            finally:
                self.punctuality.end(under_way, self._clock.steady())
        disturbed = self._clock.lost() - lost > _DISTURBED
        if not disturbed:
            self._note(job, fault)
        return _Seen(under_way, results if fault is None else [_unknown(job, at, fault)], steady, disturbed)

    def _note(self, job: Job, fault: Exception | None) -> None:
        """Log when a check begins to fail by itself, and when it works again; that the state is away is told by itself."""
        if isinstance(fault, StateAway):
            return
        if fault is None:
            if job.id in self._broken:
                _log.info("check %s works again", job.id)
            self._broken.discard(job.id)
        elif job.id not in self._broken:
            self._broken.add(job.id)
            _log.error("check %s failed by itself; its subject is unknown until this is mended", job.id, exc_info=fault)

    @contextlib.asynccontextmanager
    async def _slot(self, job: Job, due: int) -> AsyncIterator[Round]:
        """Wait until the limits allow a look; gives its round, which ends with a look that is cut off."""
        under_way = self.punctuality.ask(job.id, due, self._clock.steady())
        try:
            async with contextlib.AsyncExitStack() as stack:
                if not job.own:
                    for slot in self._slots.of(job.group, _target(job)):
                        await stack.enter_async_context(slot)
                yield under_way
        except BaseException:
            self.punctuality.give_up(under_way)
            raise


def phase(job_id: str, interval: float) -> float:
    """Return where in its interval a job is due, in seconds: always the same for one id, evenly spread over many."""
    digest = hashlib.blake2b(job_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 * interval


def _unknown(job: Job, at: int, fault: Exception) -> Result:
    away = isinstance(fault, StateAway)
    detail = str(fault) if away else f"{type(fault).__name__}: {fault}".rstrip(": ")
    reason = Reason.STATE_AWAY if away else Reason.BUG
    return Result(check=job.id, subject=job.subject, status=Status.UNKNOWN, reason=reason, at=at, detail=detail)


def _target(job: Job) -> str:
    return job.target or job.id


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
