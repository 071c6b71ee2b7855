"""What is known of stretches in which nobody observed: their causes, and what rows of running time say."""

import pytest
from sqlalchemy import create_engine, insert

from configs.clock import Gap
from server.ledger.unobserved import Unobserved, noticed, written
from server.state.tables import metadata, monitor_run

T0 = 1_780_000_000_000
MINUTE = 60_000


@pytest.mark.parametrize(
    ("gap", "cause"),
    [
        (Gap(T0, T0 + MINUTE, awake=MINUTE), "stopped"),
        (Gap(T0, T0 + MINUTE, awake=500), "asleep or set forward"),
        (Gap(T0, T0 + 60 * MINUTE, awake=MINUTE), "asleep or set forward"),
        (Gap(T0, T0 - MINUTE, awake=500), "set back"),
    ],
)
def test_the_cause_is_what_the_clocks_show(gap, cause):
    assert noticed(gap) == Unobserved(gap.before, gap.after, cause)


def told(*runs, most=100):
    """Return (start, end, cause) in seconds for rows of (start, beat, version), the newest gap first."""
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.begin() as tx:
        for start, beat, version in runs:
            values = {"start_ms": T0 + round(start * 1000), "beat_ms": T0 + round(beat * 1000), "version": version}
            tx.execute(insert(monitor_run).values(values))
        found = [((one.start - T0) / 1000, (one.end - T0) / 1000, one.cause) for one in written(tx, most)]
    engine.dispose()
    return found


def test_between_two_runs_nobody_observed_and_an_upgrade_is_a_cause():
    runs = ((0, 100, "1"), (110, 200, "1"), (201, 300, "2"))
    assert told(*runs) == [(200, 201, "not running"), (100, 110, None)]
    assert told(*runs, most=2) == [(200, 201, "not running")]


def test_a_run_that_has_just_begun_ends_the_gap_before_it():
    assert told((0, 100, "1"), (400, 400, "1")) == [(100, 400, None)]


def test_one_run_none_and_less_than_a_second_are_no_gap():
    assert told() == told((0, 100, "1")) == told((0, 100, "1"), (100.9, 200, "1")) == []


def test_after_a_clock_was_set_back_what_lay_ahead_is_no_gap():
    # ran until 3600, was stopped, went on at 7200; then the clock was set back to 1000
    assert told((0, 1000, "1"), (7200, 7200, "1"), (1000, 1500, "1")) == []
