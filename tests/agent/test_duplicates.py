"""Of two points that no store could tell apart the first one stays, and the other is told and counted."""

from agent.clock import Clock
from agent.duplicates import Duplicates
from agent.gather import Runner, Unit
from collectors.point import Point


def temp(celsius, time=1, **tags):
    return Point("temp", tags, {"temp": celsius}, time)


def values(points):
    return [point.fields["temp"] for point in points]


def test_the_later_one_of_two_disks_with_one_name_is_left_out():
    points = [temp(30.0, sensor="nvme"), temp(40.0, sensor="nvme"), temp(50.0, sensor="other"), temp(60.0)]
    assert values(Duplicates("temp").admit(points)) == [30.0, 50.0, 60.0]


def test_tags_are_equal_in_any_order_and_empty_ones_are_none():
    points = [temp(1.0, a="x", b="y"), temp(2.0, b="y", a="x"), temp(3.0, a="x", b="y", c="")]
    assert values(Duplicates("temp").admit(points)) == [1.0]


def test_other_times_measurements_and_fields_are_no_duplicates():
    points = [
        temp(1.0, time=1),
        temp(2.0, time=2),
        Point("sensors", {}, {"temp": 3.0}, 1),
        Point("temp", {}, {"uptime": 4}, 1),
        Point("temp", {}, {"load1": 5.0, "load5": 6.0}, 1),
    ]
    assert Duplicates("system").admit(points) == points
    assert Duplicates("system").admit([*points, Point("temp", {}, {"load5": 7.0, "load15": 8.0}, 1)]) == points


def test_it_is_told_when_it_begins_when_others_join_and_when_it_ends(caplog):
    one = Duplicates("temp")
    twice = [temp(1.0, sensor="nvme"), temp(2.0, sensor="nvme")]
    for turn in range(5):
        one.admit([*twice, temp(3.0, sensor=f"s{turn}"), temp(4.0, sensor=f"s{turn}")])
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "collector temp gives points that nobody could tell apart" in caplog.text
    assert "(2 now): temp {'sensor': 's0'}" in caplog.text
    one.admit([*twice, temp(3.0, chip="a"), temp(4.0, chip="a")])
    one.admit(twice)
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    one.admit(twice[:1])
    one.admit(twice[:1])
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR", "WARNING"]
    one.admit(twice)
    assert caplog.records[-1].levelname == "ERROR"


async def test_a_runner_counts_them_apart_from_those_beyond_its_bound():
    class Twice:
        async def collect(self, now):
            return [temp(float(n), now, sensor=f"s{n // 2}") for n in range(8)]

    runner = Runner(Unit("temp", Twice(), 10, 5, max_series=3), {"host": "a"}, Clock())
    lines = await runner.look()
    assert [line.partition(b"temp=")[2].partition(b" ")[0] for line in lines] == [b"0.0", b"2.0", b"4.0"]
    assert (runner.counts.gathered, runner.counts.duplicates, runner.counts.limited) == (3, 4, 1)
