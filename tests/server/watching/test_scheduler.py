import asyncio
import time

import pytest
from parts import wait_until

from alerts.tables import StateAway
from collectors.result import Reason, Result, Status
from configs.clock import Clock
from server.watching.options import Options as Limits
from server.watching.scheduler import Job, Schedule, phase


class Machine:
    """What a clock reads of a machine that sleeps and whose wall clock is set, without any waiting."""

    slept = 0.0  # seconds
    stepped = 0.0

    def monotonic(self):
        return time.monotonic() + self.slept

    def wall(self):
        return round((time.time() + self.slept + self.stepped) * 1000)


def good(check, at):
    return Result(check=check, subject="service/a", status=Status.UP, reason=Reason.OK, at=at)


@pytest.fixture
async def schedule(request):
    told, rounds = [], []

    async def tell(results, steady):
        told.extend(results)
        rounds.append((results, steady))

    machine = Machine()
    clock = Clock(machine.wall, machine.monotonic)

    async def tick():
        while True:
            clock.tick()
            await asyncio.sleep(0.1)

    ticking = asyncio.create_task(tick())
    made = Schedule(clock=clock, tell=tell, **getattr(request, "param", {}))
    made.told, made.rounds, made.clock, made.machine = told, rounds, clock, machine
    yield made
    await made.stop()
    ticking.cancel()


def job(look, *, name="a", interval=0.2, timeout=5.0, target=""):
    return Job(id=name, subject="service/a", interval=interval, timeout=timeout, look=look, target=target)


async def test_due_times_lie_on_the_phase_of_the_id_and_do_not_drift(schedule):
    due = []

    async def look(at):
        due.append(schedule._timer.due("a") / 1000)
        await asyncio.sleep(0.05)
        return [good("a", at)]

    schedule.add(job(look))
    schedule.start()
    await wait_until(lambda: len(schedule.told) >= 7)
    assert all(abs((moment - phase("a", 0.2) + 0.1) % 0.2 - 0.1) < 0.0011 for moment in due)
    offsets = sorted((steady / 1000 - phase("a", 0.2)) % 0.2 for _, steady in schedule.rounds)
    assert offsets[0] < 0.1  # at least one came in time, however busy this machine is
    assert schedule.punctuality.jobs["a"].runs >= 7


def test_phases_are_spread_evenly_and_stable():
    phases = sorted(phase(f"check-{number}", 60.0) for number in range(600))
    assert phase("check-1", 60.0) == phase("check-1", 60.0)
    for tenth in range(10):
        assert 30 < sum(tenth * 6 <= value < tenth * 6 + 6 for value in phases) < 95


async def test_one_run_is_in_flight_and_skipped_slots_are_counted(schedule):
    running, most = 0, 0

    async def look(at):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.5)
        running -= 1
        return [good("a", at)]

    schedule.add(job(look, interval=0.1))
    schedule.start()
    await wait_until(lambda: schedule.punctuality.jobs["a"].skipped >= 3)
    schedule.recheck("a", 0)
    await wait_until(lambda: len(schedule.told) >= 2)
    assert most == 1


async def test_a_bug_in_a_check_is_unknown_and_the_next_look_goes_on(schedule):
    looks = 0

    async def look(at):
        nonlocal looks
        looks += 1
        if looks == 1:
            raise ZeroDivisionError("oops")
        return [good("a", at)]

    schedule.add(job(look))
    schedule.start()
    await wait_until(lambda: len(schedule.told) >= 2)
    first, second = schedule.told[:2]
    assert (first.status, first.reason, first.detail) == (Status.UNKNOWN, Reason.BUG, "ZeroDivisionError: oops")
    assert second.status is Status.UP


@pytest.mark.parametrize("schedule", [{"grace": 0.1}], indirect=True)
async def test_a_look_that_overstays_is_cut_off_and_others_are_not_disturbed(schedule):
    async def hang(at):
        await asyncio.sleep(60)

    async def look(at):
        return [good("b", at)]

    schedule.add(job(hang, name="a", interval=5, timeout=0.1))
    schedule.add(job(look, name="b", interval=0.1))
    schedule.start(now=True)
    await wait_until(lambda: any(result.check == "a" for result in schedule.told))
    cut = next(result for result in schedule.told if result.check == "a")
    assert (cut.status, cut.reason) == (Status.UNKNOWN, Reason.BUG)
    await wait_until(lambda: sum(result.check == "b" for result in schedule.told) >= 5)


@pytest.mark.parametrize("schedule", [{"limits": Limits(per_type=64, per_target=1)}], indirect=True)
async def test_waiting_for_a_slot_of_the_target_is_recorded_and_is_not_response_time(schedule):
    async def look(at):
        await asyncio.sleep(1)
        return [Result(check="x", subject="service/a", status=Status.UP, reason=Reason.OK, at=at)]

    for name in ("a", "b", "c"):
        schedule.add(job(look, name=name, interval=10**8, target="one.example"))
    schedule.start()
    for name in ("a", "b", "c"):
        schedule.recheck(name, 0)
    await wait_until(lambda: len(schedule.told) == 3)
    waited = sorted(late.waited_ms for late in schedule.punctuality.jobs.values())
    assert waited[0] < 900 < waited[1] < waited[2]
    assert all(late.took_ms < 1900 for late in schedule.punctuality.jobs.values())
    starts = sorted(result.at for result in schedule.told)
    assert starts[1] - starts[0] >= 990


@pytest.mark.parametrize("schedule", [{"patience": 0.1, "limits": Limits(total=1)}], indirect=True)
async def test_a_slow_tell_holds_no_slot_but_not_more_than_two_rounds_of_a_job_wait_for_it(schedule):
    end = asyncio.Event()

    async def slow_tell(results, steady):
        if results[0].check == "a":
            await end.wait()
        schedule.told.extend(results)

    schedule._tell = slow_tell
    looked = []

    async def look(at):
        looked.append(at)
        return [good("a", at)]

    async def look_beside(at):
        return [good("b", at)]

    schedule.add(job(look, interval=0.2))
    schedule.add(job(look_beside, name="b", interval=0.2))
    schedule.start()
    await wait_until(lambda: schedule.punctuality.jobs["a"].skipped >= 4 and len(schedule.told) >= 3)
    assert len(looked) == 2
    assert {result.check for result in schedule.told} == {"b"}
    schedule.recheck("a", 0)
    await wait_until(lambda: schedule._wanted)
    end.set()
    await wait_until(lambda: len(looked) >= 4)


async def test_a_recheck_comes_soon_and_moves_no_due_time(schedule):
    async def look(at):
        return [good("a", at)]

    schedule.add(job(look, interval=10**8))
    schedule.start()
    due = schedule._timer.due("a")
    schedule.recheck("a", 0.1)
    await wait_until(lambda: schedule.told)
    assert schedule._timer.due("a") == due


def waiting(schedule):
    """Return how many looks wait for a slot."""
    return sum(under_way.started is None for under_way in schedule.punctuality._rounds)


def stand_still(schedule, seconds):
    """Let the loop have stood still for that long: the next due time of "a" is past, the look before that was on time."""
    planned = schedule._timer.due("a")
    interval = round(schedule._jobs["a"].interval * 1000)
    moved = planned - interval * (1 + round(seconds * 1000) // interval)
    schedule.punctuality.handed("a", moved - interval)
    schedule._timer._scheduler.modify_job("a", next_run_time=schedule._timer._zone.at(moved))


async def test_due_times_that_were_merged_into_one_look_are_counted_as_skipped_and_it_is_late_since_the_first(schedule):
    async def look(at):
        return [good("a", at)]

    schedule.add(job(look, interval=10**6))  # so long that no due time comes by itself meanwhile
    schedule.start()
    stand_still(schedule, 4 * 10**6)
    await wait_until(lambda: schedule.told)
    known = schedule.punctuality.jobs["a"]
    assert (known.runs, known.skipped) == (1, 4)
    assert 4 * 10**9 < known.late_ms < known.committed_ms + 1


async def test_a_late_recheck_is_not_told_as_a_late_look_of_before(schedule):
    async def look(at):
        return [good("a", at)]

    schedule.add(job(look, interval=3600))
    schedule.start()
    stand_still(schedule, 3600)
    await wait_until(lambda: schedule.told)
    assert schedule.punctuality.jobs["a"].late_ms >= 3_600_000
    schedule.recheck("a", 0)
    await wait_until(lambda: len(schedule.told) == 2)
    assert schedule.punctuality.jobs["a"].late_ms < 60_000


async def test_a_due_time_during_a_recheck_is_counted_and_a_recheck_during_a_look_is_no_due_time(schedule):
    end = asyncio.Event()

    async def look(at):
        await end.wait()
        return [good("a", at)]

    schedule.add(job(look, interval=3600))
    schedule.start()
    schedule.recheck("a", 0)
    await wait_until(lambda: schedule.punctuality.jobs["a"].runs == 1)
    schedule._again("a again", schedule.clock.steady())
    assert schedule.punctuality.jobs["a"].skipped == 0
    schedule._due("a", schedule.clock.steady())
    assert schedule.punctuality.jobs["a"].skipped == 1
    end.set()


@pytest.mark.parametrize("schedule", [{"limits": Limits(per_type=2, per_target=1)}], indirect=True)
async def test_a_host_that_does_not_answer_keeps_no_slot_from_the_checks_of_others(schedule):
    async def hang(at):
        await asyncio.sleep(60)

    async def look(at):
        return [good("b", at)]

    for name in ("a1", "a2", "a3"):
        schedule.add(job(hang, name=name, interval=3600, timeout=60, target="dead.example"))
    schedule.add(job(look, name="b", interval=3600, target="one.example"))
    schedule.start()
    for name in ("a1", "a2", "a3"):
        schedule.recheck(name, 0)
    await wait_until(lambda: schedule.punctuality.jobs["a1"].runs + waiting(schedule) >= 3)
    schedule.recheck("b", 0)
    await wait_until(lambda: schedule.told)


@pytest.mark.parametrize("schedule", [{"limits": Limits(total=1)}], indirect=True)
async def test_all_looks_together_have_a_limit_but_a_look_at_the_centre_itself_takes_no_slot(schedule):
    async def hang(at):
        await asyncio.sleep(60)

    async def look(at):
        return [good("own", at)]

    schedule.add(job(hang, name="a", interval=3600, timeout=60))
    schedule.add(job(hang, name="b", interval=3600, timeout=60))
    schedule.add(Job(id="own", subject="own", interval=3600, timeout=5, look=look, own=True))
    schedule.start()
    for name in ("a", "b"):
        schedule.recheck(name, 0)
    await wait_until(lambda: waiting(schedule) == 1)
    schedule.recheck("own", 0)
    await wait_until(lambda: schedule.told)
    assert sum(schedule.punctuality.jobs[name].runs for name in ("a", "b")) == 1


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_step_of_the_wall_clock_moves_no_due_time_and_skips_none(schedule, hours):
    async def look(at):
        return [good("a", at)]

    schedule.add(job(look, interval=0.2))
    schedule.start()
    await wait_until(lambda: schedule.told)
    before = schedule.told[-1].at
    schedule.machine.stepped = hours * 3600
    await wait_until(lambda: abs(schedule.told[-1].at - before - hours * 3_600_000) < 600_000)
    count = len(schedule.told)
    await wait_until(lambda: len(schedule.told) >= count + 3)
    assert schedule.punctuality.jobs["a"].skipped < 100  # not the 18,000 of that hour; a busy machine skips one or two
    assert schedule.punctuality.jobs["a"].late_ms < 600_000
    steady = [moment for _, moment in schedule.rounds]
    assert steady == sorted(steady)
    assert steady[-1] - steady[0] < 600_000


async def test_a_machine_that_slept_for_hours_has_skipped_nothing_and_looks_go_on_by_their_intervals(schedule):
    async def look(at):
        return [good("a", at)]

    schedule.add(job(look, interval=0.2))
    schedule.start()
    await wait_until(lambda: schedule.told)
    schedule.machine.slept = 36_000
    count = len(schedule.told)
    await wait_until(lambda: len(schedule.told) >= count + 4)
    assert schedule.punctuality.jobs["a"].skipped < 100
    assert max(moment for _, moment in schedule.rounds) - schedule.rounds[0][1] < 600_000


def bad(check, at):
    return Result(check=check, subject="service/a", status=Status.DOWN, reason=Reason.TIMEOUT, at=at)


async def test_a_look_during_which_the_process_was_stopped_proves_nothing_bad_and_is_repeated_at_once(schedule):
    looks = []

    async def look(at):
        looks.append(at)
        if len(looks) == 1:
            schedule.machine.slept = 40
            return [bad("a", at)]
        return [good("a", at)]

    schedule.add(job(look, interval=10**6))
    schedule.start()
    schedule.recheck("a", 0)
    await wait_until(lambda: schedule.told)
    assert len(looks) == 2
    assert [result.status for result in schedule.told] == [Status.UP]
    assert schedule.punctuality.jobs["a"].skipped == 0


@pytest.mark.parametrize(("seconds", "hours"), [(40, 0), (0, -1), (0, 1)])
async def test_when_the_second_look_was_disturbed_as_well_only_what_is_good_counts(schedule, seconds, hours, caplog):
    looks = []

    async def look(at):
        looks.append(at)
        schedule.machine.slept += seconds
        schedule.machine.stepped += hours * 3600
        if len(looks) == 3:
            raise TimeoutError
        return [bad("a", at), good("a", at)]

    schedule.add(job(look, interval=10**6))
    schedule.start()
    schedule.recheck("a", 0)
    await wait_until(lambda: schedule.told)
    assert len(looks) == 2
    assert [result.status for result in schedule.told] == [Status.UP]
    assert schedule.punctuality.jobs["a"].skipped == 1
    schedule.recheck("a", 0)
    await wait_until(lambda: len(looks) == 4 and not schedule._rounds)
    assert [result.status for result in schedule.told] == [Status.UP, Status.UP]
    assert caplog.records == []  # a look that ran out of time while nobody looked is no bug


async def test_all_results_of_a_look_are_told_at_once_with_the_steady_time_at_which_it_began(schedule):
    began = []

    async def look(at):
        began.append(schedule.clock.steady())
        await asyncio.sleep(0.3)
        return [good("a", at), bad("a", at)]

    schedule.add(job(look, interval=10**6))
    schedule.start()
    schedule.recheck("a", 0)
    await wait_until(lambda: schedule.rounds)
    ((results, steady),) = schedule.rounds
    assert len(results) == 2
    assert 0 <= began[0] - steady < 300


async def test_what_waits_for_a_database_that_is_away_is_no_lateness_and_holds_no_round(schedule):
    async def tell(results, steady):
        schedule.told.extend(results)
        raise StateAway("gone")

    schedule._tell = tell

    async def look(at):
        return [good("a", at)]

    schedule.add(job(look, interval=0.1))
    schedule.start()
    await wait_until(lambda: len(schedule.told) >= 3)
    assert schedule.punctuality.jobs["a"].committed_ms == 0


def first_looks(count, interval):
    """Return the seconds after the start at which each of so many jobs looks for the first time, re-checks and due times together."""
    schedule = Schedule(clock=Clock(lambda: 0, lambda: 0.0), tell=None)
    planned = {}
    schedule._timer.once = lambda name, _call, at: planned.setdefault(name.removesuffix(" again"), at / 1000)
    jobs = [job(None, name=f"check-{number}", interval=interval) for number in range(count)]
    schedule._jobs = {one.id: one for one in (*jobs, Job("own", "own", 15.0, 5.0, None, own=True))}
    schedule._look_soon(schedule._jobs.values())
    return planned, {one.id: phase(one.id, interval) for one in jobs}


def test_a_small_city_is_looked_at_within_two_seconds_of_the_start_and_the_centre_itself_first():
    planned, due = first_looks(38, 60.0)
    assert planned["own"] == 0
    assert all(planned.get(name, due[name]) <= 2 for name in due)


def test_ten_thousand_checks_are_never_more_than_fifty_a_second_from_the_first_second_on():
    planned, due = first_looks(10_000, 600.0)
    moments = sorted([*(planned[name] for name in planned), *due.values()])
    most = max(sum(1 for moment in moments if second <= moment < second + 10) for second in range(0, 590, 5))
    assert most <= 10 * 55  # an even hash is even only on the whole
    assert max(min(planned.get(name, 600.0), due[name]) for name in due) < 240


async def test_a_stop_ends_looks_that_run_and_those_that_are_due_at_that_moment_without_a_complaint(schedule, caplog):
    begun = []

    async def look(at):
        begun.append(at)
        await asyncio.sleep(3600)
        return []

    for number in range(50):
        schedule.add(job(look, name=f"check-{number}", interval=0.02))
    schedule.start(now=True)
    await wait_until(lambda: len(begun) >= 5)
    await schedule.stop()
    await asyncio.sleep(0.05)
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []
    assert schedule.told == []


async def test_replaced_jobs_keep_their_due_times_and_the_look_that_runs(schedule):
    gate, looks = asyncio.Event(), []

    async def slow(at):
        await gate.wait()
        return [good("slow", at)]

    def noting(name):
        async def look(at):
            looks.append(name)
            return [good(name, at)]

        return look

    schedule.add(job(slow, name="slow", interval=60))
    schedule.add(job(noting("old"), name="a", interval=0.3))
    schedule.add(job(noting("gone"), name="b", interval=0.3))
    schedule.start()
    schedule.recheck("slow", 0)
    await wait_until(lambda: "slow" in schedule._looking and {"old", "gone"} <= {*looks})
    due = schedule._timer.due("slow")
    schedule.replace(
        [
            job(noting("slow anew"), name="slow", interval=60),
            job(noting("new"), name="a", interval=0.3),
            job(noting("other"), name="c", interval=60),
        ],
        Limits(),
    )
    looks.clear()
    assert schedule._timer.due("slow") == due
    assert "slow" in schedule._looking
    gate.set()
    await wait_until(lambda: looks.count("new") >= 3 and "other" in looks)
    assert not {"old", "gone"} & {*looks}
    assert [result.check for result in schedule.told].count("slow") == 1
    assert sorted(schedule.punctuality.jobs) == ["a", "c", "slow"]
    assert sum(tally.jobs for tally in schedule.punctuality.take(schedule.clock.steady()).values()) == 3


async def test_a_look_that_ends_after_its_job_is_gone_disturbs_nothing(schedule):
    gate = asyncio.Event()

    async def slow(at):
        await gate.wait()
        return [good("a", at)]

    schedule.add(job(slow, interval=60))
    schedule.start()
    schedule.recheck("a", 0)
    await wait_until(lambda: "a" in schedule._looking)
    schedule.replace([], Limits())
    gate.set()
    await wait_until(lambda: not schedule._rounds and schedule.told)
    assert schedule.punctuality.jobs == {}
    schedule.recheck("a", 0)  # asked for by its result
    assert schedule._timer._scheduler.get_jobs() == []


async def test_other_limits_count_the_looks_that_begin_after(schedule):
    most, now = 0, 0

    async def look(at):
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.05)
        now -= 1
        return [good("a", at)]

    jobs = [job(look, name=f"job-{number}", interval=0.2, target="x") for number in range(8)]
    schedule.replace(jobs, Limits(per_target=1))
    schedule.start()
    await wait_until(lambda: len(schedule.told) > 8)
    assert most == 1
    schedule.replace(jobs, Limits(per_target=8))
    await wait_until(lambda: most > 1)
