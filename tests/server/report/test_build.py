"""The report's figures: months, open and crossing outages, maintenance, agencies, offenders; each row of the standard by name."""

import datetime as dt
from fractions import Fraction

import pytest

from alerts.tables import incident
from collectors.result import Reason
from server.calendar.service_hours import Profile, calendar
from server.evaluation.standard import Verdict, show3
from server.report.build import month

MINUTE = 60_000
HOUR = 60 * MINUTE
YEAR = ("2026-01-01T00:00", "2026-12-31T00:00")


def ms(text):
    text = f"2026-06-{text}" if text[2] == "T" else text
    return round(dt.datetime.fromisoformat(f"{text}+07:00").timestamp() * 1000)


@pytest.fixture
def one(book):
    book.ran(*YEAR)
    book.service("simpus", registered=dt.date(2026, 1, 1))
    return book


def only(report):
    (service,) = report.services
    return service


def test_an_outage_across_months_is_cut_in_each_and_counted_where_it_began(one):
    """V04."""
    one.except_for("simpus", *YEAR, ("down", "2026-01-31T23:30", "2026-02-01T01:30"))
    january = only(one.report("2026-01-01T00:00", "2026-02-01T00:00"))
    february = only(one.report("2026-02-01T00:00", "2026-03-01T00:00"))
    quarter = only(one.report("2026-01-01T00:00", "2026-04-01T00:00"))
    shown = [show3(each.figures.availability) for each in (january, february, quarter)]
    assert shown == ["99.932", "99.776", "99.907"]
    assert [each.started for each in (january, february, quarter)] == [1, 0, 1]
    assert january.repair is None
    assert february.repair.mean == 120 * MINUTE
    (outage,) = february.outages
    assert (outage.start, outage.end, outage.down) == (
        ms("2026-01-31T23:30"),
        ms("2026-02-01T01:30"),
        90 * MINUTE,
    )
    assert (outage.begun, outage.finished) == (False, True)


def test_months_begin_at_local_midnight(one):
    """V05."""
    one.except_for("simpus", *YEAR, ("down", "2026-02-01T00:00", "2026-02-01T03:00"))
    january, february = (one.report(*map(_local, month(text, "Asia/Jakarta"))) for text in ("2026-01", "2026-02"))
    assert show3(only(january).figures.availability) == "100.000"
    assert show3(only(february).figures.availability) == "99.553"
    assert only(january).outages == []


def _local(moment):
    return dt.datetime.fromtimestamp(moment / 1000, dt.timezone(dt.timedelta(hours=7))).strftime("%Y-%m-%dT%H:%M")


@pytest.mark.parametrize("text", ["2026-13", "2026", "juni", "2026-06-01"])
def test_a_month_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="expected a month such as 2026-11"):
        month(text, "Asia/Jakarta")


def test_repair_and_failure_times_come_from_whole_outages(one):
    """V14: 10, 20 and 60 minutes in 30 days."""
    one.except_for(
        "simpus",
        *YEAR,
        ("down", "03T00:00", "03T00:10"),
        ("down", "13T00:00", "13T00:20"),
        ("down", "23T00:00", "23T01:00"),
    )
    told = only(one.report())
    assert (told.repair.mean, told.repair.median, told.repair.longest) == (30 * MINUTE, 20 * MINUTE, 60 * MINUTE)
    assert told.between == Fraction(2395, 10) * HOUR
    assert show3(told.figures.availability) == "99.791"


def test_an_open_outage_is_cut_at_now_and_stays_out_of_the_repair_time(one):
    """V15."""
    one.except_for("simpus", "2026-01-01T00:00", "11T00:00", ("down", "09T22:00", "11T00:00"))
    report = one.report(now="10T00:00")
    told = only(report)
    assert report.running
    assert report.cut == ms("10T00:00")
    assert show3(told.figures.availability) == "99.074"
    assert told.figures.observed == 777_600_000
    (outage,) = told.outages
    assert (outage.ended, outage.exact, outage.clock, told.repair) == (False, False, 2 * HOUR, None)
    assert told.started == 1


def test_a_service_registered_within_the_month_counts_from_then_on(book):
    """V16."""
    book.ran(*YEAR)
    book.service("simpus", registered=dt.date(2026, 6, 16))
    book.except_for("simpus", *YEAR, ("down", "20T00:00", "20T01:00"))
    assert show3(only(book.report()).figures.availability) == "99.722"


def test_a_service_that_did_not_live_in_the_period_is_not_there(book):
    book.ran(*YEAR)
    book.service("later", registered=dt.date(2026, 7, 1))
    book.service("gone", registered=dt.date(2026, 1, 1), retired=dt.date(2026, 6, 1))
    book.service("leaving", registered=dt.date(2026, 1, 1), retired=dt.date(2026, 6, 11))
    for name in ("later", "gone", "leaving"):
        book.except_for(name, *YEAR)
    told = only(book.report())
    assert told.id == "leaving"
    assert told.figures.agreed == 10 * 24 * HOUR


def test_maintenance_is_taken_out_and_shown_as_down_in_the_second_figure(one):
    """V07, over one day."""
    one.except_for("simpus", *YEAR, ("down", "05T02:00", "05T04:00"))
    one.work("simpus", "05T01:00", "05T03:00", approved="01T08:00")
    told = only(one.report("05T00:00", "06T00:00"))
    assert show3(told.figures.availability) == "95.454"
    assert show3(told.figures.with_maintenance) == "87.500"
    assert told.outages[0].down == HOUR
    assert told.outages[0].clock == 2 * HOUR


def test_an_outage_inside_of_maintenance_is_listed_and_not_counted(one):
    """V07b: overlapping windows count once."""
    one.except_for("simpus", *YEAR, ("down", "05T02:00", "05T04:00"))
    one.work("simpus", "05T01:00", "05T03:00", approved="01T08:00")
    one.work("simpus", "05T02:00", "05T05:00", approved="01T08:00")
    told = only(one.report("05T00:00", "06T00:00"))
    assert told.figures.maint == 4 * HOUR
    assert show3(told.figures.availability) == "100.000"
    (outage,) = told.outages
    assert (outage.counted, told.started, told.repair, told.between) == (False, 0, None, None)


def test_work_approved_too_late_is_listed_and_takes_nothing_out(one):
    one.except_for("simpus", *YEAR, ("down", "05T02:00", "05T04:00"))
    one.work("simpus", "05T01:00", "05T03:00", approved="05T01:00")
    told = only(one.report("05T00:00", "06T00:00"))
    assert (told.figures.maint, len(told.work)) == (0, 1)


def test_hours_and_holidays_bound_what_counts(one, tmp_path):
    """V08: an outage over night costs an hour of service; its clock runs through."""
    (tmp_path / "libur.csv").write_text("2026-06-01,Pancasila\n2026-06-16,Muharam\n")
    office = dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), "08:00-16:00")
    one.calendars["kantor"] = calendar(Profile(**office, holidays="libur.csv"), tmp_path)
    one.service("simpus", registered=dt.date(2026, 1, 1), hours="kantor")
    one.except_for("simpus", *YEAR, ("down", "04T15:30", "05T08:30"), ("down", "16T09:00", "16T10:00"))
    told = only(one.report())
    assert show3(told.figures.availability) == "99.375"
    night, holiday = told.outages
    assert (night.clock, night.hours, night.down) == (17 * HOUR, HOUR, HOUR)
    assert (holiday.counted, told.started) == (False, 1)
    assert told.repair_hours.mean == HOUR


def test_flapping_is_one_outage(one):
    """V33."""
    flaps = [("down", f"05T10:{2 * at:02d}", f"05T10:{2 * at + 1:02d}") for at in range(6)]
    one.except_for("simpus", *YEAR, *flaps)
    told = only(one.report())
    assert (told.started, told.figures.down) == (1, 6 * MINUTE)


def test_a_stop_of_the_centre_is_unobserved_for_every_service_and_no_outage(book):
    """V25."""
    book.ran("2026-01-01T00:00", "05T03:00")
    book.ran("05T03:20", "2026-12-31T00:00")
    for name in ("simpus", "antrean"):
        book.service(name, registered=dt.date(2026, 1, 1))
        book.except_for(name, *YEAR)
    for told in book.report("05T00:00", "06T00:00").services:
        assert told.unobserved == [(ms("05T03:00"), ms("05T03:20"))]
        assert (told.started, told.figures.down) == (0, 0)


def test_a_stop_of_the_centre_inside_of_an_outage_does_not_make_two(book):
    book.ran("2026-01-01T00:00", "05T03:00")
    book.ran("05T03:20", "2026-12-31T00:00")
    book.service("simpus", registered=dt.date(2026, 1, 1))
    book.except_for("simpus", *YEAR, ("down", "05T02:50", "05T03:30"))
    told = only(book.report())
    (outage,) = told.outages
    assert (outage.start, outage.end, outage.down) == (ms("05T02:50"), ms("05T03:30"), 20 * MINUTE)


def test_a_recovery_that_nobody_saw_is_marked_and_stays_out_of_the_repair_time(book):
    book.ran("2026-01-01T00:00", "05T03:00")
    book.ran("05T04:00", "2026-12-31T00:00")
    book.service("simpus", registered=dt.date(2026, 1, 1))
    book.except_for("simpus", *YEAR, ("down", "05T02:50", "05T03:10"))
    told = only(book.report())
    (outage,) = told.outages
    assert (outage.end, outage.ended, outage.exact, told.repair) == (ms("05T03:00"), True, False, None)


def test_an_outage_that_nobody_looked_at_any_more_has_not_ended(book):
    book.ran("2026-01-01T00:00", "05T03:00")
    book.service("simpus", registered=dt.date(2026, 1, 1))
    book.except_for("simpus", "2026-01-01T00:00", "05T03:00", ("down", "05T02:50", "05T03:00"))
    told = only(book.report(now="10T00:00"))
    (outage,) = told.outages
    assert (outage.end, outage.ended, told.figures.down) == (ms("05T03:00"), False, 10 * MINUTE)


def test_half_a_blind_month_gets_no_headline(one):
    """V02c."""
    one.saw("simpus", ("up", "16T00:00", "2026-07-01T00:00"))
    told = only(one.report())
    assert (told.headline, told.verdict) == (False, Verdict.OPEN)
    assert (show3(told.figures.lower), show3(told.figures.upper)) == ("50.000", "100.000")


def test_a_service_without_any_data_has_no_figure(one):
    """V02b."""
    told = only(one.report())
    assert (told.figures.availability, told.headline, told.verdict) == (None, False, Verdict.OPEN)


def test_an_outage_longer_than_any_margin_is_told_whole(book):
    book.ran("2025-01-01T00:00", "2026-12-31T00:00")
    book.service("simpus", registered=dt.date(2025, 1, 1))
    book.except_for("simpus", "2025-01-01T00:00", "2026-12-31T00:00", ("down", "2025-03-01T00:00", "2026-11-01T00:00"))
    (outage,) = only(book.report(now="2026-12-01T00:00")).outages
    assert (outage.start, outage.end) == (ms("2025-03-01T00:00"), ms("2026-11-01T00:00"))


def test_reasons_come_from_the_onset_on(one):
    one.except_for("simpus", *YEAR)
    one.saw("simpus", ("down", "05T10:00", "05T10:05", "http_error"), ("down", "05T10:05", "05T10:09"), check="b")
    (outage,) = only(one.report()).outages
    assert (outage.check, list(outage.reasons)) == ("b", [Reason.HTTP_ERROR, Reason.TIMEOUT])


def test_the_first_acknowledgement_after_the_onset_is_the_response(one):
    one.except_for("simpus", *YEAR, ("down", "05T10:00", "05T12:00"), ("down", "06T10:00", "06T12:00"))

    def opened(at, acked, check="http"):
        one.tx.execute(
            incident.insert().values(
                check_id=check,
                subject="service/simpus",
                status="down",
                severity="high",
                reason="timeout",
                opened_ms=ms(at),
                confirmed_ms=ms(at) + MINUTE,
                closed_ms=ms(at) + 2 * HOUR,
                acked_ms=acked and ms(acked),
            )
        )

    opened("05T10:00", "05T10:40")
    opened("05T10:00", "05T10:20", check="tls")
    opened("06T10:00", None)
    told = only(one.report())
    assert (told.response.count, told.response.mean, told.unacknowledged) == (1, 20 * MINUTE, 1)


def test_a_problem_that_was_taken_before_it_became_an_outage_was_answered_at_once_not_earlier(one):
    one.except_for(
        "simpus",
        *YEAR,
        ("degraded", "05T09:00", "05T10:00"),
        ("down", "05T10:00", "05T12:00"),
        ("up", "05T12:00", "06T10:00"),
        ("down", "06T10:00", "06T12:00"),
    )
    for began, taken in (("05T09:00", "05T09:15"), ("06T10:00", "06T10:30")):
        one.tx.execute(
            incident.insert().values(
                check_id="http",
                subject="service/simpus",
                status="down",
                severity="high",
                reason="timeout",
                opened_ms=ms(began),
                confirmed_ms=ms(began) + MINUTE,
                closed_ms=ms(began) + 3 * HOUR,
                acked_ms=ms(taken),
            )
        )
    response = only(one.report()).response
    assert (response.count, response.mean, response.longest) == (2, 15 * MINUTE, 30 * MINUTE)


def test_agencies_and_the_city_are_pooled_by_weight(city):
    report = city.report()
    names = {group.id: group for group in report.agencies}
    assert list(names) == ["dinkes", "dukcapil", ""]
    dinkes = names["dinkes"]
    simpus, antrean = (each for each in report.services if each.agency == "dinkes")
    good = 5 * (simpus.figures.observed - simpus.figures.down) + 3 * antrean.figures.observed
    assert dinkes.figures.availability == Fraction(
        100 * good, 5 * simpus.figures.observed + 3 * antrean.figures.observed
    )
    assert (dinkes.met, dinkes.missed, dinkes.rated, dinkes.worst) == (1, 1, 2, "simpus")
    assert (report.city.services, report.city.met, report.city.open) == (5, 3, 1)
    assert report.city.down == sum(each.figures.down for each in report.services)


def test_the_worst_offenders_are_ranked_by_weighted_seconds(city):
    report = city.report()
    assert [each.service for each in report.offenders] == ["simpus", "akta"]
    assert sum(each.share for each in report.offenders) == 100
    assert report.offenders[-1].running == 100
    assert [cause.reason for cause in report.causes] == [Reason.UNREACHABLE, Reason.REFUSED, Reason.HTTP_ERROR]


def test_a_service_that_left_the_register_stays_in_past_reports(city):
    """V32."""
    gone = next(each for each in city.report().services if each.id == "lama")
    assert (gone.registered, gone.figures.down) == (False, 0)
    assert gone.figures.agreed == (14 * 24 + 12) * HOUR


def test_one_service_can_be_asked_for_and_an_unknown_one_is_an_error(city):
    assert [each.id for each in city.report(service="ktp").services] == ["ktp"]
    assert [each.id for each in city.report(service="lama").services] == ["lama"]
    with pytest.raises(ValueError, match="unknown service 'sipmus'; known: simpus, antrean"):
        city.report(service="sipmus")


def test_any_period_can_be_reported_on(one):
    one.except_for("simpus", *YEAR, ("down", "05T10:10:07", "05T10:20:30"))
    told = only(one.report("05T10:00", "05T11:00"))
    assert (told.figures.agreed, told.figures.down) == (HOUR, 623_000)
    assert told.days == []
    with pytest.raises(ValueError, match="must end after it starts"):
        one.report("05T11:00", "05T10:00")


def test_a_period_that_has_not_begun_has_nothing_to_rate(one):
    told = one.report("2026-10-01T00:00", "2026-11-01T00:00").services
    assert [each.verdict for each in told] == [Verdict.UNRATED]


def test_days_pool_to_the_month(city):
    for each in city.report().services:
        assert len(each.days) == 30
        assert sum(day.figures.down for day in each.days) == each.figures.down
    simpus = city.report().services[0]
    assert [day.date.day for day in simpus.days if day.state == "down"] == [4, 5, 20]


def test_the_resolution_is_what_was_measured(city):
    assert city.report().services[0].resolution == MINUTE
