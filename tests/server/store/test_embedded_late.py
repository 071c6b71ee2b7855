"""Points that come when raw values of their time are gone: with the roll-ups they make one answer, each counted once."""

import random
from math import lcm

import duckdb
import msgspec
import pytest
from settled import AT_ONCE, SMALL, S, T, every_minute, files, settle_all

from collectors.point import Point
from configs.units import Duration
from server.store import Aggregate, Range, Written
from server.store.embedded import export
from server.store.embedded.layers import late
from server.store.embedded.levels import DAY, HOUR
from server.store.embedded.store import Embedded, Limits, Options

MINUTE = 60 * S
KEPT = Options(window=Duration(0.0), raw=Duration(30 * 86400))  # and roll-ups of 5 min for 100 days, as is usual
SHORT = Options(window=Duration(0.0), raw=Duration(86400))
FUNCTIONS = {
    Aggregate.MEAN: lambda values: sum(values) / len(values),
    Aggregate.MIN: min,
    Aggregate.MAX: max,
    Aggregate.LAST: lambda values: values[-1],
    Aggregate.SUM: sum,
    Aggregate.COUNT: len,
}


# every fifth day, and those where raw values and roll-ups of 5 min end
DAYS = sorted({*range(4, 365, 5), *range(262, 267), *range(332, 337)})
# what settles meanwhile would end the loops of the test too soon
LIMITS = Limits(settle_every=10**6, settling=msgspec.structs.replace(SMALL, worth=8))


def of_a_year(host, pace):
    """Return a value each ``pace`` minutes of the first hours of days in a year up to the day T."""
    chance = random.Random(host)
    return [
        Point(
            "m",
            {"host": host},
            {"f": chance.random()},
            T - (364 - day) * DAY + minute * MINUTE,
        )
        for day in DAYS
        for minute in range(0, 300, pace)
    ]


async def settled(store):
    await settle_all(store)
    while await store.settle():
        pass


async def asked(store, aggregate, step, start=T - 400 * DAY, end=T + DAY, **more):
    answer = await store.range(Range("m", "f", start, end, step, aggregate, **more))
    return dict(zip(answer[0].times, answer[0].values, strict=True)) if answer else {}


def windows(points, width_of):
    """Return the values of points in windows as wide as ``width_of`` a time, the oldest first."""
    found = {}
    for point in sorted(points, key=lambda point: (point.time, point.fields["f"])):
        width = width_of(point.time)
        found.setdefault(point.time // width * width, []).append(point.fields["f"])
    return found


pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    """A folder with a year of a host in time and of another one that came at the end of it, and their points."""
    import asyncio

    folder = tmp_path_factory.mktemp("year")
    in_time, backfill = of_a_year("a", 5), of_a_year("b", 7)

    async def fill():
        store = Embedded(KEPT, folder, lambda: T + DAY, LIMITS)
        await store.open()
        for points in (in_time, backfill):
            assert await store.write(points) == Written(len(points))
            await settled(store)
        # every third again
        assert await store.write(backfill[::3]) == Written(len(backfill[::3]))
        await store.close()

    asyncio.run(fill())
    return folder, [*in_time, *backfill]


@pytest.mark.parametrize("minutes", [1, 5, 7, 60, 90, 150, 1440, 10080])
async def test_a_year_is_answered_right_for_every_step(year, minutes):
    folder, points = year
    store = Embedded(KEPT, folder, lambda: T + DAY, LIMITS)
    step = minutes * MINUTE
    raw_from = T - 30 * DAY

    def width_of(time):
        """Where only roll-ups are left windows are made of them."""
        if time >= raw_from:
            return step
        return lcm(step, 5 * MINUTE if time >= T - 100 * DAY else HOUR)

    try:
        await store.open()
        assert store._tables.shelves["float"].raw_from == raw_from
        for where in ({}, {"host": "a"}, {"host": "b"}):
            expected = windows([point for point in points if where.items() <= point.tags.items()], width_of)
            for aggregate, function in FUNCTIONS.items():
                found = await asked(store, aggregate, step, where=where)
                assert found.keys() == expected.keys()
                assert list(found.values()) == pytest.approx([function(expected[start]) for start in found])
    finally:
        await store.close()


async def test_growth_is_that_of_both(make, small_files):
    store = await make(SHORT)
    await store.write([point for day in range(9) for point in every_minute("a", T + day * DAY, 3, value=day * 1000.0)])
    await settled(store)
    await store.write([point for day in range(9) for point in every_minute("b", T + day * DAY, 3, value=day * 500.0)])
    for _ in range(2):
        for host, grown in (("a", 1000), ("b", 500)):
            found = await asked(store, Aggregate.RATE, DAY, end=T + 10 * DAY, where={"host": host})
            assert [value * 86400 for value in found.values()] == pytest.approx([grown] * 8)
        await settled(store)


@pytest.mark.parametrize("aggregate", [Aggregate.RATE, Aggregate.IRATE])
async def test_a_gap_of_a_counter_that_is_filled_late_is_no_reset(make, small_files, aggregate):
    options = Options(window=Duration(0.0), raw=Duration(86400), minutes=Duration(1), five_minutes=Duration(1))
    store = await make(options)
    counter = every_minute("a", T, 240)
    late_ones = counter[80:100]
    await store.write([*(point for point in counter if point not in late_ones), *every_minute("a", T + 5 * DAY, 60)])
    await settled(store)
    await store.write(late_ones)
    for _ in range(2):
        found = await asked(store, aggregate, HOUR, start=T, end=T + DAY)
        # a minute each, from the last of an hour to that of the next
        assert found == pytest.approx({T + hour * HOUR: 1 / 60 for hour in (1, 2, 3)})
        await settled(store)


async def test_a_repeat_of_late_points_is_counted_once_wherever_they_lie(make, small_files):
    store = await make(SHORT)
    await store.write([*every_minute("a", T, 60), *every_minute("a", T + 5 * DAY, 60)])
    await settled(store)
    backfill = every_minute("b", T, 60)
    for turn in ("open", "settled", "restarted", "corrected"):
        assert await store.write(backfill) == Written(60)
        if turn == "settled":
            await settled(store)
            assert ("raw", T, DAY) in files(store, late("float"))
        if turn == "restarted":
            await store.close()
            store = await make(SHORT)
        if turn == "corrected":
            await store.write([Point("m", {"host": "b"}, {"f": 1000.0}, T)])
        more = 1000.0 if turn == "corrected" else 0.0
        assert await asked(store, Aggregate.SUM, HOUR, end=T + DAY) == {T: 2 * sum(range(60)) + more}
        assert await asked(store, Aggregate.COUNT, HOUR, end=T + DAY) == {T: 120.0}
    (newest,) = await store.latest("m", ["f"], since=0, where={"host": "b"})
    assert (newest.time, newest.fields) == (T + 59 * MINUTE, {"f": 59.0})


async def test_few_values_that_never_went_into_a_file_are_written_again_as_late_ones(make):
    store = await make(SHORT, settling=SMALL)
    await store.write(every_minute("a", T, 60))
    few = [Point("m", {"host": "b"}, {"g": 1}, T + minute * MINUTE) for minute in range(3)]
    await settled(store)
    await store.write([*few, *every_minute("a", T + 5 * DAY, 60)])
    # integers of that day stay in the table, its floats go
    while await store.settle(limits=Limits().settling):
        pass
    assert store._tables.shelves["float"].raw_from == T + DAY
    for _ in range(2):
        await store.write(few)
        (answer,) = await store.range(Range("m", "g", T, T + DAY, 7 * S, Aggregate.COUNT))
        assert answer.values == [1.0] * 3
        await store.close()
        store = await make(SHORT)


async def test_texts_that_come_late_are_kept(make, small_files):
    store = await make(SHORT)
    await store.write([*every_minute("a", T, 60), *every_minute("a", T + 5 * DAY, 60)])
    await settled(store)
    await store.write([Point("m", {"host": "b"}, {"s": "late"}, T)])
    await settled(store)
    assert [one.fields for one in await store.latest("m", ["s"], since=T)] == [{"s": "late"}]


async def test_raw_from_does_not_move_back_when_older_files_go_later(make, small_files):
    store = await make(SHORT)
    tables = store._tables
    for day in range(8):
        await store.write(every_minute("a", T + day * DAY, 60))
    await settled(store)
    before = tables.shelves["float"].raw_from
    assert before == T + 6 * DAY
    old = tables.shelves["float"].files()[0]._replace(level="raw", start=T, end=T + DAY, cut=T, name="old.parquet")
    (tables.folder / "old.parquet").write_bytes(next(tables.folder.glob("*-raw-*")).read_bytes())
    store._writer.submit(lambda: tables._swap(gone=[], new=[old])).result()
    store._writer.submit(tables.drop_level, "raw", T + 2 * DAY).result()
    assert tables.shelves["float"].raw_from == before
    expected = {T + day * DAY: float(sum(range(60))) for day in range(8)}
    assert await asked(store, Aggregate.SUM, HOUR, start=T, end=T + 9 * DAY) == expected
    await store.close()
    store = await make(SHORT)
    assert store._tables.shelves["float"].raw_from == before


async def test_a_store_whose_raw_from_moved_back_is_read_whole(make, small_files, tmp_path):
    store = await make(SHORT)
    for day in range(4):
        await store.write(every_minute("a", T + day * DAY, 60))
    await settled(store)
    await store.close()
    with duckdb.connect(tmp_path / "points.duckdb") as file:
        file.execute("UPDATE about SET format = 3")
        file.execute(f"UPDATE raw_from SET time = {T}")
        for table in ("float", "integer", "unsigned", "boolean", "string"):
            file.execute(f"DROP TABLE late_{table}_points")
        # taken by mistake: it hid the roll-ups of its hour
        file.execute(f"INSERT INTO float_points SELECT key, {T + 7}, 7.0 FROM (SELECT min(id) AS key FROM keys)")
    store = await make(SHORT)
    assert store._tables.shelves["float"].raw_from == T + 2 * DAY
    expected = {T + day * DAY: float(sum(range(60))) for day in range(4)}
    expected[T] += 7.0
    assert await asked(store, Aggregate.SUM, HOUR, start=T, end=T + 9 * DAY) == expected


async def test_what_came_late_is_copied_exported_and_forgotten_with_the_rest(make, small_files, tmp_path):
    store = await make(SHORT)
    await store.write([*every_minute("a", T, 60), *every_minute("a", T + 5 * DAY, 60)])
    await settled(store)
    backfill = every_minute("b", T, 60)
    await store.write(backfill)
    await settled(store)
    await store.write(every_minute("b", T + HOUR, 2))
    tables = store._tables
    names = export.keys(tables)
    assert export.hours(tables) == [T + 5 * DAY + hour * HOUR for hour in range(23, -1, -1)] + [
        T + hour * HOUR for hour in range(23, -1, -1)
    ]
    assert sorted(point.time for point in export.points(tables, T, T + DAY, names)) == [
        T + minute * MINUTE for minute in range(62)
    ]
    assert export.counts(tables, T, T + DAY, names) == {("m", "f"): 62}
    rolled = {point.tags["host"]: point.fields["count_f"] for point in export.rolled(tables, T, names)}
    assert rolled == {"a": 60, "b": 60}
    await store.backup(tmp_path / "copy")
    copy = Embedded(AT_ONCE, tmp_path / "copy")
    try:
        assert await asked(copy, Aggregate.COUNT, HOUR, end=T + DAY) == {T: 120.0, T + HOUR: 2.0}
    finally:
        await copy.close()
    await store.drop_before(T + HOUR)
    assert await asked(store, Aggregate.COUNT, HOUR, end=T + DAY) == {T + HOUR: 2.0}
    await store.drop_before(T + DAY)
    store._forget_at = 0.0
    await store.settle()
    assert await store.tag_values("m", "host") == ["a"]
