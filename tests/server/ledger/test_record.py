"""The ledger: looks become spans, spans become timelines; what nobody saw is neither up nor down."""

import datetime as dt
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, select

from alerts import state
from alerts.state import Policy, Seen
from collectors.result import Reason, Result, Status
from server.calendar.service_hours import Profile, calendar
from server.evaluation import days as local_days
from server.evaluation.standard import figures, outages, show3
from server.inventory.register import Register, Service
from server.ledger import histories, maintenance, record, running_time
from server.state.tables import metadata, monitor_run, span

MINUTE = 60_000
HOUR = 60 * MINUTE
START = 1_780_246_800_000  # 1 June 2026 00:00 WIB
SUBJECT = "service/simpus"


@pytest.fixture
def tx():
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.connect() as connection, connection.begin():
        yield connection
    engine.dispose()


def registered(**changes):
    service = Service(id="simpus", name="SIMPUS", agency="dinkes", **changes)
    return Register(agencies={}, services={"simpus": service}, hosts={}, hours={})


def seen(at, status="up", *, since=None, check="http", step=MINUTE, counts=True, subject=SUBJECT):
    at += START
    since = at if since is None else since + START
    reason = Reason.OK if status == "up" else Reason.TIMEOUT
    return Seen(
        check=check, subject=subject, status=Status(status), reason=reason, at=at, since=since, step=step, counts=counts
    )


def spans(tx, check="http"):
    """Return ``(status, start, end)`` in minutes since START."""
    rows = tx.execute(select(span).where(span.c.check_id == check).order_by(span.c.start_ms)).all()
    return [(row.status, (row.start_ms - START) / MINUTE, (row.end_ms - START) / MINUTE) for row in rows]


def look(tx, minutes, status="up", **more):
    for minute in minutes:
        record.record(tx, seen(minute * MINUTE, status, **more))


def run(tx, first, last):
    running_time.start_run(tx, START + first * MINUTE, "test")
    running_time.beat(tx, START + last * MINUTE)


def count(tx, minutes, *, now=None, register=None, first=0):
    """Return figures in minutes: agreed, maint, unknown, down, degraded."""
    line = histories.timeline(
        tx,
        SUBJECT,
        start=START + first * MINUTE,
        end=START + minutes * MINUTE,
        now=START + (minutes if now is None else now) * MINUTE,
        register=register or registered(registered=dt.date(2026, 6, 1)),
    )
    counted = figures(line)
    return tuple(ms / MINUTE for ms in (counted.agreed, counted.maint, counted.unknown, counted.down, counted.degraded))


def test_looks_that_agree_are_one_span(tx):
    look(tx, range(5))
    assert spans(tx) == [("up", 0, 5)]
    (row,) = tx.execute(select(span)).all()
    assert (row.looks, row.last_ms) == (5, START + 4 * MINUTE)


def test_a_confirmed_change_is_written_from_its_first_look_on(tx):
    look(tx, range(4))  # the looks of minutes 2 and 3 failed, but the change was pending
    record.record(tx, seen(4 * MINUTE, "down", since=2 * MINUTE))
    assert spans(tx) == [("up", 0, 2), ("down", 2, 5)]


def test_a_change_keeps_the_reason_of_its_onset(tx):
    look(tx, range(2))
    look(tx, [2, 3], "down")
    rows = tx.execute(select(span.c.reason).order_by(span.c.start_ms)).scalars().all()
    assert rows == ["ok", "timeout"]


def test_unknown_looks_inside_of_a_change_stay_unknown(tx):
    look(tx, range(2))
    look(tx, [2], "unknown")
    record.record(tx, seen(3 * MINUTE, "down", since=1 * MINUTE))
    assert spans(tx) == [("up", 0, 1), ("down", 1, 2), ("unknown", 2, 3), ("down", 3, 4)]


def test_recovery_after_several_good_looks_is_written_back_too(tx):
    look(tx, range(2))
    look(tx, range(2, 6), "down")
    record.record(tx, seen(6 * MINUTE, "up", since=5 * MINUTE))
    assert spans(tx) == [("up", 0, 2), ("down", 2, 5), ("up", 5, 7)]


def test_a_first_failure_is_written_from_its_first_look_on(tx):
    record.record(tx, seen(2 * MINUTE, "down", since=0))
    assert spans(tx) == [("down", 0, 3)]


def test_a_first_failure_after_unknown_looks_begins_at_its_first_look(tx):
    look(tx, [0], "unknown")
    record.record(tx, seen(2 * MINUTE, "down", since=MINUTE))
    assert spans(tx) == [("unknown", 0, 1), ("down", 1, 3)]


def test_one_lost_look_is_no_gap_and_two_are(tx):
    look(tx, [0, 2, 5])
    assert spans(tx) == [("up", 0, 3), ("up", 5, 6)]


def test_a_change_after_a_gap_does_not_reach_into_it(tx):
    look(tx, [0])
    look(tx, [60])  # back after an hour, the failing look is pending
    record.record(tx, seen(61 * MINUTE, "down", since=60 * MINUTE))
    assert spans(tx) == [("up", 0, 1), ("down", 60, 62)]


def test_a_change_confirmed_after_a_gap_leaves_the_gap_open(tx):
    look(tx, range(3))
    record.record(tx, seen(60 * MINUTE, "down", since=2 * MINUTE))
    assert spans(tx) == [("up", 0, 2), ("down", 2, 3), ("down", 60, 61)]


def test_the_onset_is_the_first_failed_look_even_when_it_came_late(tx):
    look(tx, [0])
    record.record(tx, seen(int(1.7 * MINUTE), "down"))
    assert spans(tx) == [("up", 0, 1.7), ("down", 1.7, 2.7)]


def test_repeated_and_older_looks_change_nothing(tx):
    look(tx, [0, 1, 2])
    before = spans(tx)
    look(tx, [2, 1], "down")
    record.record(tx, seen(-5 * MINUTE, "up"))
    assert spans(tx) == [("up", -5, -4), *before]


def test_a_clock_that_jumped_ahead_and_back_makes_no_time_twice(tx):
    """V23."""
    look(tx, [0, 1, 122, 2, 3])
    assert spans(tx) == [("up", 0, 4), ("up", 122, 123)]
    run(tx, 0, 4)
    assert count(tx, 4) == (4, 0, 0, 0, 0)


def test_a_check_that_stops_to_count_begins_a_span_of_its_own(tx):
    look(tx, [0, 1])
    look(tx, [2], counts=False)
    assert [bool(row.counts) for row in tx.execute(select(span).order_by(span.c.start_ms))] == [True, False]
    assert spans(tx) == [("up", 0, 2), ("up", 2, 3)]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.integers(0, 5),
            st.sampled_from(["up", "degraded", "down", "unknown"]),
            st.sampled_from([1, 3]),
            st.booleans(),
        ),
        max_size=25,
    )
)
def test_whatever_comes_spans_never_overlap_and_never_run_backwards(looks):
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.begin() as tx:
        for at, back, status, step, counts in looks:
            since = None if status == "unknown" else (at - back) * MINUTE
            record.record(tx, seen(at * MINUTE, status, since=since, step=step * MINUTE, counts=counts))
        found = spans(tx)
        assert all(start < end for _, start, end in found)
        assert all(one[2] <= other[1] for one, other in pairwise(found))
        rows = tx.execute(select(span)).all()
        assert all(row.start_ms <= row.last_ms <= row.end_ms for row in rows)
    engine.dispose()


@settings(max_examples=100)
@given(st.lists(st.sampled_from([Status.UP, Status.DOWN, Status.DEGRADED, Status.UNKNOWN]), max_size=30))
def test_it_agrees_with_what_the_state_machine_believed(statuses):
    """Replays looks through ``alerts.state`` and compares with the flips: down from each onset to the next."""
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    policy = Policy(interval=60, confirm=2, recover=2)
    believed, flips = None, []
    with engine.begin() as tx:
        for minute, status in enumerate(statuses):
            result = Result("http", SUBJECT, status, Reason.OK, START + minute * MINUTE)
            step = state.step(believed, result, policy, steady=result.at)
            believed = step.state
            flips += [step.flip] if step.flip else []
            if step.seen:
                record.record(tx, step.seen)
        told = {minute: status for status, start, end in spans(tx) for minute in range(int(start), int(end))}
    engine.dispose()
    for minute, status in enumerate(statuses):
        hard = [flip.to_status for flip in flips if flip.at <= START + minute * MINUTE]
        if status is Status.UNKNOWN:
            assert told[minute] == Status.UNKNOWN
        elif hard and START + minute * MINUTE < flips[0].confirmed:
            # before anything was believed, looks that nothing was told of may drown between unknown ones
            assert told[minute] in {hard[-1], Status.UNKNOWN}
        elif hard:
            assert told[minute] == hard[-1]
        else:
            assert told.get(minute, Status.UNKNOWN) == Status.UNKNOWN


def test_a_stop_of_the_centre_is_unobserved_for_all(tx):
    """V25: off from 03:00 to 03:20, no incident, 20 minutes unobserved."""
    run(tx, 0, 180)
    look(tx, range(180))
    run(tx, 200, 300)
    look(tx, range(200, 300))
    assert count(tx, 300) == (300, 0, 20, 0, 0)


def test_a_stop_that_a_slow_check_bridges_is_unobserved_all_the_same(tx):
    run(tx, 0, 50)
    look(tx, [0], step=HOUR)
    run(tx, 55, 120)
    look(tx, [60, 119], step=HOUR)
    assert spans(tx) == [("up", 0, 179)]
    assert count(tx, 120) == (120, 0, 5, 0, 0)


def test_the_run_of_now_reaches_to_now_and_a_dead_one_does_not(tx):
    running_time.start_run(tx, START, "test")
    look(tx, [0], step=10 * MINUTE)
    running_time.beat(tx, START + 5 * MINUTE)
    almost = START + 5 * MINUTE + running_time.SILENCE - 1
    line = histories.timeline(tx, SUBJECT, start=START, end=almost, now=almost, register=registered())
    assert figures(line).unknown == 0
    assert count(tx, 10) == (10, 0, 5, 0, 0)


def test_a_day_that_has_just_begun_knows_that_the_centre_runs_from_a_beat_before_midnight(tx):
    midnight = 24 * 60
    running_time.start_run(tx, START, "test")
    look(tx, [midnight - 1], step=10 * MINUTE)
    running_time.beat(tx, START + midnight * MINUTE - 2_000)
    now = midnight + 1 / 60
    assert count(tx, midnight + 5, now=now, first=midnight) == pytest.approx((1 / 60, 0, 0, 0, 0))


def test_a_day_that_has_just_begun_knows_the_look_before_midnight_that_still_speaks(tx):
    midnight = 24 * 60
    run(tx, 0, midnight + 1)
    look(tx, range(midnight - 3, midnight))  # the last vouches up to midnight, and the next is only a little late
    whole = count(tx, midnight + 1, first=midnight - 1)
    assert whole == (2, 0, 0, 0, 0)
    assert count(tx, midnight + 1, first=midnight) == (1, 0, 0, 0, 0)


def test_a_run_that_claims_the_future_is_cut_when_the_clock_was_set_back(tx):
    run(tx, 0, 600)
    running_time.start_run(tx, START + 10 * MINUTE, "test")
    runs = tx.execute(select(monitor_run.c.start_ms, monitor_run.c.beat_ms)).all()
    assert runs == [(START, START + 10 * MINUTE), (START + 10 * MINUTE, START + 10 * MINUTE)]


def test_a_look_that_is_a_little_late_is_no_gap_yet(tx):
    run(tx, 0, 12)
    look(tx, range(10))
    assert count(tx, 11) == (11, 0, 0, 0, 0)
    look(tx, [12], "unknown")
    assert spans(tx)[0] == ("up", 0, 10)


def test_a_service_is_down_when_any_of_its_checks_sees_it_down(tx):
    run(tx, 0, 20)
    look(tx, range(20))
    look(tx, range(5), check="tls")
    look(tx, range(5, 10), "down", check="tls")
    look(tx, range(8, 14), "degraded", check="dns")
    look(tx, range(14, 20), "unknown", check="dns")
    look(tx, range(20), "down", check="quiet", counts=False)
    assert count(tx, 20) == (20, 0, 0, 5, 4)


def test_time_that_no_check_vouches_for_is_unobserved(tx):
    run(tx, 0, 20)
    look(tx, range(10))
    look(tx, range(10, 15), "unknown")
    assert count(tx, 20) == (20, 0, 10, 0, 0)


def test_an_open_outage_is_counted_up_to_now(tx):
    """V15: June, now is the 10th at midnight, down since the 9th at 22:00."""
    running_time.start_run(tx, START, "test")
    now = 9 * 24 * 60
    tx.execute(
        span.insert(),
        [_row("up", 0, now - 120), _row("down", now - 120, now + 1)],
    )
    running_time.beat(tx, START + now * MINUTE)
    line = histories.timeline(
        tx, SUBJECT, start=START, end=START + 30 * 24 * HOUR, now=START + now * MINUTE, register=registered()
    )
    counted = figures(line)
    assert (counted.agreed // 1000, show3(counted.availability)) == (777_600, "99.074")


def _row(status, start, end, **more):
    return {
        "check_id": "http",
        "subject": SUBJECT,
        "status": status,
        "reason": "ok",
        "start_ms": START + start * MINUTE,
        "last_ms": START + (end - 1) * MINUTE,
        "end_ms": START + end * MINUTE,
        "counts": True,
        "looks": end - start,
        **more,
    }


def test_life_begins_at_midnight_of_the_day_of_registration(tx):
    """V16: from 16 June, an hour down."""
    running_time.start_run(tx, START, "test")
    month = 30 * 24 * 60
    running_time.beat(tx, START + month * MINUTE)
    down = (19 * 24 * 60, 19 * 24 * 60 + 60)
    tx.execute(span.insert(), [_row("up", 0, down[0]), _row("down", *down), _row("up", down[1], month)])
    known = registered(registered=dt.date(2026, 6, 16))
    assert count(tx, month, register=known) == (15 * 24 * 60, 0, 0, 60, 0)


def test_a_service_without_a_date_lives_from_its_first_look(tx):
    run(tx, 0, 60)
    look(tx, range(30, 60))
    assert count(tx, 60, register=registered()) == (30, 0, 0, 0, 0)


def test_a_service_that_was_never_looked_at_has_no_figure(tx):
    run(tx, 0, 60)
    assert count(tx, 60, register=registered()) == (0, 0, 0, 0, 0)


def test_a_retired_service_counts_up_to_the_day_of_its_retirement(tx):
    run(tx, 0, 3 * 24 * 60)
    look(tx, range(0, 3 * 24 * 60, 60), step=HOUR)
    known = registered(retired=dt.date(2026, 6, 2))
    assert count(tx, 3 * 24 * 60, register=known) == (24 * 60, 0, 0, 0, 0)


def test_a_subject_that_is_not_registered_any_more_still_counts(tx):
    """V32."""
    run(tx, 0, 60)
    look(tx, range(60), subject="service/lama")
    gone = histories.timeline(
        tx, "service/lama", start=START, end=START + HOUR, now=START + HOUR, register=registered()
    )
    assert figures(gone).observed == HOUR
    assert histories.seen_subjects(tx, "service", START, START + HOUR) == ["service/lama"]
    assert histories.seen_subjects(tx, "host", START, START + HOUR) == []


def test_only_work_approved_before_it_starts_is_maintenance(tx):
    run(tx, 0, 240)
    look(tx, range(240))

    def plan(start, end, approved):
        return maintenance.add(
            tx,
            subject=SUBJECT,
            start=START + start * MINUTE,
            end=START + end * MINUTE,
            reason="ganti disk",
            author="budi",
            approver="kadis",
            now=START + approved * MINUTE,
        )

    plan(60, 120, 0)
    plan(100, 130, 10)
    plan(0, 30, 0)  # approved as it starts
    plan(10, 20, 15)  # approved too late
    assert count(tx, 240) == (240, 70, 0, 0, 0)
    stopped = plan(150, 200, 0)
    maintenance.cancel(tx, stopped.id, now=START + 160 * MINUTE)
    never = plan(200, 230, 0)
    maintenance.cancel(tx, never.id, now=START + 190 * MINUTE)
    assert count(tx, 240) == (240, 80, 0, 0, 0)


def test_service_hours_come_from_the_register(tx, tmp_path):
    run(tx, 0, 48 * 60)
    look(tx, range(0, 48 * 60, 60), step=HOUR)
    office = Profile(mon="08:00-16:00")
    known = registered(hours="kantor", registered=dt.date(2026, 1, 1))
    known = Register(
        agencies={},
        services=known.services,
        hosts={},
        hours={"kantor": office},
        calendars={"kantor": calendar(office, tmp_path)},
    )
    assert count(tx, 48 * 60, register=known) == (8 * 60, 0, 0, 0, 0)


def test_days_are_local_and_pool_to_the_whole(tx):
    """V05: an outage after midnight WIB belongs to the new day, although it is the old one in UTC."""
    run(tx, 0, 2 * 24 * 60)
    look(tx, range(0, 24 * 60, 30), step=HOUR)
    look(tx, range(24 * 60, 27 * 60, 30), "down", step=HOUR)
    look(tx, range(27 * 60, 48 * 60, 30), step=HOUR)
    known = local_days.days(
        tx,
        [SUBJECT, "service/none"],
        first=dt.date(2026, 5, 31),
        last=dt.date(2026, 6, 3),
        zone="Asia/Jakarta",
        now=START + 48 * HOUR,
        register=registered(),
    )
    days = known[SUBJECT]
    assert [day.date.day for day in days] == [31, 1, 2, 3]
    assert [day.state for day in days] == ["none", "up", "down", "none"]
    assert days[2].figures.down == 3 * HOUR
    assert days[2].figures.availability == Fraction(100 * 21, 24)
    assert [day.state for day in known["service/none"]] == ["none"] * 4
    line = histories.timeline(
        tx, SUBJECT, start=START, end=START + 48 * HOUR, now=START + 48 * HOUR, register=registered()
    )
    assert len(outages(line)) == 1
