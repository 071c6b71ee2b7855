from types import SimpleNamespace

import pytest

from alerts.state import State
from collectors.result import Reason, Status
from server.readmodel.subject_status import Now, of_check, of_subject

NOW = 1_780_000_000_000
MINUTE = SimpleNamespace(interval=60.0, counts=True)
ASIDE = SimpleNamespace(interval=60.0, counts=False)

MOMENT = Now(NOW, NOW)


def state(check="a", status=Status.UP, **more):
    known = {"last_at": NOW - 1000, "last_status": status, "last_reason": Reason.OK, "last_detail": "", "last_took": 50}
    known |= {"pending_status": None, "pending_reason": None, "pending_since": None, "pending_count": 0}
    known |= {"blind_since": None, "last_phases": {}, "last_facts": {}, "last_up": None}
    known |= {"detail": "", "since": NOW - 10_000, "reason": Reason.OK}
    return State(check=check, subject="service/x", status=status, **{**known, **more})


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((Status.UP, Status.UP), Status.UP),
        ((Status.UP, Status.DEGRADED), Status.DEGRADED),
        ((Status.DEGRADED, Status.DOWN), Status.DOWN),
        ((Status.UNKNOWN, Status.UP), Status.UNKNOWN),
        ((Status.UNKNOWN, Status.DOWN), Status.DOWN),
        ((), Status.UNKNOWN),
    ],
)
def test_the_worst_check_speaks_for_the_subject(statuses, expected):
    states = [state(f"c{at}", status) for at, status in enumerate(statuses)]
    assert of_subject(states, {}, MOMENT).status is expected


def test_a_check_that_does_not_count_is_not_heard_while_others_are():
    checks = {"a": MINUTE, "b": ASIDE}
    both = [state("a"), state("b", Status.DOWN)]
    assert of_subject(both, checks, MOMENT).status is Status.UP
    assert of_subject(both[1:], checks, MOMENT).status is Status.DOWN


def test_a_blind_check_is_unknown_whatever_it_believed_before():
    seen = of_check(state(blind_since=NOW - 5000, last_reason=Reason.RESOLVER_FAILED), MINUTE, MOMENT)
    assert (seen.status, seen.since, seen.reason) == (Status.UNKNOWN, NOW - 5000, Reason.RESOLVER_FAILED)


def test_a_check_that_stopped_looking_is_unknown_since_its_last_look():
    late = state(last_at=NOW - 180_000 - 30_001)
    assert of_check(late, MINUTE, MOMENT).status is Status.UNKNOWN
    assert of_check(late, MINUTE, MOMENT).since == late.last_at
    assert of_check(state(last_at=NOW - 180_000 - 29_999), MINUTE, MOMENT).status is Status.UP
    assert of_check(late, None, MOMENT).status is Status.UP


def test_a_change_that_waits_for_confirmation_is_shown():
    assert of_subject([state(pending_status=Status.DOWN)], {}, MOMENT).pending


def test_a_step_of_the_wall_clock_makes_no_look_an_old_one():
    seen = state(last_at=NOW - 1000, seen_steady=NOW - 1000)
    assert of_check(seen, MINUTE, Now(NOW + 600_000, NOW)).status is Status.UP
    assert of_check(seen, MINUTE, Now(NOW + 600_000, NOW + 600_000)).status is Status.UNKNOWN
