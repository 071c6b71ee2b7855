"""What waits for more looks, across a sleep, a step of the clock, a restart, and a row that could not be written."""

import random
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judging import judge_on

from alerts.route import Contact, Via, connect
from alerts.state import Policy, step
from alerts.state_rows import all_states, from_row, to_row
from alerts.subject_info import SubjectInfo
from alerts.unseen import interrupted, resumed
from collectors.result import Reason, Result, Status
from configs.clock import Clock

START = 1_780_000_000_000
MINUTE, HOUR = 60_000, 3_600_000
UP, DOWN, UNKNOWN = Status.UP, Status.DOWN, Status.UNKNOWN
POLICY = Policy(interval=60, confirm=2)
REASONS = {UP: Reason.OK, Status.DEGRADED: Reason.SLOW, DOWN: Reason.REFUSED, UNKNOWN: Reason.BUG}


def look(status, at, reason=None):
    return Result("web", "service/simpus", status, reason or REASONS[status], at)


def walk(looks, policy, *, state=None, ahead=0):
    """Return the last step of looks (status, at, reason) on steady time that is ``ahead`` of the wall clock by so many ms."""
    last = None
    for one in looks:
        last = step(state, one, policy, steady=one.at + ahead)
        state = last.state
    return last


def restarted(state, now, steady):
    return resumed(from_row(to_row(state)), now=now, steady=steady)


def without_steady(state):
    """Return what can be compared of states on scales of their own."""
    return msgspec.structs.replace(
        state,
        seen_steady=0,
        pending_last=state.pending_last - state.seen_steady if state.pending_status else 0,
        blind_last=state.blind_last - state.seen_steady if state.blind_count else 0,
        recent=state.recent.shifted(-state.seen_steady),
    )


@given(
    seed=st.integers(0, 2**32),
    policy=st.builds(
        Policy,
        interval=st.just(60),
        confirm=st.integers(1, 3),
        hold=st.sampled_from([0.0, 150.0, 3600.0]),
        recover=st.integers(1, 2),
        recover_hold=st.sampled_from([0.0, 90.0]),
        unstable=st.sampled_from([None, (3, 10)]),
        blind_for=st.sampled_from([None, 300.0]),
    ),
)
def test_a_restart_on_any_scale_changes_no_flip_and_nothing_that_the_ledger_is_told(seed, policy):
    chance = random.Random(seed)
    at, mood, ahead = START, UP, 0
    stayed = again = None
    for _ in range(150):
        at += chance.choices([MINUTE, 10_000, 170_000, 10 * HOUR], [90, 5, 4, 1])[0]
        if chance.random() < 0.15:
            mood = chance.choice(list(Status))
        result = look(chance.choice(list(Status)) if chance.random() < 0.1 else mood, at)
        first = step(stayed, result, policy, steady=at)
        second = step(again, result, policy, steady=at + ahead)
        assert first.flip == second.flip
        assert first.seen == second.seen
        assert without_steady(first.state) == without_steady(second.state)
        stayed, again = first.state, second.state
        if chance.random() < 0.2:
            ahead = chance.randrange(-10 * HOUR, 10 * HOUR)
            later = at + chance.randrange(10_000)
            again = restarted(again, later, later + ahead)


def test_what_a_rule_held_for_long_is_held_after_a_restart_though_the_machine_slept_before():
    policy = Policy(interval=60, confirm=2, hold=3600.0)
    slept = -2 * HOUR
    failing = [look(DOWN, START + number * MINUTE) for number in range(56)]
    state = walk([look(UP, START - MINUTE), *failing], policy, ahead=slept).state
    assert state.pending_held == 55 * MINUTE
    after = restarted(state, failing[-1].at + 5000, failing[-1].at + 5000)
    last = walk([look(DOWN, failing[-1].at + number * MINUTE) for number in range(1, 6)], policy, state=after)
    assert last.flip is not None
    assert last.flip.at == START


def test_a_failed_look_is_not_joined_to_one_from_before_the_clock_was_set_back_and_a_restart():
    state = walk([look(UP, START), look(DOWN, START + MINUTE)], POLICY).state
    now = START + MINUTE - 7 * HOUR
    last = walk([look(DOWN, now + 30_000)], POLICY, state=restarted(state, now, now))
    assert last.flip is None
    assert (last.state.pending_count, last.state.pending_since) == (1, now + 30_000)
    assert walk([look(DOWN, now + 90_000)], POLICY, state=last.state).flip is not None


def test_flapping_ends_on_time_after_the_clock_was_set_back_and_a_restart():
    policy = Policy(interval=60, confirm=1, flaps=(4, 1800.0))
    looks = [look([UP, DOWN][number % 2], START + number * MINUTE) for number in range(8)]
    state = walk(looks, policy, ahead=7 * HOUR).state
    assert state.flapping_since is not None
    calm = [look(DOWN, looks[-1].at + number * MINUTE) for number in range(1, 40)]
    assert walk(calm, policy, state=restarted(state, looks[-1].at, looks[-1].at)).state.flapping_since is None


def test_blindness_that_another_incident_told_is_not_dated_back_to_it():
    policy = Policy(interval=60, blind_for=300.0)
    elsewhere = [look(UNKNOWN, START + number * MINUTE, Reason.STORE_UNREADABLE) for number in range(600)]
    own = [look(UNKNOWN, elsewhere[-1].at + number * MINUTE, Reason.NO_DATA) for number in range(1, 7)]
    last = walk([look(UP, START - MINUTE), *elsewhere, *own], policy)
    assert last.flip is not None
    assert last.flip.at == own[0].at


def test_looks_that_could_not_tell_are_not_joined_across_a_sleep():
    policy = Policy(interval=60, blind_for=300.0)
    before = [look(UP, START), *(look(UNKNOWN, START + number * MINUTE) for number in range(1, 5))]
    asleep = interrupted(walk(before, policy).state, policy, 10 * HOUR)
    woken = [look(UNKNOWN, before[-1].at + 10 * HOUR + number * MINUTE) for number in range(1, 6)]
    steps = [walk(woken[:count], policy, state=asleep, ahead=-10 * HOUR) for count in range(1, 6)]
    assert [one.flip for one in steps] == [None] * 5
    one_more = walk([look(UNKNOWN, woken[-1].at + MINUTE)], policy, state=steps[-1].state, ahead=-10 * HOUR)
    assert one_more.flip is not None
    assert one_more.flip.at == woken[0].at


def test_what_is_shorter_than_the_reach_of_a_look_interrupts_nothing():
    state = walk([look(UP, START), look(DOWN, START + MINUTE)], POLICY).state
    assert interrupted(state, POLICY, 150_000) == state
    assert interrupted(state, POLICY, 150_001).pending_status is None


class Machine:
    """A machine that may sleep, and whose clock may be set."""

    def __init__(self):
        self.wall, self.lived = START, 0.0
        self.clock = Clock(lambda: self.wall, lambda: self.lived)

    def live(self, seconds):
        for _ in range(seconds):
            self.wall += 1000
            self.lived += 1
            self.clock.tick()

    def sleep(self, ms):
        self.wall += ms
        self.lived += ms / 1000
        return self.clock.tick()


@pytest.fixture
async def judge(database):
    routes = connect([Contact("piket", (Via("mail", "piket@kota.example"),))], [], {"mail"})
    machine = Machine()

    def about(_check, subject):
        return SubjectInfo(name=subject, criticality=3)

    judge = await judge_on(database, lambda _check: POLICY, about, routes, clock=machine.clock)
    judge.machine = machine
    return judge


async def seen(judge, status):
    [observed] = await judge.observe([look(status, judge.machine.wall)], judge.machine.clock.steady())
    return observed


async def test_a_subject_whose_row_was_read_back_after_a_sleep_is_looked_at_as_ever(judge, monkeypatch, caplog):
    await seen(judge, UP)
    judge.machine.live(60)
    await seen(judge, UP)
    gap = judge.machine.sleep(10 * HOUR)
    judge.interrupt(gap.after - gap.before)
    await seen(judge, UP)
    judge.machine.live(60)
    with monkeypatch.context() as broken:
        broken.setattr("alerts.states.save", partial(_refused, "service/simpus"))
        await seen(judge, DOWN)
    assert "could not be written" in caplog.text
    judge.machine.live(60)
    assert (await seen(judge, DOWN)).state.last_at == judge.machine.wall
    judge.machine.live(60)
    flip = (await seen(judge, DOWN)).flip
    assert flip is not None
    assert flip.at == judge.machine.wall - MINUTE


async def test_what_a_sleep_ended_is_ended_in_the_rows_too(judge, database):
    await seen(judge, UP)
    judge.machine.live(60)
    assert (await seen(judge, DOWN)).state.pending_count == 1
    gap = judge.machine.sleep(HOUR)
    judge.interrupt(gap.after - gap.before)
    await judge.commit()
    [row] = await database.read(all_states)
    assert row.pending_status is None
    assert to_row(row) == to_row(judge.states.get("web", "service/simpus"))


def _refused(subject, _tx, states):
    if any(one.subject == subject for one in states):
        raise ValueError("a row that cannot be written")
