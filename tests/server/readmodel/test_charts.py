import pytest

from collectors.point import Point
from server.readmodel import charts
from server.store import Aggregate, StoreUnavailable
from server.store.embedded.store import Embedded, Options

NOW = 1_780_000_200_000
NS = 1_000_000


@pytest.fixture
async def store(tmp_path):
    opened = Embedded(Options(), tmp_path, lambda: NOW * NS)
    await opened.open()
    yield opened
    await opened.close()


def minutes(measurement, tags, field, value, *, back=range(30)):
    return [Point(measurement, tags, {field: value(n)}, (NOW - n * 60_000) * NS) for n in back]


async def test_a_host_chart_has_its_lines_on_common_times(store):
    tags = {"host": "a", "cpu": "cpu-total"}
    await store.write(minutes("cpu", tags, "usage_user", float))
    await store.write(minutes("cpu", {"host": "b", "cpu": "cpu-total"}, "usage_user", lambda _: 99.0))
    chart = next(one for one in charts.of_host("a") if one.id == "cpu")
    drawn = await charts.draw(store, chart, "1h", NOW)
    assert [line.label for line in drawn.lines] == ["aplikasi"]
    assert len(drawn.times) == 29  # up to now, which is not in it
    assert max(drawn.lines[0].values) == 29.0
    assert drawn.end - drawn.start >= 3600


async def test_traffic_is_bits_a_second_summed_over_interfaces_without_loopback(store):
    for name, pace in (("eth0", 1000), ("eth1", 500), ("lo", 77_777)):
        tags = {"host": "a", "interface": name}
        await store.write(minutes("net", tags, "bytes_recv", lambda n, pace=pace: (100 - n) * 60 * pace))
    chart = next(one for one in charts.of_host("a") if one.id == "net")
    drawn = await charts.draw(store, chart, "1h", NOW)
    assert [round(value) for value in drawn.lines[0].values[3:6]] == [12_000] * 3


@pytest.mark.parametrize("span", list(charts.SPANS))
@pytest.mark.parametrize("late", [0, 90_000, 3_500_000])
async def test_the_right_end_of_traffic_is_as_high_as_the_rest_however_full_its_window_is(store, span, late):
    length, step = charts.SPANS[span]
    pace = max(10, length // 1000)
    now = NOW // (step * 1000) * step * 1000 + min(late, 900 * step) + 1000
    times = range(now - length * 1000 // 2, now, pace * 1000)
    await store.write(
        [
            Point("net", {"host": "a", "interface": "e"}, {"bytes_recv": time // 1000 * 1000}, time * NS)
            for time in times
        ]
    )
    chart = next(one for one in charts.of_host("a") if one.id == "net")
    drawn = await charts.draw(store, chart, span, now)
    assert drawn.lines[0].values == pytest.approx([8000.0] * len(drawn.times), rel=0.11)  # times are cut to seconds
    assert drawn.times[-1] == times[-1] // (step * 1000) * step


async def test_a_gap_is_wider_than_the_pace_of_measuring(store):
    await store.write(minutes("mem", {"host": "a"}, "used_percent", float, back=range(0, 60, 5)))
    chart = next(one for one in charts.of_host("a") if one.id == "mem")
    assert (await charts.draw(store, chart, "1h", NOW)).gap == 900


async def test_more_lines_than_can_be_told_apart_are_left_out_and_counted(store):
    for number in range(20):
        await store.write(minutes("load", {"host": f"h{number}"}, "value", lambda _, n=number: float(n), back=range(2)))
    chart = charts.of_series("load", "value", {}, ["host"], Aggregate.MAX)
    drawn = await charts.draw(store, chart, "1h", NOW)
    assert len(drawn.lines) == 12
    assert drawn.left_out == 8
    assert "h19" in {line.group for line in drawn.lines}


async def test_gauges_tell_the_fullest_file_system_of_every_host(store):
    await store.write(minutes("cpu", {"host": "a", "cpu": "cpu-total"}, "usage_idle", lambda _: 70.0, back=range(2)))
    for path, used in (("/", 40.0), ("/var", 91.0)):
        await store.write(
            minutes("disk", {"host": "a", "path": path}, "used_percent", lambda _, u=used: u, back=range(2))
        )
    found = await charts.gauges(store, NOW)
    assert found["a"] == charts.Gauges(cpu=30.0, memory=None, disk=91.0)


async def test_ports_are_in_natural_order_with_state_and_rates(store):
    for port in (10, 2, 1):
        tags = {"source": "sw", "ifName": f"Gi0/{port}", "ifDescr": f"Gigabit {port}"}
        points = []
        for n in range(15):
            fields = {
                "ifOperStatus": 1 if port < 10 else 2,
                "ifAdminStatus": 1,
                "ifHighSpeed": 1000,
                "ifHCInOctets": (60 - n) * 60 * 1000,
            }
            points.append(Point("interface", tags, fields, (NOW - n * 60_000) * NS))
        await store.write(points)
    ports = await charts.ports(store, "sw", NOW)
    assert [port.name for port in ports] == ["Gi0/1", "Gi0/2", "Gi0/10"]
    assert [port.up for port in ports] == [True, True, False]
    assert ports[0].speed == 1e9
    assert ports[0].inward == pytest.approx(8000)
    assert ports[0].outward is None


async def test_a_store_that_cannot_be_read_is_said_and_not_shown_as_no_data(tmp_path):
    (tmp_path / "points.duckdb").write_bytes(b"not a database")
    damaged = Embedded(Options(), tmp_path, lambda: NOW * NS)
    for question in (charts.draw(damaged, charts.of_service("x")[0], "1h", NOW), charts.gauges(damaged, NOW)):
        with pytest.raises(StoreUnavailable):
            await question
    await damaged.close()
