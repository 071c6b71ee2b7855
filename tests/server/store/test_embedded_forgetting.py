"""Series without a value are forgotten: their names are free again, and nothing of them is left in what takes their place."""

import pytest

from collectors.linereader import Cache, decode
from collectors.point import Point
from configs.units import Duration
from server.store import Aggregate, Range
from server.store.embedded.forgetting import silent
from server.store.embedded.store import Embedded, Options

S = 10**9
DAY = 86400 * S
T = 1_699_920_000 * S  # a whole day
LATER = T + 400 * DAY


@pytest.fixture
async def make(tmp_path):
    """Open stores in a folder that are closed at the end."""
    made = []

    async def build(limit=1000, **options):
        for store in made:
            await store.close()
        made[:] = [Embedded(Options(window=Duration(0.0), series=limit, **options), tmp_path, lambda: LATER)]
        await made[0].open()
        return made[0]

    yield build
    for store in made:
        await store.close()


def points(time, *names, measurement="m", value=1.0):
    return [Point(measurement, {"c": name}, {"f": value}, time + n) for n, name in enumerate(names)]


async def settle(store):
    store._forget_at = 0.0
    while await store.settle(everything=True):
        pass


async def test_a_series_whose_values_are_gone_is_forgotten_and_makes_room(make):
    store = await make(limit=2)
    await store.write(points(T, "old", "lasting"))
    await store.write(points(T + 5 * DAY, "lasting"))
    written = await store.write(points(T + 5 * DAY, "new"))
    assert [one.why for one in written.rejected] == ["max-series-per-database limit exceeded: (2) dropped=1"]
    await store.drop_before(T + DAY)
    await settle(store)
    assert await store.tag_values("m", "c") == ["lasting"]
    assert (await store.write(points(T + 5 * DAY, "new", value=7.0))).rejected == ()
    for _ in range(2):
        latest = await store.latest("m", ["f"], since=0)
        assert [(one.tags["c"], one.fields["f"]) for one in latest] == [("lasting", 1.0), ("new", 7.0)]
        assert [(one.measurement, one.series) for one in await store.cardinality()] == [("m", 2)]
        store = await make(limit=2)


async def test_a_measurement_without_series_is_gone_and_its_types_are_free(make):
    store = await make()
    await store.write([*points(T, "a", measurement="gone"), *points(T + 9 * DAY, "a")])
    await store.drop_before(T + DAY)
    await settle(store)
    assert await store.measurements() == ["m"]
    assert await store.fields("gone") == {}
    for _ in range(2):
        assert (await store.write(points(T + 9 * DAY, "a", measurement="gone", value="text"))).rejected == ()
        assert await store.fields("gone") == {"f": "string"}
        store = await make()


async def test_what_has_values_only_in_roll_ups_is_not_forgotten(make):
    store = await make(raw=Duration(86400), minutes=Duration(86400), five_minutes=Duration(86400))
    await store.write([point for hour in range(24) for point in points(T + hour * 3600 * S, "a", "b")])
    await store.write(points(T + 300 * DAY, "c"))
    await settle(store)
    await settle(store)
    raw = Range("m", "f", T, T + DAY, 60 * S, Aggregate.COUNT, by=["c"])
    assert [len(one.times) for one in await store.range(raw)] == [24, 24]
    assert await store.tag_values("m", "c") == ["a", "b", "c"]


async def test_what_was_written_meanwhile_is_not_forgotten(make):
    store = await make()
    await store.write([*points(T, "a", "b"), *points(T + 9 * DAY, "c")])
    await store.drop_before(T + DAY)
    found = silent(store._tables)
    assert {one.tags["c"] for one in found} == {"a", "b"}
    await store.write([Point("m", {"c": "a"}, {"g": 5}, T + 9 * DAY)])
    store._writer.submit(store._tables.forget, found).result()
    for _ in range(2):
        assert await store.tag_values("m", "c") == ["a", "c"]
        assert [one.fields for one in await store.latest("m", ["f", "g"], since=0)] == [{"g": 5}, {"f": 1.0}]
        store = await make()


async def test_lines_of_a_forgotten_series_make_it_anew(make):
    store, cache = await make(), Cache()

    async def write(*lines):
        await store.write(decode("\n".join(lines).encode(), now=0, cache=cache).points)

    for turn in range(2):
        await write(f"m,c=a f=1,n=2i {T + turn}", f"m,c=b f=1,n=2i {T + turn}")
    await write(f"m,c=b f=3,n=4i {T + 9 * DAY}")
    await store.drop_before(T + DAY)
    await settle(store)
    assert await store.tag_values("m", "c") == ["b"]
    await write(f"m,c=a f=5,n=6i {T + 9 * DAY}", f"m,c=b f=7,n=8i {T + 9 * DAY}")
    assert await store.tag_values("m", "c") == ["a", "b"]
    latest = await store.latest("m", ["f", "n"], since=0)
    assert [(one.tags["c"], one.fields) for one in latest] == [("a", {"f": 5.0, "n": 6}), ("b", {"f": 7.0, "n": 8})]


async def test_names_that_come_and_go_never_reach_the_limit(make):
    store = await make(limit=20)
    for day in range(12):
        names = [f"{day}-{n}" for n in range(5)]
        assert (await store.write(points(T + day * DAY, *names, value=float(day)))).rejected == ()
        await store.drop_before(T + (day - 2) * DAY)
        await settle(store)
        latest = await store.latest("m", ["f"], since=0)
        assert {one.fields["f"] for one in latest} == {float(left) for left in range(max(0, day - 2), day + 1)}
