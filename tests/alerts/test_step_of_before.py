"""Today's step with its new features off does what the one before it did, as long as looks are within reach of each other."""

import random

import pytest
import step_of_before

from alerts.state import Policy, step
from collectors.result import Reason, Result, Status

START = 1_780_000_000_000
REASONS = {Status.UP: Reason.OK, Status.DEGRADED: Reason.SLOW, Status.DOWN: Reason.REFUSED, Status.UNKNOWN: Reason.BUG}
KEPT = (
    "status",
    "reason",
    "detail",
    "since",
    "pending_status",
    "pending_reason",
    "pending_since",
    "pending_count",
    "blind_since",
)
LOOKS = 10_000  # a seed


def policy(chance):
    return Policy(
        interval=60,
        confirm=chance.randint(1, 4),
        hold=chance.choice([0.0, 0.0, 90.0, 300.0]),
        recover=chance.randint(1, 3),
        recover_hold=chance.choice([0.0, 0.0, 90.0]),
    )


@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_thousand_looks_lead_to_equal_states_flips_and_what_the_ledger_is_told(seed):
    chance = random.Random(seed)
    rules, at, mood = policy(chance), START, Status.UP
    before = after = None
    flips = 0
    for _ in range(LOOKS):
        if chance.random() < 0.2:
            mood = chance.choice(list(Status))
        if mood is Status.UNKNOWN and chance.random() < 0.5:
            mood = Status.UP  # blindness in between may put looks out of each other's reach
        at += chance.choice([10_000, 60_000, 60_000, 70_000])
        status = chance.choice(list(Status)) if chance.random() < 0.1 else mood
        result = Result("web", "service/simpus", status, REASONS[status], at, detail=f"no. {chance.randrange(99)}")
        was = step_of_before.step(before, result, rules)
        now = step(after, result, rules, steady=at)
        if out_of_reach(after, result, at):
            before = after = None  # where they differ on purpose: begin anew
            continue
        assert [getattr(was.state, name) for name in KEPT] == [getattr(now.state, name) for name in KEPT]
        assert was.flip == now.flip
        assert was.seen == now.seen
        flips += now.flip is not None
        before, after = was.state, now.state
    assert flips > LOOKS / 100


def out_of_reach(believed, result, at):
    """Return whether a look would join a pending one that is too far away by now."""
    waits = believed is not None and believed.pending_status is not None and result.status is not Status.UNKNOWN
    return waits and at - believed.pending_last > 150_000
