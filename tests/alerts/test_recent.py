"""Flapping as Icinga counts it, on the sequences that its documentation and its tests publish, and the latest looks that failed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.recent import Recent, percent

NEVER = (100, 1.0)


def flapping(changes):
    """Return (value, flapping) after each look: 1 changed the state, 0 did not."""
    recent, flaps, told = Recent(), False, []
    for number, changed in enumerate(changes):
        recent = recent.looked(failed=False, changed=bool(changed), at=number, steady=number, most=10, reach=10)
        flaps = recent.flaps(number, NEVER, already=flaps)
        told.append((round(percent(recent.changed), 1), flaps))
    return told


def test_alternating_results_flap_at_the_sixth_change():
    told = flapping([1] * 8)
    assert [flaps for _, flaps in told] == [False] * 5 + [True] * 3
    assert told[5][0] == 33.9


def test_the_example_of_the_documentation_is_39_1_percent_and_ends_after_five_stable_results():
    weights = (2, 3, 4, 5, 9, 13, 16, 19)  # 0.84 + 0.86 + 0.88 + 0.90 + 0.98 + 1.06 + 1.12 + 1.18 = 7.82
    told = flapping([position in weights for position in range(20)] + [0] * 7)
    assert told[19] == (39.1, True)
    assert [flaps for _, flaps in told[20:]] == [True] * 4 + [False] * 3  # five, not the seven that its text says
    assert told[24][0] == 23.7


def test_a_heavy_flapper_needs_fifteen_stable_results():
    told = flapping([0] * 12 + [1] * 8 + [0] * 20)
    assert told[19][0] == 44.4
    assert [flaps for _, flaps in told[20:]].index(False) + 1 == 15


@pytest.mark.parametrize(("changes", "stable"), [([1] * 6, 20), ([1] * 20, 20)])
def test_it_ends_when_the_value_is_not_above_25(changes, stable):
    told = flapping(changes + [0] * stable)
    for value, flaps in told[len(changes) :]:
        assert flaps == (value > 25)


def test_a_ring_full_of_changes_weighs_99_percent():
    assert percent((1 << 20) - 1) == pytest.approx(99.0)
    assert percent(0) == 0
    assert percent(1) == pytest.approx(5.9)
    assert percent(1 << 19) == pytest.approx(4.0)


def test_flips_within_a_time_are_flapping_whatever_the_interval():
    recent = Recent()
    for minute in (0, 5, 10):
        recent = recent.flipped(minute * 60_000, 4)
    assert not recent.flaps(600_000, (4, 1800), already=False)
    recent = recent.flipped(900_000, 4)
    assert recent.flaps(900_000, (4, 1800), already=False)
    assert recent.flaps(1_800_000 + 299_999, (4, 1800), already=True)
    assert not recent.flaps(1_800_000 + 600_001, (4, 1800), already=True)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 200)), max_size=60), st.integers(1, 20))
def test_the_ring_is_the_last_looks_within_reach(looks, most):
    recent, kept, at = Recent(), [], 0
    for failed, passed in looks:
        at += passed
        kept = [*kept, (failed, at)][-most:] if passed <= 150 else [(failed, at)]
        recent = recent.looked(failed=failed, changed=False, at=at, steady=at, most=most, reach=150)
        assert recent.looks == len(kept)
        assert recent.failures == sum(failed for failed, _ in kept)
        assert recent.failed_at == tuple(at for failed, at in kept if failed)
