"""A cardinality bomb: short-lived names reach the centre within a bound only."""

from agent.series import SeriesLimit
from collectors.point import Point


def points(names, measurement="docker"):
    return [Point(measurement, {"name": name}, {"n": 1}, 1) for name in names]


def names(kept):
    return [point.tags["name"] for point in kept]


def test_twenty_thousand_short_lived_names_in_an_hour_become_as_many_series_as_are_allowed(caplog):
    limit = SeriesLimit("docker", 500)
    seen = set()
    for turn in range(360):
        born = [f"run-{turn}-{n}" for n in range(56)]
        kept = names(limit.admit(points(["web", "db", *born]), turn * 10.0))
        assert {"web", "db"} <= set(kept)
        seen |= set(kept)
    assert len(seen) == 500
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "collector docker makes more than 500 series" in caplog.text


def test_what_is_gone_for_an_hour_gives_its_place_away_and_the_end_is_told(caplog):
    limit = SeriesLimit("net", 3)
    assert names(limit.admit(points(["a", "b", "c", "d"]), 0)) == ["a", "b", "c"]
    assert names(limit.admit(points(["a", "d"]), 1800)) == ["a"]
    assert names(limit.admit(points(["a", "d"]), 3601)) == ["a"]  # the places are free from now on
    assert names(limit.admit(points(["a", "d"]), 3611)) == ["a", "d"]
    assert "within its bound of 3 series again" in caplog.text


def test_the_same_tags_of_another_measurement_are_another_series():
    limit = SeriesLimit("x", 2)
    kept = limit.admit([*points(["a"]), *points(["a"], "other"), *points(["a"], "third")], 0)
    assert [point.measurement for point in kept] == ["docker", "other"]
