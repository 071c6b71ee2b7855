"""What the schedule looks at: checks, devices, rules and the centre itself; each becomes a job that returns Results."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from alerts.rules import Evidence
from alerts.rules.planned import PlannedRule
from alerts.states import States
from collectors.point import Point
from collectors.result import Result
from collectors.snmp import Device
from server.enrolment.fingerprints import Clones
from server.outside import Outside
from server.store import Store
from server.store.buckets import Buckets
from server.watching.own_jobs import backup_job, clones_job, schedule_job, state_job, store_job
from server.watching.planned_checks import PlannedCheck
from server.watching.punctuality import Punctuality
from server.watching.scheduler import Job
from server.watching.watched import BACKUP_CHECK, CLONES_CHECK, SCHEDULE_CHECK, STATE_CHECK, STORE_CHECK, Watched

Keep = Callable[[Iterable[Point]], None]


class Writers(Protocol):
    """What the ingest knows of hosts that write."""

    @property
    def clones(self) -> Clones: ...  # noqa: D102

    def seen(self) -> Mapping[str, int]:
        """Return host -> when it last wrote, ms of steady time."""
        ...


def devices_of(watched: Watched, before: Mapping[str, Device]) -> dict[str, Device]:
    """Return the devices to poll by id; one whose settings are as ``before`` stays, with its session and what it knows."""
    found = {}
    for name, options in watched.devices.items():
        known = before.get(name)
        found[name] = known if known is not None and known.options == options else Device(options)
    return found


def all_jobs(
    watched: Watched,
    devices: Iterable[Device],
    buckets: Buckets,
    writers: Writers,
    *,
    keep: Keep,
    states: States,
    away: Callable[[], str],
    backlog: Callable[[], int],
    punctuality: Punctuality,
    late: float,
    outside: Outside,
    since: int,
) -> list[Job]:
    """Return every job of the schedule; reads certificate files of checks, so not on the event loop.

    ``devices`` are those to poll, ``keep`` takes points, ``states`` are what is believed, ``away`` why the database of state
    takes nothing ("" = it does), ``backlog`` for how many ms the oldest look waits to be written, ``late`` is the delay in seconds
    that is too much, ``since`` is when the centre began to listen, ms of steady time.
    """
    own, steady = watched.interval, outside.clock.steady

    def behind() -> int:
        return 0 if away() else backlog()  # its own incident tells of a database that is away

    return [
        *(check_job(check) for check in watched.checks.values()),
        *(device_job(device, keep) for device in devices),
        *(rule_job(rule, buckets.main, states, writers.seen, steady, since) for rule in watched.rules.values()),
        store_job(buckets, own(STORE_CHECK)),
        state_job(away, own(STATE_CHECK)),
        clones_job(writers.clones, states, own(CLONES_CHECK), steady, since),
        schedule_job(punctuality, steady, behind, keep, outside.host, late, own(SCHEDULE_CHECK)),
        *([backup_job(watched.backups, outside.in_thread, own(BACKUP_CHECK))] if watched.backups else []),
    ]


def check_job(planned: PlannedCheck) -> Job:
    """Make the job of one check of a service; it may read the check's certificate files, so not on the event loop."""
    check = planned.build()

    async def look(at: int) -> Sequence[Result]:
        return [await check.run(at)]

    return Job(
        id=planned.id,
        subject=planned.subject,
        interval=planned.interval,
        timeout=planned.timeout,
        look=look,
        group=planned.type,
        target=planned.host,
    )


def device_job(device: Device, keep: Callable[[Iterable[Point]], None]) -> Job:
    """Make the job of one SNMP device; its points go to ``keep``."""

    async def look(at: int) -> Sequence[Result]:
        polled = await device.poll(at * 1_000_000)
        keep(polled.points)
        return [polled.result]

    options = device.options
    return Job(
        id=f"snmp/{options.id}",
        subject=f"device/{options.id}",
        interval=options.interval,
        timeout=options.interval,
        look=look,
        group="snmp",
        target=options.address,
    )


def rule_job(
    rule: PlannedRule,
    store: Store,
    states: States,
    last_seen: Callable[[], Mapping[str, int]],
    steady: Callable[[], int],
    listening_since: int,
) -> Job:
    """Make the job of one rule.

    ``states`` are what is believed, ``last_seen`` when each host last wrote, on the scale of ``steady`` (ms), as ``listening_since``
    is.
    """

    async def look(at: int) -> Sequence[Result]:
        known = states.by_subject(rule.check)
        return await rule.evaluate(Evidence(at, steady(), store, known, last_seen(), listening_since))

    return Job(
        id=rule.check,
        subject=f"pantau/{rule.check}",
        interval=rule.table.interval,
        timeout=rule.table.interval,
        look=look,
        group="rule",
        target="",
    )
