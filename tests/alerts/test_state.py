"""The state machine: what it takes to change our mind."""

import tomllib
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.state import Policy, State, all_states, load, of_check, of_subject, save, step
from collectors.result import Reason, Result, Status

CASES = tomllib.loads((Path(__file__).parents[1] / "cases/alerts/state.toml").read_text())
UP, DEGRADED, DOWN, UNKNOWN = Status.UP, Status.DEGRADED, Status.DOWN, Status.UNKNOWN
BAD = {DEGRADED, DOWN}


def look(status, at, check="web", subject="service/simpus"):
    reason = {UP: Reason.OK, DEGRADED: Reason.SLOW, DOWN: Reason.REFUSED, UNKNOWN: Reason.BUG}[status]
    return Result(check, subject, status, reason, at, took=0.25, phases={"dns": 0.01}, facts={"status": 200})


def walk(looks, policy):
    """Return every step of a series of (status, second)."""
    state, steps = None, []
    for status, second in looks:
        steps.append(step(state, look(status, second * 1000), policy))
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
    first = step(before, look(DOWN, 3600_000), policy, steady=3600_500)
    assert first.flip.to_status is DOWN
    assert first.flip.at <= first.flip.confirmed == 3600_000
    state = first.state
    assert max(state.since, state.last_at, state.last_up) <= 3600_000


def test_a_late_look_is_ignored_though_the_clock_is_right():
    state = walk([(UP, 0), (UP, 60)], Policy(interval=60))[-1].state
    late = step(state, look(DOWN, 30_000), Policy(interval=60, confirm=1), steady=90_000)
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
        state = step(state, look(DOWN, (last + at * 60) * 1000), policy).state
    assert state.status is DOWN


@given(LOOKS, POLICIES)
def test_a_repeated_look_changes_nothing(looks, policy):
    state = None
    for status, second in looks:
        state = step(state, look(status, second * 1000), policy).state
        again = step(state, look(status, second * 1000), policy)
        assert again.state is state
        assert again.flip is again.seen is None


@given(LOOKS, POLICIES)
def test_a_restart_between_any_two_looks_makes_no_difference(looks, policy):
    state = None
    for status, second in looks:
        direct = step(state, look(status, second * 1000), policy)
        stored = state and msgspec.json.decode(msgspec.json.encode(state), type=State)
        assert step(stored, look(status, second * 1000), policy) == direct
        state = direct.state


async def test_a_state_comes_back_from_the_table_as_it_was(database):
    state = walk([(UP, 0), (DOWN, 60)], Policy(interval=60, confirm=3))[-1].state
    await database.write(lambda tx: save(tx, state))
    changed = walk([(UP, 0), (UNKNOWN, 60)], Policy(interval=60))[-1].state
    assert await database.read(lambda tx: load(tx, "web", "service/simpus")) == state
    await database.write(lambda tx: save(tx, changed))
    assert await database.read(all_states) == [changed]


async def test_a_subject_has_its_parts_and_no_namesakes(database):
    subjects = ["host/srv-1", "host/srv-1/path=/var", "host/srv-10", "host/SRV-1"]

    def put(tx):
        for subject in subjects:
            save(tx, step(None, look(UP, 0, subject=subject), Policy(interval=60)).state)

    await database.write(put)
    found = await database.read(lambda tx: of_subject(tx, "host/srv-1"))
    assert [state.subject for state in found] == ["host/srv-1", "host/srv-1/path=/var"]
    assert len(await database.read(lambda tx: of_check(tx, "web"))) == 4
