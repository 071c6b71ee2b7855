"""What the centre sees of itself: its stores, the names of hosts, its own schedule; each is a job that returns Results."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from alerts.states import States
from collectors.point import Point
from collectors.result import Reason, Result, Status
from server.enrolment.fingerprints import Clones
from server.outside import InThread
from server.state.last_backup import last_backup, moment
from server.store.buckets import Buckets
from server.watching.expected_backups import ExpectedBackups
from server.watching.punctuality import Punctuality, to_points
from server.watching.scheduler import Job
from server.watching.watched import BACKUP_CHECK, CLONES_CHECK, SCHEDULE_CHECK, STATE_CHECK, STORE_CHECK

_STORE_TIMEOUT: Final = 10.0


def store_job(buckets: Buckets, interval: float) -> Job:
    """Make the job that watches the stores of all buckets: one incident when one cannot be read, not one a rule.

    Without the first one the centre sees nothing; without another its writers keep their points.
    """

    async def look(at: int) -> Sequence[Result]:
        found = await buckets.health()
        main, *others = found
        wrong = [found[main]] + [f"bucket {name}: {found[name]}" for name in others if found[name]]
        wrong += [f"bucket {name}: {lost}" for name, lost in (await buckets.damage()).items() if lost]
        bad = Status.DOWN if found[main] else Status.DEGRADED
        return [_own(STORE_CHECK, STORE_CHECK, at, "; ".join(filter(None, wrong)), Reason.STORE_UNREADABLE, bad)]

    return _own_job(STORE_CHECK, "store", look, interval, _STORE_TIMEOUT)


def state_job(away: Callable[[], str], interval: float) -> Job:
    """Make the job that watches the database of state; ``away`` says why nothing can be written. What it sees is judged afterwards."""

    async def look(at: int) -> Sequence[Result]:
        return [_own(STATE_CHECK, STATE_CHECK, at, away(), Reason.STATE_AWAY, Status.DOWN)]

    return _own_job(STATE_CHECK, "state", look, interval, _STORE_TIMEOUT)


def clones_job(clones: Clones, states: States, interval: float, steady: Callable[[], int], listening_since: int) -> Job:
    """Make the job that tells of two machines under one name.

    ``states`` are what is believed, ``listening_since`` is when hosts could begin to write, on the scale of ``steady`` (ms).
    """

    async def look(at: int) -> Sequence[Result]:
        now = steady()
        wrong = {f"host/{one.host}": one.words() for one in clones.conflicts(now)}
        before = set(states.by_subject(CLONES_CHECK)) if clones.settled(listening_since, now) else set()
        return [
            _own(CLONES_CHECK, subject, at, wrong.get(subject, ""), Reason.CLONE)
            for subject in sorted(before | wrong.keys())
        ]

    return _own_job(CLONES_CHECK, "clones", look, interval, _STORE_TIMEOUT)


def schedule_job(
    punctuality: Punctuality,
    steady: Callable[[], int],
    backlog: Callable[[], int],
    keep: Callable[[Iterable[Point]], None],
    host: str,
    late: float,
    interval: float,
) -> Job:
    """Make the job that watches the schedule itself; what it sees goes to ``keep``, ``late`` is the delay in seconds that is too much.

    ``steady`` is steady time and ``backlog`` how long the oldest look waits to be written, both ms.
    """

    async def look(at: int) -> Sequence[Result]:
        taken = punctuality.take(steady())
        keep(to_points(taken, host, at))
        return [_own(SCHEDULE_CHECK, SCHEDULE_CHECK, at, punctuality.trouble(taken, late, backlog()), Reason.LATE)]

    return _own_job(SCHEDULE_CHECK, "schedule", look, interval, interval)


def backup_job(expected: ExpectedBackups, in_thread: InThread, interval: float) -> Job:
    """Make the job that tells when backups have stopped, or never began; it reads their mark ``in_thread``."""

    async def look(at: int) -> Sequence[Result]:
        last = await in_thread(last_backup, expected.data)
        wrong = ""
        if last is None:
            wrong = "no backup was made yet"
        elif at - last.at > expected.age * 1000:
            wrong = f"no backup since {moment(last.at)}"
        return [_own(BACKUP_CHECK, BACKUP_CHECK, at, wrong, Reason.NO_BACKUP)]

    return _own_job(BACKUP_CHECK, "backup", look, interval, _STORE_TIMEOUT)


def _own(check: str, subject: str, at: int, wrong: str, reason: Reason, bad: Status = Status.DEGRADED) -> Result:
    """Return what the centre sees of itself: all is well when nothing is ``wrong``."""
    return Result(
        check=check,
        subject=subject,
        status=bad if wrong else Status.UP,
        reason=reason if wrong else Reason.OK,
        at=at,
        detail=wrong,
    )


def _own_job(
    check: str, group: str, look: Callable[[int], Awaitable[Sequence[Result]]], interval: float, timeout: float
) -> Job:
    return Job(id=check, subject=check, interval=interval, timeout=timeout, look=look, group=group, own=True)
