"""The arithmetic of availability: every vector of the standard, and what must hold for any timeline."""

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.intervals import clip, common, merge, total, without
from server.evaluation.standard import Figures, Verdict, figures, outages, part, pool, show3, verdict
from server.ledger.timeline import Timeline
from server.report import cases

VECTORS = json.loads(Path(__file__).parents[2].joinpath("cases/availability/vectors.json").read_text())
HOUR = 3_600_000
DAY = 24 * HOUR

edges = st.one_of(st.none(), st.integers(-50, 150))
stretches = st.lists(st.tuples(edges, edges), max_size=6)
timelines = st.builds(
    Timeline,
    period=st.tuples(st.integers(-20, 50), st.integers(0, 120)),
    down=stretches,
    degraded=stretches,
    unknown=stretches,
    maint=stretches,
    service=st.one_of(st.none(), stretches),
    life=st.tuples(edges, edges),
)


@pytest.mark.parametrize("case", VECTORS, ids=[case["id"] for case in VECTORS])
def test_it_counts_every_vector_exactly(case):
    assert cases.show(figures(cases.read(_decimals(case)))) == case["expect"]


def _decimals(case):
    return cases._load(json.dumps([case]))[0]


@given(timelines)
def test_bounds_hold_the_availability_between_them(timeline):
    counted = figures(timeline)
    if counted.availability is None:
        assert counted.observed == 0
    else:
        assert 0 <= counted.lower <= counted.availability <= counted.upper <= 100
        assert counted.with_maintenance <= counted.availability
    if counted.rated == 0:
        assert (counted.lower, counted.upper, counted.coverage) == (None, None, None)


@given(timelines)
def test_the_classes_add_up_to_what_was_agreed(timeline):
    parts = part(timeline)
    working = without(parts.observed, merge([*parts.down, *parts.degraded]))
    classes = [parts.maint, parts.unknown, parts.down, parts.degraded, working]
    assert sum(map(total, classes)) == total(parts.agreed)
    assert merge(pair for each in classes for pair in each) == parts.agreed


@given(timelines, st.randoms())
def test_order_and_repetition_of_stretches_change_nothing(timeline, random):
    def shuffled(pairs):
        mixed = [*pairs, *pairs]
        random.shuffle(mixed)
        return mixed

    mixed = Timeline(
        period=timeline.period,
        down=shuffled(timeline.down),
        degraded=shuffled(timeline.degraded),
        unknown=shuffled(timeline.unknown),
        maint=shuffled(timeline.maint),
        service=None if timeline.service is None else shuffled(timeline.service),
        life=timeline.life,
    )
    assert figures(mixed) == figures(timeline)


@given(timelines, st.lists(st.integers(-20, 120), max_size=4))
def test_the_pieces_of_a_period_pooled_are_the_whole(timeline, cuts):
    start, end = timeline.period
    # open ends mean the edge of the whole period: fix them before cutting
    fixed = {
        key: [(start if low is None else low, end if high is None else high) for low, high in getattr(timeline, key)]
        for key in ("down", "degraded", "unknown", "maint")
    }
    marks = [start, *sorted(cut for cut in cuts if start < cut < end), end]
    pieces = [
        figures(
            Timeline(
                period=(low, high),
                service=None
                if timeline.service is None
                else [(start if a is None else a, end if b is None else b) for a, b in timeline.service],
                life=timeline.life,
                **fixed,
            )
        )
        for low, high in pairwise(marks)
    ]
    assert pool((piece, 1) for piece in pieces) == figures(timeline)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8), st.integers(0, 40), st.integers(0, 40))
def test_set_arithmetic_agrees_with_sets_of_milliseconds(pairs, low, high):
    half = len(pairs) // 2
    one, other = merge(pairs[:half]), merge(pairs[half:])

    def moments(stretches):
        return {ms for start, end in stretches for ms in range(start, end)}

    assert moments(common(one, other)) == moments(one) & moments(other)
    assert moments(without(one, other)) == moments(one) - moments(other)
    assert moments(clip(one, low, high)) == moments(one) & set(range(low, high))
    assert total(one) == len(moments(pairs[:half]))


def test_maintenance_has_a_second_figure_that_counts_it_as_down():
    """V07: nobody hides behind maintenance."""
    counted = figures(Timeline(period=(0, DAY), maint=[(HOUR, 3 * HOUR)], down=[(2 * HOUR, 4 * HOUR)]))
    assert show3(counted.availability) == "95.454"
    assert show3(counted.with_maintenance) == "87.500"


def test_slow_time_is_available_and_shown_apart():
    """V18."""
    counted = figures(Timeline(period=(0, DAY), down=[(0, HOUR)], degraded=[(0, 3 * HOUR)]))
    assert (show3(counted.availability), show3(counted.slow)) == ("95.833", "8.333")


def test_months_are_pooled_and_never_averaged():
    """V12."""
    january, february = Figures(agreed=31 * DAY), Figures(agreed=28 * DAY, down=28 * DAY // 10)
    assert show3(pool([(january, 1), (february, 1)]).availability) == "95.254"


@pytest.mark.parametrize(("target", "ms"), [("99.982", 94.608 * 60_000), ("99.9", 525.6 * 60_000)])
def test_year_targets_are_met_to_the_second_and_missed_after_it(target, ms):
    """V31."""
    year = 365 * DAY
    assert verdict(Figures(agreed=year, down=int(ms)), Fraction(target)) is Verdict.MET
    assert verdict(Figures(agreed=year, down=int(ms) + 1000), Fraction(target)) is Verdict.MISSED


def test_budget_comes_from_the_agreed_hours():
    """V21: 160 hours at 99.5 % allow 48 minutes."""
    agreed = 160 * HOUR
    assert verdict(Figures(agreed=agreed, down=48 * 60_000), Fraction("99.5")) is Verdict.MET
    assert verdict(Figures(agreed=agreed, down=48 * 60_000 + 1), Fraction("99.5")) is Verdict.MISSED


def test_a_verdict_waits_while_the_unobserved_time_could_change_it():
    assert verdict(Figures(agreed=DAY, unknown=HOUR), Fraction(99)) is Verdict.OPEN
    assert verdict(Figures(agreed=DAY, unknown=DAY), Fraction(99)) is Verdict.OPEN
    assert verdict(Figures(), Fraction(99)) is Verdict.UNRATED


def test_flapping_is_one_outage_and_its_seconds_stay():
    """V33: six failures of a minute, a minute apart."""
    minute = 60_000
    down = [(at * 2 * minute, at * 2 * minute + minute) for at in range(6)]
    (outage,) = outages(Timeline(period=(0, DAY), down=down))
    assert (outage.start, outage.end, total(outage.down)) == (0, 11 * minute, 6 * minute)


def test_five_minutes_of_work_end_an_outage_and_a_gap_without_looks_does_not():
    minute = 60_000
    apart = Timeline(period=(0, DAY), down=[(0, minute), (6 * minute, 7 * minute)])
    assert len(outages(apart)) == 2
    blind = Timeline(period=(0, DAY), down=apart.down, unknown=[(minute, 3 * minute)])
    assert len(outages(blind)) == 1


def test_only_no_loss_at_all_shows_as_100():
    assert show3(Fraction(100)) == "100.000"
    assert show3(Fraction(100) - Fraction(1, 10**9)) == "99.999"
    assert show3(None) is None
