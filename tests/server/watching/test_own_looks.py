"""Looks of the centre at itself that fail by themselves: long enough, and that is believed; the first that works ends it."""

import asyncio

import pytest
from parts import wait_until

from alerts.state import Policy, step
from alerts.states import States
from collectors.result import Reason, Result, Status
from configs.clock import Clock
from server.enrolment.fingerprints import Clones
from server.inventory.register import Register
from server.store.buckets import Bucket, Buckets
from server.watching.expected_backups import ExpectedBackups
from server.watching.own_jobs import backup_job, clones_job, schedule_job, state_job, store_job
from server.watching.punctuality import Punctuality
from server.watching.scheduler import Schedule
from server.watching.watched import Watched

INTERVAL = 15.0
T0 = 1_780_000_000_000


class Broken:
    async def health(self):
        raise ZeroDivisionError("oops")


def broken(*_args):
    raise ZeroDivisionError("oops")


def broken_jobs(data):
    """Return each job of the centre's own, with something inside that fails: the mark of backups is a folder."""
    (data / "last-backup.json").mkdir()
    return {
        job.id: job
        for job in (
            store_job(Buckets([Bucket("pantau", Broken(), 0.0, 0)]), INTERVAL),
            state_job(broken, INTERVAL),
            clones_job(Clones(), States(), INTERVAL, broken, 0),
            schedule_job(Punctuality(), lambda: 0, lambda: 0, broken, "srv", 15.0, INTERVAL),
            backup_job(ExpectedBackups(data, 93600.0), asyncio.to_thread, INTERVAL),
        )
    }


async def shown_by(job):
    """Return what the schedule makes of one look."""
    told = []

    async def tell(results, _steady):
        told.extend(results)

    schedule = Schedule(clock=Clock(), tell=tell)
    schedule.add(job)
    schedule.start()
    schedule.recheck(job.id, 0)
    await wait_until(lambda: told, what=f"a look of {job.id}")
    await schedule.stop()
    return told[0]


@pytest.mark.parametrize("check", ["pantau/store", "pantau/state", "pantau/clones", "pantau/schedule", "pantau/backup"])
async def test_five_minutes_of_looks_that_fail_by_themselves_are_believed_to_be_unknown(check, tmp_path):
    job = await asyncio.to_thread(lambda: broken_jobs(tmp_path)[check])
    shown = await shown_by(job)
    assert (shown.check, shown.subject, shown.status, shown.reason) == (check, check, Status.UNKNOWN, Reason.BUG)
    backups = ExpectedBackups(tmp_path, 93600.0)
    policy = Watched(Register({}, {}, {}, {}), {}, {}, {}, own_interval=INTERVAL, backups=backups).policy(check)
    state, flips = None, []
    looks = [(Status.UP, Reason.OK), *[(shown.status, shown.reason)] * 40, (Status.UP, Reason.OK)]
    for number, (status, reason) in enumerate(looks):
        at = T0 + round(number * INTERVAL * 1000)
        done = step(state, Result(check, check, status, reason, at), policy, steady=at)
        state = done.state
        if done.flip is not None:
            flips.append((done.flip.to_status, done.flip.reason, (done.flip.confirmed - T0) // 1000))
    assert flips[1:] == [(Status.UNKNOWN, Reason.BUG, 315), (Status.UP, Reason.OK, 615)]


async def test_the_look_at_names_that_works_again_ends_what_is_believed_of_itself():
    states = States()
    unknown = Result("pantau/clones", "pantau/clones", Status.UNKNOWN, Reason.BUG, T0)
    states.put(step(None, unknown, Policy(INTERVAL), steady=T0).state)
    job = clones_job(Clones(), states, INTERVAL, lambda: T0, T0 - 300_000)
    assert [(one.subject, one.status) for one in await job.look(T0)] == [("pantau/clones", Status.UP)]
