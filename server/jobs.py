"""What the schedule looks at: checks, devices, rules, and the store itself; each becomes a job that returns Results."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from alerts.rules import Rule, evaluate
from alerts.state import State
from collectors.point import Point
from collectors.result import Reason, Result, Status
from collectors.snmp import Device
from server.inventory import STORE_CHECK
from server.schedule import Job
from server.settings import PlannedCheck
from server.store import Store, StoreUnavailable

_STORE_TIMEOUT: Final = 10.0


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
    rule: Rule,
    store: Store,
    known: Callable[[str], Awaitable[Sequence[State]]],
    seen: Callable[[], Mapping[str, int]],
    listening_since: int,
) -> Job:
    """Make the job of one rule; ``known`` gives the states of a check, ``seen`` when each host last wrote (ms)."""

    async def look(at: int) -> Sequence[Result]:
        return await evaluate(
            rule,
            store,
            known=await known(rule.check),
            seen=seen(),
            at=at,
            listening_since=listening_since,
            unavailable=StoreUnavailable,
        )

    return Job(
        id=rule.check,
        subject=f"pantau/{rule.check}",
        interval=rule.interval,
        timeout=rule.interval,
        look=look,
        group="rule",
        target="",
    )


def store_job(store: Store, interval: float) -> Job:
    """Make the job that watches the store itself: one incident when it cannot be read, not one a rule."""

    async def look(at: int) -> Sequence[Result]:
        wrong = await store.health()
        return [
            Result(
                check=STORE_CHECK,
                subject=STORE_CHECK,
                status=Status.DOWN if wrong else Status.UP,
                reason=Reason.STORE_UNREADABLE if wrong else Reason.OK,
                at=at,
                detail=wrong,
            )
        ]

    return Job(id=STORE_CHECK, subject=STORE_CHECK, interval=interval, timeout=_STORE_TIMEOUT, look=look, group="store")
