"""Service hours: weeks, breaks, nights, zones and holidays."""

import datetime as dt
from pathlib import Path

import pytest

from configs.read import SettingsError, Source
from server.calendar.intervals import total
from server.calendar.service_hours import BadHours, Profile, calendar
from server.evaluation.standard import figures, show3
from server.inventory import register
from server.ledger.timeline import Timeline

OFFICE = dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), "08:00-16:00")
HOUR = 3_600_000


def ms(text):
    return round(dt.datetime.fromisoformat(text).timestamp() * 1000)


def june(profile, folder):
    return calendar(profile, folder).stretches(ms("2026-06-01T00:00+07:00"), ms("2026-07-01T00:00+07:00"))


def test_holidays_are_closed(tmp_path):
    """V08: 20 days of eight hours, an outage over night costs one hour."""
    (tmp_path / "libur.csv").write_text("date,name\n2026-06-01,Hari Lahir Pancasila\n2026-06-16,1 Muharam\n")
    hours = june(Profile(**OFFICE, holidays="libur.csv"), tmp_path)
    assert (len(hours), total(hours)) == (20, 160 * HOUR)
    down = [(ms("2026-06-04T15:30+07:00"), ms("2026-06-05T08:30+07:00"))]
    period = (ms("2026-06-01T00:00+07:00"), ms("2026-07-01T00:00+07:00"))
    assert show3(figures(Timeline(period=period, down=down, service=hours)).availability) == "99.375"
    forgotten = june(Profile(**OFFICE), tmp_path)
    assert show3(figures(Timeline(period=period, down=down, service=forgotten)).availability) == "99.431"


def test_breaks_are_closed(tmp_path):
    hours = june(Profile(fri="07:30-11:30, 13:00-16:00"), tmp_path)
    assert [pair[1] - pair[0] for pair in hours[:2]] == [4 * HOUR, 3 * HOUR]
    assert hours[0][0] == ms("2026-06-05T07:30+07:00")


def test_a_night_shift_belongs_to_the_day_on_which_it_begins(tmp_path):
    (tmp_path / "libur.csv").write_text("2026-06-08,Libur Senin\n")
    hours = june(Profile(sun="22:00-06:00", mon="22:00-06:00", holidays="libur.csv"), tmp_path)
    assert hours[:4] == [
        (ms("2026-06-01T00:00+07:00"), ms("2026-06-01T06:00+07:00")),  # from Sunday, before the period
        (ms("2026-06-01T22:00+07:00"), ms("2026-06-02T06:00+07:00")),
        (ms("2026-06-07T22:00+07:00"), ms("2026-06-08T06:00+07:00")),
        (ms("2026-06-14T22:00+07:00"), ms("2026-06-15T06:00+07:00")),
    ]


def test_hours_follow_the_zone_of_the_profile(tmp_path):
    (first, *_) = june(Profile(mon="08:00-16:00", zone="Asia/Jayapura"), tmp_path)
    assert first[0] == ms("2026-06-01T08:00+09:00")


def test_hours_follow_the_clock_where_it_is_changed(tmp_path):
    whole = calendar(Profile(sun="00:00-24:00", zone="Europe/Berlin"), tmp_path)
    spring = whole.stretches(ms("2026-03-29T00:00+01:00"), ms("2026-03-30T00:00+02:00"))
    assert total(spring) == 23 * HOUR


def test_whole_days_join_into_one_stretch(tmp_path):
    always = Profile(**dict.fromkeys(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), "00:00-24:00"))
    assert len(june(always, tmp_path)) == 1


def test_an_empty_or_reversed_period_has_no_hours(tmp_path):
    assert calendar(Profile(**OFFICE), tmp_path).stretches(5, 5) == []
    assert calendar(Profile(**OFFICE), tmp_path).stretches(5, 4) == []


@pytest.mark.parametrize(
    ("profile", "why"),
    [
        ({"mon": "8-16"}, "expected hours such as \"07:30-12:00,13:00-16:00\", got '8-16'"),
        ({"mon": "08:00-16:00,"}, "expected hours such as"),
        ({"mon": "08:60-16:00"}, "expected hours such as"),
        ({"mon": "24:00-25:00"}, "a day ends at 24:00"),
        ({"mon": "08:00-24:30"}, "a day ends at 24:00"),
        ({"mon": "08:00-08:00"}, 'a whole day is "00:00-24:00"'),
        ({"mon": "08:00-12:00,11:00-16:00"}, "begins before the hours in front of it end"),
        ({"zone": "Asia/Bandung"}, "unknown time zone 'Asia/Bandung'"),
        ({"zone": "../etc"}, "unknown time zone"),
        ({"holidays": "none.csv"}, "No such file or directory"),
        ({"holidays": "bad.csv"}, "bad.csv:2: expected a date such as 2026-08-17, got '17/8/2026'"),
        ({"holidays": "binary.csv"}, "not a CSV file in UTF-8"),
    ],
)
def test_it_says_what_is_wrong_with_a_profile(tmp_path, profile, why):
    (tmp_path / "bad.csv").write_text("date,name\n17/8/2026,Kemerdekaan\n")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadHours) as caught:
        calendar(Profile(**profile), tmp_path)
    assert why in str(caught.value)


def test_the_register_points_to_the_line_of_wrong_hours():
    text = '[hours.kantor]\ntue = "08:00-16:00"\nmon = "pagi"\n'
    with pytest.raises(SettingsError, match=r"^services.toml:3: 'mon' in \[hours.kantor\]: expected hours such as"):
        register.read(Source(text, Path("services.toml")))
