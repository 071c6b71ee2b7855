"""Numbers, times and words in both languages: one shape wherever they are read."""

from fractions import Fraction

import pytest

from alerts.i18n.language import Language, languages
from alerts.i18n.numbers import truncated
from alerts.i18n.shorten import shortened
from alerts.i18n.times import hours_minutes_seconds
from collectors.result import Reason, Status

NOW = 1_780_561_800_000  # 4 June 2026, 15:30 WIB


@pytest.fixture(scope="module")
def spoken():
    return languages("Asia/Jakarta")


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (Fraction(999, 10), 3, "99.900"),
        (Fraction(9999999, 100000), 3, "99.999"),
        (Fraction(100), 2, "100.00"),
        (Fraction(1, 3), 3, "0.333"),
        (Fraction(2, 3), 0, "0"),
    ],
)
def test_figures_are_cut_off_and_never_rounded_up(value, digits, expected):
    assert truncated(value, digits) == expected


def test_numbers_are_written_as_people_of_the_language_write_them(spoken):
    indonesian, english = spoken["id"], spoken["en"]
    assert indonesian.percent(Fraction(999, 10)) == "99,900%"
    assert english.percent(Fraction(999, 10)) == "99.900%"
    assert indonesian.percent(None) == "–"
    assert indonesian.number(12345.6, 1) == "12.345,6"
    assert english.number(12345.6, 1) == "12,345.6"
    assert [indonesian.seconds(one) for one in (0.0004, 0.084, 4.812)] == ["0,4 ms", "84 ms", "4,81 dtk"]
    assert indonesian.scaled(12_345_678, "bit/s") == "12,3 Mbit/s"
    assert indonesian.scaled(0, "bit/s") == "0 bit/s"
    assert indonesian.bounds(Fraction(50), Fraction(100)) == "50,000–100,000%"


def test_a_measured_percentage_is_rounded_and_one_of_the_settings_stays_as_it_was_written(spoken):
    assert [spoken[code].measured_percent(62.96, 1) for code in ("id", "en")] == ["63,0%", "63.0%"]
    assert [spoken[code].percent_as_written(Fraction("99.50")) for code in ("id", "en")] == ["99,5%", "99.5%"]
    assert spoken["id"].percent_as_written(Fraction(100)) == "100%"


@pytest.mark.parametrize(
    ("lower", "upper", "shown"),
    [
        (Fraction(100), Fraction(100), "100,000%"),
        (Fraction(999_991, 10_000), Fraction(999_999, 10_000), "99,999%"),
        (Fraction(999_989, 10_000), Fraction(999_999, 10_000), "99,998–99,999%"),
        (None, Fraction(100), "–"),
    ],
)
def test_bounds_that_show_the_same_are_one_figure(spoken, lower, upper, shown):
    assert spoken["id"].bounds(lower, upper) == shown


def test_a_text_that_is_too_long_says_that_it_was_cut():
    assert shortened("sepuluh kata", 12) == "sepuluh kata"
    assert shortened("sepuluh kata", 8) == "sepuluh…"
    assert shortened("🔴🔴🔴", 5) == "🔴🔴…"
    assert shortened("🔴🔴🔴", 4) == "🔴…"


def test_a_stretch_to_the_second_counts_hours_on():
    assert hours_minutes_seconds(90_061_999) == "25:01:01"
    assert hours_minutes_seconds(0) == "0:00:00"


@pytest.mark.parametrize(
    ("ms", "indonesian", "english"), [(1000, "1 detik", "1 second"), (3_600_000, "3.600 detik", "3,600 seconds")]
)
def test_counted_seconds_are_grouped_and_in_the_right_form(spoken, ms, indonesian, english):
    assert spoken["id"].full_seconds(ms) == indonesian
    assert spoken["en"].full_seconds(ms) == english


def test_months_and_columns_of_moments_follow_the_language(spoken):
    told = [
        (one.month(one.local(NOW).date()), one.long_date(one.local(NOW).date()), one.stamp(NOW))
        for one in spoken.values()
    ]
    assert told == [
        ("Juni 2026", "4 Juni 2026", "04/06/2026 15.30.00"),
        ("June 2026", "4 June 2026", "2026-06-04 15:30:00"),
    ]


def test_times_are_local_and_short_where_they_can_be(spoken):
    indonesian, english = spoken["id"], spoken["en"]
    assert indonesian.moment(NOW) == "4 Juni 2026 pukul 15.30 WIB"
    assert indonesian.clock(NOW - 5000, NOW, seconds=True) == "15.29.55"
    assert indonesian.clock(NOW - 86_400_000, NOW) == "3 Jun 15.30"
    assert english.clock(NOW - 400 * 86_400_000, NOW) == "30 Apr 2025 15:30"
    assert indonesian.iso(NOW) == "2026-06-04T15:30:00+07:00"


@pytest.mark.parametrize(
    ("ms", "expected"),
    [(0, "0 detik"), (59_999, "59 detik"), (119_000, "1 menit"), (7_300_000, "2 jam"), (200_000_000, "2 hari")],
)
def test_lists_tell_a_stretch_in_its_largest_unit(spoken, ms, expected):
    assert spoken["id"].rough_duration(ms) == expected


@pytest.mark.parametrize("language", ["id", "en"])
def test_every_reason_status_and_severity_has_its_words(spoken, language):
    told = {spoken[language].reason(reason) for reason in Reason}
    assert len(told) == len(Reason)
    for one in told:
        assert one.what
        assert not one.what.endswith(".")
        assert one.todo.endswith(".")
    assert len({spoken[language].status(status) for status in Status}) == len(Status)
    assert len({spoken[language].severity(one) for one in ("critical", "high", "medium", "low")}) == 4


def test_no_reason_has_the_same_words_in_both_languages(spoken):
    assert all(spoken["id"].reason(reason).what != spoken["en"].reason(reason).what for reason in Reason)


@pytest.mark.parametrize(
    ("seconds", "indonesian", "english"),
    [
        (0, "0 detik", "0 seconds"),
        (-5, "0 detik", "0 seconds"),
        (1, "1 detik", "1 second"),
        (59.999, "59 detik", "59 seconds"),
        (60, "1 menit", "1 minute"),
        (1750, "29 menit 10 detik", "29 minutes 10 seconds"),
        (5400, "1 jam 30 menit", "1 hour 30 minutes"),
        (3605, "1 jam", "1 hour"),
        (86400 + 3600 + 60, "1 hari 1 jam", "1 day 1 hour"),
        (30 * 86400, "30 hari", "30 days"),
    ],
)
def test_durations(spoken, seconds, indonesian, english):
    assert spoken["id"].duration(int(seconds * 1000)) == indonesian
    assert spoken["en"].duration(int(seconds * 1000)) == english


@pytest.mark.parametrize(
    ("zone", "indonesian", "english"),
    [
        ("Asia/Jakarta", "4 Juni 2026 pukul 15.30 WIB", "4 June 2026, 15:30 WIB"),
        ("Asia/Makassar", "4 Juni 2026 pukul 16.30 WITA", "4 June 2026, 16:30 WITA"),
        ("Asia/Jayapura", "4 Juni 2026 pukul 17.30 WIT", "4 June 2026, 17:30 WIT"),
        ("UTC", "4 Juni 2026 pukul 08.30 UTC", "4 June 2026, 08:30 UTC"),
    ],
)
def test_moments(zone, indonesian, english):
    assert Language("id", zone).moment(NOW) == indonesian
    assert Language("en", zone).moment(NOW) == english
