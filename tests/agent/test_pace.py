import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pace import Pace, phase

TEN = Pace(10_000)


@pytest.mark.parametrize(
    ("wall", "seconds"),
    [
        (1_000_000, 10.0),  # exactly on a turn: the next one
        (1_000_001, 9.999),
        (1_007_500, 2.5),
        (1_009_999, 10.001),  # fired a millisecond early: not a second time for the same turn
        (1_017_000, 3.0),  # 7 s late: straight to the next turn
    ],
)
def test_it_waits_for_the_next_multiple_of_the_wall_clock(wall, seconds):
    assert TEN.wait(wall) == pytest.approx(seconds)


def test_a_phase_moves_the_turns():
    assert Pace(10_000, 2500).wait(1_000_000) == 2.5


@given(st.integers(0, 4 * 10**12), st.integers(100, 86_400_000), st.integers(0, 86_400_000))
def test_every_turn_is_aligned_and_never_far(wall, interval, offset):
    seconds = Pace(interval, offset % interval).wait(wall)
    assert 0 < seconds * 1000 <= interval * 1.1 + 1
    assert (wall + round(seconds * 1000) - offset) % interval == 0


@pytest.mark.parametrize(("seconds", "missed"), [(9.9, 0), (10.2, 0), (20.1, 1), (3600, 359), (-5, 0)])
def test_turns_that_were_slept_through_are_counted_and_not_made_up_for(seconds, missed):
    assert TEN.missed(seconds) == missed


def test_after_a_clock_step_of_an_hour_the_next_turn_is_aligned_again():
    for wall in (1_004_000 + 3_600_000, 1_004_000 - 3_600_000 + 7_200_000):
        assert TEN.wait(wall) == 6.0


def test_stamps_are_whole_seconds_unless_turns_are_closer():
    assert TEN.stamp(1_000_000_001_400_000_000) == 1_000_000_001_000_000_000
    assert TEN.stamp(1_000_000_001_999_600_000) == 1_000_000_002_000_000_000
    assert Pace(200).stamp(1_000_000_001_400_600_000) == 1_000_000_001_401_000_000


def test_two_hundred_hosts_spread_over_the_interval():
    per_second = [0] * 10
    for number in range(200):
        per_second[phase(f"srv-{number}.kota.example.go.id", 10_000) // 1000] += 1
    assert max(per_second) < 40  # twice the average
    assert phase("srv-1", 10_000) == phase("srv-1", 10_000)
