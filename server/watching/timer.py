"""The door of APScheduler: calls functions at steady times, so that a stop, a suspend or a step of the wall clock moves none."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from apscheduler.events import EVENT_JOB_SUBMITTED, JobSubmissionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AT_ONCE: Final = 100  # calls of one name that APScheduler has not seen the end of; each only begins something

Call = Callable[[str, int], None]


class Timer:
    """Calls functions with a name and the time that was due, in ms of ``steady``; due times that passed meanwhile are one call.

    It runs on the event loop, from ``start`` on.
    """

    def __init__(self, steady: Callable[[], int]) -> None:
        self._zone = _Steady(steady)
        self._due: dict[str, int] = {}
        self._scheduler = AsyncIOScheduler(
            timezone=self._zone,
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": _AT_ONCE},
        )
        self._scheduler.add_listener(self._submitted, EVENT_JOB_SUBMITTED)
        logging.getLogger("apscheduler").setLevel(logging.ERROR)

    def every(self, name: str, call: Call, interval: int, phase: int) -> None:
        """Call at each multiple of ``interval`` ms plus ``phase`` from now on, instead of what the name was called for before."""
        self._plan(name, call, _Every(self._zone, interval, phase))

    def once(self, name: str, call: Call, at: int) -> None:
        """Call once, at ``at`` or as soon as possible, instead of what the name was called for before."""
        self._plan(name, call, _Once(self._zone, at))

    def due(self, name: str) -> int | None:
        """Return when a name is called next; None when it is not, or the timer has not started."""
        job = self._scheduler.get_job(name)
        return None if job is None or job.pending else _ms(job.next_run_time)

    def remove(self, name: str) -> None:
        """Call a name no more; one that nobody planned is no error."""
        if self._scheduler.get_job(name) is not None:
            self._scheduler.remove_job(name)

    def start(self) -> None:
        """Begin; to be called on the event loop."""
        self._scheduler.start()

    def pause(self) -> None:
        """Begin nothing new; what was handed over already is still called."""
        if self._scheduler.running:
            self._scheduler.pause()

    def stop(self) -> None:
        """End for good, once nothing that was handed over waits to be called."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _plan(self, name: str, call: Call, trigger: BaseTrigger) -> None:
        self._scheduler.add_job(self._run, trigger, args=[name, call], id=name, replace_existing=True)

    def _submitted(self, event: JobSubmissionEvent) -> None:
        """Keep the due time: APScheduler tells it here, after it has handed over the call and before the call begins."""
        self._due[event.job_id] = _ms(event.scheduled_run_times[-1])

    async def _run(self, name: str, call: Call) -> None:
        due = self._due.pop(name, None)
        if due is not None:
            call(name, due)


class _Steady(tzinfo):
    """The "zone" in which it is now what ``steady`` says: APScheduler asks ``datetime.now`` of its zone what time it is."""

    def __init__(self, steady: Callable[[], int]) -> None:
        self._steady = steady

    def fromutc(self, _dt: datetime, /) -> datetime:
        return self.at(self._steady())

    def at(self, ms: int) -> datetime:
        return (_EPOCH + timedelta(milliseconds=ms)).replace(tzinfo=self)

    def utcoffset(self, _dt: datetime | None, /) -> timedelta:
        return timedelta(0)

    def dst(self, _dt: datetime | None, /) -> timedelta:
        return timedelta(0)

    def tzname(self, _dt: datetime | None, /) -> str:
        return "steady"


class _Every(BaseTrigger):  # type: ignore[misc,unused-ignore]
    __slots__ = ("_interval", "_phase", "_zone")

    def __init__(self, zone: _Steady, interval: int, phase: int) -> None:
        self._zone = zone
        self._interval = interval
        self._phase = phase

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        if previous_fire_time is not None:
            return previous_fire_time + timedelta(milliseconds=self._interval)
        passed = (_ms(now) - self._phase) // self._interval
        return self._zone.at((passed + 1) * self._interval + self._phase)


class _Once(BaseTrigger):  # type: ignore[misc,unused-ignore]
    __slots__ = ("_at",)

    def __init__(self, zone: _Steady, at: int) -> None:
        self._at = zone.at(at)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:  # noqa: ARG002 - the protocol
        return self._at if previous_fire_time is None else None


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
