"""The state machine: what it takes to change our mind."""

import tomllib
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.state import Policy, State, step
from alerts.state_rows import all_states, load
from alerts.states import States, save
from alerts.states import read as read_states
from collectors.result import Reason, Result, Status

CASES = tomllib.loads((Path(__file__).parents[1] / "cases/alerts/state.toml").read_text())
UP, DEGRADED, DOWN, UNKNOWN = Status.UP, Status.DEGRADED, Status.DOWN, Status.UNKNOWN
BAD = {DEGRADED, DOWN}


def look(status, at, check="web", subject="service/simpus"):
    reason = {UP: Reason.OK, DEGRADED: Reason.SLOW, DOWN: Reason.REFUSED, UNKNOWN: Reason.BUG}[status]
    return Result(check, subject, status, reason, at, took=0.25, phases={"dns": 0.01}, facts={"status": 200})


def stepped(state, result, policy):
    """Step by a look on a wall clock that never steps."""
    return step(state, result, policy, steady=result.at)


def walk(looks, policy):
    """Return every step of a series of (status, second)."""
    state, steps = None, []
    for status, second in looks:
        steps.append(stepped(state, look(status, second * 1000), policy))
        state = steps[-1].state
    return steps


def parse(looks):
    """Read "0 up, 60 down" into [(UP, 0), (DOWN, 60)]."""
    return [(Status(word), int(second)) for second, word in (pair.split() for pair in looks.split(","))]


@pytest.mark.parametrize("name", CASES)
def test_a_series_of_looks(name):
    case = CASES[name]
    steps = walk(parse(case["looks"]), Policy(interval=60, **case.get("policy", {})))
    flips = [
        f"{f.confirmed // 1000}: {f.from_status} -> {f.to_status} since {f.at // 1000} ({f.reason})"
        for f in (one.flip for one in steps)
        if f
    ]
    told = [
        f"{s.at // 1000} {s.status}" + (f" since {s.since // 1000}" if s.since != s.at else "")
        for s in (one.seen for one in steps)
        if s
    ]
    assert flips == case["flips"]
    assert ", ".join(told) == case["told"]


def test_a_clock_that_was_set_back_does_not_blind_the_monitor():
    policy = Policy(interval=60, confirm=2)
    before = walk([(UP, 7200), (DOWN, 7260)], policy)[-1].state
    first = step(before, look(DOWN, 3600_000), policy, steady=7_320_000)
    assert first.flip.to_status is DOWN
    assert first.flip.at <= first.flip.confirmed == 3600_000
    state = first.state
    assert max(state.since, state.last_at, state.last_up) <= 3600_000


def test_a_clock_that_was_set_ahead_holds_nothing():
    policy = Policy(interval=60, confirm=1, hold=300.0)
    state = walk([(UP, 0), (DOWN, 60)], policy)[-1].state
    after = step(state, look(DOWN, 720_000), policy, steady=120_000)
    assert (after.flip, after.state.pending_held) == (None, 60_000)
    for minute in range(3, 6):
        assert after.flip is None
        after = step(after.state, look(DOWN, 600_000 + minute * 60_000), policy, steady=minute * 60_000)
    assert step(after.state, look(DOWN, 960_000), policy, steady=360_000).flip.at == 60_000


def test_failed_looks_count_together_only_within_reach_of_each_other():
    policy = Policy(interval=60, confirm=2)
    [*_, lone, again, second] = walk([(UP, 0), (DOWN, 60), (DOWN, 36_060), (DOWN, 36_120)], policy)
    assert lone.flip is again.flip is None
    assert again.state.pending_count == 1
    assert (second.flip.at, second.flip.confirmed) == (36_060_000, 36_120_000)
    assert walk([(UP, 0), (DOWN, 60), (DOWN, 210)], policy)[-1].flip is not None
    assert walk([(UP, 0), (DOWN, 60), (DOWN, 211)], policy)[-1].flip is None


def test_a_late_look_is_ignored_though_the_clock_is_right():
    state = walk([(UP, 0), (UP, 60)], Policy(interval=60))[-1].state
    late = step(state, look(DOWN, 30_000), Policy(interval=60, confirm=1), steady=30_000)
    assert late.state is state
    assert late.flip is late.seen is None


POLICIES = st.builds(
    Policy,
    interval=st.just(60.0),
    confirm=st.integers(1, 4),
    hold=st.sampled_from([0.0, 90.0, 300.0]),
    recover=st.integers(1, 3),
    recover_hold=st.sampled_from([0.0, 90.0]),
)
LOOKS = st.lists(st.tuples(st.sampled_from(list(Status)), st.integers(1, 400)), max_size=40).map(
    lambda pairs: [(status, sum(gap for _, gap in pairs[: at + 1])) for at, (status, _) in enumerate(pairs)]
)


@given(LOOKS, POLICIES)
def test_a_flip_is_always_backed_by_enough_looks_since_its_onset(looks, policy):
    for at, one in enumerate(walk(looks, policy)):
        if one.flip is None:
            continue
        flip = one.flip
        run = [(status, s) for status, s in looks[: at + 1] if s * 1000 >= flip.at and status is not UNKNOWN]
        assert run[0][1] * 1000 == flip.at
        if flip.from_status is UNKNOWN and flip.to_status is UP:
            continue
        needed, hold = (policy.recover, policy.recover_hold) if flip.to_status is UP else (policy.confirm, policy.hold)
        assert len(run) >= needed
        assert flip.confirmed - flip.at >= hold * 1000
        # recovery needs good looks, and trouble needs bad ones: nothing is believed out of silence
        assert all((status in BAD) == (flip.to_status in BAD) or flip.from_status is DOWN for status, _ in run)


@given(LOOKS, POLICIES)
def test_flips_chain_and_the_hard_status_never_becomes_unknown(looks, policy):
    steps = walk(looks, policy)
    flips = [one.flip for one in steps if one.flip]
    assert all(before.to_status is after.from_status for before, after in pairwise(flips))
    assert all(flip.to_status is not UNKNOWN and flip.to_status is not flip.from_status for flip in flips)
    assert all(before.at < after.at for before, after in pairwise(flips))


@given(LOOKS, POLICIES)
def test_every_look_is_told_at_its_own_time_with_the_hard_status_or_unknown(looks, policy):
    for (status, second), one in zip(looks, walk(looks, policy), strict=True):
        if one.seen is None:
            assert one.state.status is UNKNOWN
            assert status in BAD
            continue
        assert one.seen.at == second * 1000
        assert one.seen.status is (UNKNOWN if status is UNKNOWN else one.state.status)
        assert one.seen.since == (one.flip.at if one.flip else one.seen.at)
        assert (one.state.blind_since is not None) == (status is UNKNOWN)


@given(LOOKS, POLICIES)
def test_a_long_enough_run_of_one_status_is_always_believed(looks, policy):
    steps = walk(looks, policy)
    state = steps[-1].state if steps else None
    last = looks[-1][1] if looks else 0
    for at in range(1, 12):
        state = stepped(state, look(DOWN, (last + at * 60) * 1000), policy).state
    assert state.status is DOWN


@given(LOOKS, POLICIES)
def test_a_repeated_look_changes_nothing(looks, policy):
    state = None
    for status, second in looks:
        state = stepped(state, look(status, second * 1000), policy).state
        again = stepped(state, look(status, second * 1000), policy)
        assert again.state is state
        assert again.flip is again.seen is None


@given(LOOKS, POLICIES)
def test_a_restart_between_any_two_looks_makes_no_difference(looks, policy):
    state = None
    for status, second in looks:
        direct = stepped(state, look(status, second * 1000), policy)
        stored = state and msgspec.json.decode(msgspec.json.encode(state), type=State)
        assert stepped(stored, look(status, second * 1000), policy) == direct
        state = direct.state


async def test_a_state_comes_back_from_the_table_as_it_was(database):
    state = walk([(UP, 0), (DOWN, 60)], Policy(interval=60, confirm=3))[-1].state
    await database.write(lambda tx: save(tx, [state]))
    changed = walk([(UP, 0), (UNKNOWN, 60)], Policy(interval=60))[-1].state
    assert await database.read(lambda tx: load(tx, "web", "service/simpus")) == state
    await database.write(lambda tx: save(tx, [changed]))
    assert await database.read(all_states) == [changed]


async def test_a_subject_has_its_parts_and_no_namesakes(database):
    subjects = ["host/srv-1", "host/srv-1/path=/var", "host/srv-10", "host/SRV-1"]

    known = [stepped(None, look(UP, 0, subject=subject), Policy(interval=60)).state for subject in subjects]
    await database.write(lambda tx: save(tx, known))
    states = States()
    states.load(*await database.read(read_states))
    assert [state.subject for state in states.of_subject("host/srv-1")] == ["host/srv-1", "host/srv-1/path=/var"]
    assert len(states.of_check("web")) == 4
    assert states.all() == await database.read(all_states)


UNSTABLE = Policy(interval=60, confirm=2, unstable=(3, 10))


def flips(steps):
    return [(one.flip.from_status, one.flip.to_status, one.flip.at // 60_000) for one in steps if one.flip]


def test_every_second_look_failing_for_a_day_is_one_flip():
    steps = walk([((UP, DOWN)[minute % 2], minute * 60) for minute in range(1440)], UNSTABLE)
    assert flips(steps) == [(UNKNOWN, UP, 0), (UP, DEGRADED, 1)]
    assert steps[-1].state.reason is Reason.UNSTABLE
    told = [one.seen.status for one in steps[6:]]
    assert set(told) == {DEGRADED}


def test_what_is_unstable_recovers_when_few_looks_fail_from_the_first_good_one_on():
    steps = walk([((UP, DOWN)[minute % 2 if minute < 20 else 0], minute * 60) for minute in range(40)], UNSTABLE)
    assert flips(steps) == [(UNKNOWN, UP, 0), (UP, DEGRADED, 1), (DEGRADED, UP, 20)]


def test_what_is_unstable_falls_by_looks_in_a_row_and_an_outage_leaves_nothing_behind():
    looks = [((UP, DOWN)[minute % 2], minute) for minute in range(9)] + [
        (DOWN, 9),
        (DOWN, 10),
        (UP, 11),
        (DOWN, 12),
        (UP, 13),
    ]
    steps = walk([(status, minute * 60) for status, minute in looks], UNSTABLE)
    assert flips(steps)[1:] == [(UP, DEGRADED, 1), (DEGRADED, DOWN, 9), (DOWN, UP, 11)]


def test_single_failures_far_apart_are_nothing():
    steps = walk([((DOWN if minute % 5 == 0 else UP), minute * 60) for minute in range(1, 200)], UNSTABLE)
    assert flips(steps) == [(UNKNOWN, UP, 1)]


BLIND = Policy(interval=60, confirm=2, blind_for=300.0)


def test_looks_that_cannot_tell_are_believed_after_a_while_and_the_first_good_one_ends_it():
    looks = [(UP, 0), *((UNKNOWN, minute * 60) for minute in range(1, 20)), (UP, 1200)]
    steps = walk(looks, BLIND)
    assert flips(steps) == [(UNKNOWN, UP, 0), (UP, UNKNOWN, 1), (UNKNOWN, UP, 20)]
    assert [one.flip.confirmed for one in steps if one.flip][1] == 360_000


def test_what_was_bad_stays_bad_while_nobody_can_tell():
    steps = walk([(DOWN, 0), (DOWN, 60), *((UNKNOWN, minute * 60) for minute in range(2, 30)), (UP, 1800)], BLIND)
    assert flips(steps) == [(UNKNOWN, DOWN, 0), (DOWN, UP, 30)]


def test_what_was_never_known_is_believed_to_be_unknown_once():
    steps = walk([(UNKNOWN, minute * 60) for minute in range(30)] + [(DOWN, 1800), (DOWN, 1860)], BLIND)
    assert flips(steps) == [(UNKNOWN, UNKNOWN, 0), (UNKNOWN, DOWN, 30)]


def test_blindness_that_another_incident_tells_is_never_believed():
    state = walk([(UP, 0)], BLIND)[-1].state
    for minute in range(1, 60):
        at = minute * 60_000
        after = stepped(state, Result("web", "service/simpus", UNKNOWN, Reason.STORE_UNREADABLE, at), BLIND)
        assert after.flip is None
        state = after.state
    assert state.status is UP


def test_blindness_with_a_gap_begins_anew():
    steps = walk([(UP, 0), (UNKNOWN, 60), (UNKNOWN, 120), (UNKNOWN, 36_000), (UNKNOWN, 36_060)], BLIND)
    assert flips(steps) == [(UNKNOWN, UP, 0)]
    assert steps[-1].state.blind_held == 60_000


def test_flips_again_and_again_are_flapping():
    looks = [((UP, UP, DOWN, DOWN)[minute % 4], minute * 60) for minute in range(40)]
    steps = walk(looks, Policy(interval=60, confirm=2))
    first = next(number for number, one in enumerate(steps) if one.state.flapping_since is not None)
    assert len(flips(steps[: first + 1])) <= 4
    calm = walk([*looks, *((UP, (40 + minute) * 60) for minute in range(40))], Policy(interval=60, confirm=2))[-1].state
    assert calm.flapping_since is None
