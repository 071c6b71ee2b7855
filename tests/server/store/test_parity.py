"""What every store must do alike: the same tests over the embedded store and real databases."""

from random import Random
from time import time_ns

import msgspec
import pytest
from plain_rates import PLAIN_RATES, counter

from collectors.point import Point, UInt
from server.store import RATES, Aggregate, Deletion, Found, Latest, Range, Rejected, Series, Spender, Written

S = 10**9
T = 1_700_000_000 * S
MINUTE = 60 * S


def cpu(value, time=T, **tags):
    return Point("cpu", tags, {"usage": value}, time)


def points_of(store_answer):
    return [(dict(series.tags), list(zip(series.times, series.values, strict=True))) for series in store_answer]


async def test_it_gives_back_every_type_as_it_was_written(store):
    fields = {
        "f": 1.5,
        "whole": 5.0,
        "i": -(2**63),
        "big": 2**53 + 1,
        "b": True,
        "no": False,
        "s": 'a "quoted" \\ text\n日本',
    }
    assert await store.write([Point("types", {"host": "a"}, fields, T + 1)]) == Written(1)
    (latest,) = await store.latest("types", list(fields), since=T)
    assert latest == Latest({"host": "a"}, fields, T + 1)
    assert [type(value) for value in latest.fields.values()] == [float, float, int, int, bool, bool, str]
    assert await store.fields("types") == {
        "b": "boolean", "big": "integer", "f": "float", "i": "integer", "no": "boolean", "s": "string", "whole": "float",
    }  # fmt: skip


async def test_it_keeps_unsigned_numbers_exact_as_far_as_integers_go(store):
    await store.write([Point("net", {}, {"bytes": UInt(2**63 - 1)}, T)])
    assert (await store.latest("net", ["bytes"], since=T))[0].fields == {"bytes": 2**63 - 1}
    assert (await store.fields("net"))["bytes"] in {"unsigned", "integer"}


async def test_it_takes_points_without_tags(store):
    await store.write([cpu(1.0)])
    assert await store.latest("cpu", ["usage"], since=T) == [Latest({}, {"usage": 1.0}, T)]


async def test_a_conflicting_field_is_refused_and_the_rest_of_its_point_written(store):
    await store.write([Point("m", {}, {"f": 1.0}, T)])
    mixed = [Point("m", {}, {"f": "text", "g": 7}, T + 1), Point("m", {}, {"f": 2.0, "g": 8}, T + 2)]
    why = 'field type conflict: input field "f" on measurement "m" is type string, already exists as type float'
    assert await store.write(mixed) == Written(2, (Rejected("m", "f", why),))
    assert await store.latest("m", ["f", "g"], since=T) == [Latest({}, {"f": 2.0, "g": 8}, T + 2)]
    counted = await store.range(Range("m", "g", T, T + S, S, Aggregate.COUNT))
    assert points_of(counted) == [({}, [(T, 2.0)])]


async def test_several_conflicts_in_one_batch_are_all_told(store):
    await store.write([Point("m x", {}, {'f"1': 1, "f2": True}, T)])
    written = await store.write(
        [Point("m x", {}, {'f"1': 1.5, "f2": 3, "f3": "new"}, T + 1), Point("m x", {}, {"f2": 4}, T + 2)]
    )
    assert written.points == 1
    assert {(one.field, one.why.partition(" is type ")[2]) for one in written.rejected} == {
        ('f"1', "float, already exists as type integer"),
        ("f2", "integer, already exists as type boolean"),
    }
    assert (await store.latest("m x", ["f3"], since=T))[0].fields == {"f3": "new"}


async def test_the_first_of_a_batch_fixes_the_type(store):
    written = await store.write([Point("m", {}, {"f": 1}, T), Point("m", {}, {"f": 1.5}, T + 1)])
    assert (written.points, len(written.rejected)) == (1, 1)
    assert await store.fields("m") == {"f": "integer"}


async def test_the_last_write_wins_field_by_field(store):
    await store.write([Point("m", {"a": "1"}, {"f": 1.0, "g": 1.0}, T), Point("m", {"a": "1"}, {"f": 2.0}, T)])
    assert (await store.latest("m", ["f", "g"], since=T))[0].fields == {"f": 2.0, "g": 1.0}
    await store.write([Point("m", {"a": "1"}, {"g": 3.0}, T)])
    assert (await store.latest("m", ["f", "g"], since=T))[0].fields == {"f": 2.0, "g": 3.0}
    for field in ("f", "g"):
        assert points_of(await store.range(Range("m", field, T, T + 1, S, Aggregate.COUNT))) == [({}, [(T, 1.0)])]


async def test_points_out_of_order_find_their_place(store):
    for second in (30, 10, 20, 0, 20):
        await store.write([cpu(float(second), T + second * S)])
    assert points_of(await store.range(Range("cpu", "usage", T, T + MINUTE, 10 * S, Aggregate.SUM))) == [
        ({}, [(T + second * S, float(second)) for second in (0, 10, 20, 30)])
    ]
    assert (await store.latest("cpu", ["usage"], since=0))[0].time == T + 30 * S


async def test_the_order_of_tags_makes_no_other_series(store):
    await store.write(
        [Point("m", {"a": "1", "b": "2"}, {"f": 1.0}, T), Point("m", {"b": "2", "a": "1"}, {"f": 2.0}, T)]
    )
    assert await store.latest("m", ["f"], since=T) == [Latest({"a": "1", "b": "2"}, {"f": 2.0}, T)]


ODD = [
    "with space",
    "comma,equals=",
    "it's",
    'say "hi"',
    "back\\slash",
    "ünï-日本-🚦",
    "a;DROP SERIES FROM /.*/",
    "' OR 1=1 --",
    "$1 %s {x}",
]


@pytest.mark.parametrize("odd", ODD)
async def test_odd_characters_go_through_names_and_tags(store, odd):
    await store.write([Point(odd, {odd: odd, "other": "x"}, {odd: 1.0}, T), Point(odd, {odd: "plain"}, {odd: 2.0}, T)])
    assert await store.measurements() == [odd]
    assert await store.fields(odd) == {odd: "float"}
    assert await store.tag_values(odd, odd) == sorted([odd, "plain"])
    assert await store.tag_values(odd, "other", where={odd: odd}) == ["x"]
    assert await store.latest(odd, [odd], since=T, where={odd: odd}) == [
        Latest({odd: odd, "other": "x"}, {odd: 1.0}, T)
    ]
    assert points_of(await store.range(Range(odd, odd, T, T + 1, S, where={odd: odd}, by=[odd]))) == [
        ({odd: odd}, [(T, 1.0)])
    ]


async def test_what_line_protocol_cannot_say_is_changed_alike(store):
    tags = {"a": "end\\", "b": "line\nend", "c": "", "d": "odd\udce9", "e": "C:\\a b\\, c\\=d"}
    await store.write([Point("m", tags, {"f": 1, "big": 2**70, "nan": float("nan")}, T)])
    expected = {"a": "end/", "b": "line\\nend", "d": "odd\\udce9", "e": "C:\\a b\\, c\\=d"}
    assert await store.latest("m", ["f", "big", "nan"], since=T) == [Latest(expected, {"f": 1}, T)]


async def test_integers_beyond_64_bits_are_left_out_and_fix_no_type(store):
    await store.write([Point("m", {}, {"f": 2**63, "g": 1}, T)])
    await store.write([Point("m", {}, {"f": 2.5, "g": -(2**63) - 1}, T + 1), Point("m", {}, {"g": 5}, T + 2)])
    assert (await store.latest("m", ["f", "g"], since=T))[0].fields == {"f": 2.5, "g": 5}
    assert points_of(await store.range(Range("m", "g", T, T + 3, 1))) == [({}, [(T, 1.0), (T + 2, 5.0)])]


async def test_an_empty_store_answers_with_nothing(store):
    assert await store.write([]) == Written(0)
    assert await store.measurements() == []
    assert await store.fields("m") == {}
    assert await store.tag_values("m", "host") == []
    assert await store.latest("m", ["f"], since=0) == []
    assert await store.range(Range("m", "f", T, T + S, S)) == []
    assert await store.health() == ""


async def test_a_range_is_half_open_and_may_be_empty(store):
    await store.write([cpu(1.0, T), cpu(2.0, T + 10 * S)])
    assert await store.range(Range("cpu", "usage", T + 1, T + 10 * S, S)) == []
    assert points_of(await store.range(Range("cpu", "usage", T, T + 10 * S, S))) == [({}, [(T, 1.0)])]
    assert await store.range(Range("cpu", "nosuch", T, T + MINUTE, S)) == []
    assert await store.range(Range("cpu", "usage", T, T + MINUTE, S, where={"host": "a"})) == []


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        (Aggregate.MEAN, [(-40 * S, 2.5), (20 * S, 6.0)]),
        (Aggregate.MIN, [(-40 * S, 1.0), (20 * S, 5.0)]),
        (Aggregate.MAX, [(-40 * S, 4.0), (20 * S, 7.0)]),
        (Aggregate.LAST, [(-40 * S, 4.0), (20 * S, 7.0)]),
        (Aggregate.SUM, [(-40 * S, 10.0), (20 * S, 12.0)]),
        (Aggregate.COUNT, [(-40 * S, 4.0), (20 * S, 2.0)]),
        # a: 0, 8 and 41 s; b: 5, 10 and 42 s
        (Aggregate.RATE, [(-40 * S, 2.0 / 8 + 2.0 / 5), (20 * S, 2.0 / 33 + 4.0 / 32)]),
        (Aggregate.IRATE, [(-40 * S, 2.0 / 8 + 2.0 / 5), (20 * S, 2.0 / 33 + 4.0 / 32)]),
    ],
)
@pytest.mark.parametrize("kind", [float, int, UInt])
async def test_it_aggregates_over_windows_that_start_at_multiples_of_the_step(store, aggregate, expected, kind):
    # T is 20 s after a whole minute
    rows = [("a", 0, 1), ("b", 5, 2), ("a", 8, 3), ("b", 10, 4), ("a", 41, 5), ("b", 42, 8), ("b", 42, 7)]
    if aggregate in RATES:
        rows[-2:] = [("b", 42, 8)]
    await store.write([Point("m", {"host": host}, {"f": kind(value)}, T + second * S) for host, second, value in rows])
    query = Range("m", "f", T, T + MINUTE, MINUTE, aggregate)
    assert T % MINUTE == 20 * S
    (series,) = await store.range(query)
    assert series.times == [T - 20 * S + (0 if offset < 0 else 60 * S) for offset, _ in expected]
    assert series.values == pytest.approx([value for _, value in expected])
    assert all(type(value) is float for value in series.values)


async def test_the_last_of_equally_new_series_is_the_greatest(store):
    await store.write([cpu(1.0, host="a"), cpu(3.0, host="b"), cpu(2.0, host="c")])
    assert points_of(await store.range(Range("cpu", "usage", T, T + 1, S, Aggregate.LAST))) == [({}, [(T, 3.0)])]


async def test_where_keeps_and_by_groups(store):
    await store.write(
        [
            cpu(float(value), host=host, core=core)
            for value, (host, core) in enumerate([("b", "0"), ("b", "1"), ("a", "0"), ("a", "1"), ("c", "9")])
        ]
        + [cpu(50.0, core="0")]
    )

    async def asked(**question):
        return points_of(await store.range(Range("cpu", "usage", T, T + 1, S, Aggregate.SUM, **question)))

    assert await asked() == [({}, [(T, 60.0)])]
    assert await asked(by=["host"]) == [
        ({"host": ""}, [(T, 50.0)]), ({"host": "a"}, [(T, 5.0)]), ({"host": "b"}, [(T, 1.0)]), ({"host": "c"}, [(T, 4.0)]),
    ]  # fmt: skip
    assert await asked(where={"core": "0"}, by=["core", "host"]) == [
        ({"core": "0", "host": ""}, [(T, 50.0)]),
        ({"core": "0", "host": "a"}, [(T, 2.0)]),
        ({"core": "0", "host": "b"}, [(T, 0.0)]),
    ]
    assert await asked(where={"host": ""}) == [({}, [(T, 50.0)])]
    assert await asked(where={"rack": ""}) == [({}, [(T, 60.0)])]
    assert await asked(where={"rack": "1"}) == []
    assert await asked(by=["rack"]) == [({"rack": ""}, [(T, 60.0)])]


async def test_a_rate_is_taken_series_by_series_from_value_to_value(store):
    counters = {
        "a": {0: 100, 10: 200, 20: 300, 40: 500, 50: 20, 60: 30},  # nothing at 30, begun again at 50
        "b": {0: 2**62, 10: 2**62 + 10, 19: 2**62 + 20, 20: 2**62 + 10, 30: 2**62 + 10},  # set back at 20
    }
    await store.write(
        [
            Point("net", {"host": host}, {"bytes": value}, T + second * S)
            for host, rows in counters.items()
            for second, value in rows.items()
        ]
    )
    query = Range("net", "bytes", T, T + 61 * S, 10 * S, Aggregate.RATE)
    a = [(10, 10.0), (20, 10.0), (40, 10.0), (50, 2.0), (60, 1.0)]
    b = [(10, pytest.approx(20 / 19)), (30, 0.0)]
    by_host = Range("net", "bytes", T, T + 61 * S, 10 * S, Aggregate.RATE, by=["host"])
    assert points_of(await store.range(by_host)) == [
        ({"host": host}, [(T + second * S, value) for second, value in rows]) for host, rows in (("a", a), ("b", b))
    ]
    total = {10: pytest.approx(10 + 20 / 19), 20: 10.0, 30: 0.0, 40: 10.0, 50: 2.0, 60: 1.0}
    assert points_of(await store.range(query)) == [({}, [(T + second * S, value) for second, value in total.items()])]


async def test_a_rate_is_that_of_its_step_and_an_irate_that_of_its_last_two_values(store):
    counter = {0: 1000, 10: 1010, 20: 1100, 45: 50, 55: 60, 70: 90, 90: 80}  # begun again at 45, set back at 90
    await store.write([Point("net", {}, {"bytes": value}, T + second * S) for second, value in counter.items()])

    async def asked(aggregate, end, step=30):
        query = Range("net", "bytes", T, T + end * S, step * S, aggregate)
        return [values for _, values in points_of(await store.range(query))]

    assert T % (30 * S) == 20 * S  # windows from -20, 10, 40 and 70 s
    rates = [(10, 100 / 20), (40, (50 + 10) / 35), (70, 30 / 15)]
    assert await asked(Aggregate.RATE, 100) == [[(T + start * S, pytest.approx(value)) for start, value in rates]]
    irates = [(10, 90 / 10), (40, 10 / 10)]
    assert await asked(Aggregate.IRATE, 100) == [[(T + start * S, pytest.approx(value)) for start, value in irates]]
    assert await asked(Aggregate.IRATE, 71) == [
        [(T + start * S, pytest.approx(value)) for start, value in [*irates, (70, 30 / 15)]]
    ]


async def test_a_window_that_is_filling_has_the_rate_of_a_full_one(store):
    await store.write([Point("net", {}, {"bytes": 500 * second}, T + second * S) for second in range(0, 3 * 7200, 60)])
    for seconds in (7300, 7500, 9000, 14399, 3 * 7200):
        (series,) = await store.range(Range("net", "bytes", T, T + seconds * S, 7200 * S, Aggregate.RATE))
        assert series.values == pytest.approx([500.0] * len(series.values), rel=1e-12)
        assert series.times[-1] == (T + (seconds - 1) // 60 * 60 * S) // (7200 * S) * 7200 * S


@pytest.mark.parametrize("kind", [int, float, UInt])
@pytest.mark.parametrize("seed", range(4))
async def test_rates_are_those_of_a_plain_computation(store, kind, seed):
    counters = {host: counter(Random(f"{seed} {host}"), kind) for host in "abc"}
    await store.write(
        [
            Point("net", {"host": host}, {"bytes": value}, T + time)
            for host, samples in counters.items()
            for time, value in samples
        ]
    )
    # how a client may turn the page: any part of it in any step
    for start, end, step in [(0, 7200, 60), (13, 7201, 300), (600, 3000, 420), (0, 7200, 3600), (100, 200, 7)]:
        for aggregate, plain in PLAIN_RATES.items():
            query = Range("net", "bytes", T + start * S, T + end * S, step * S, aggregate, by=["host"])
            expected = {
                host: plain([(T + time, value) for time, value in samples if start * S <= time < end * S], step * S)
                for host, samples in counters.items()
            }
            found = {
                series.tags["host"]: dict(zip(series.times, series.values, strict=True))
                for series in await store.range(query)
            }
            assert found == {
                host: pytest.approx(values, rel=1e-9, abs=1e-9) for host, values in expected.items() if values
            }
            whole = await store.range(msgspec.structs.replace(query, by=[]))
            moments = sorted({moment for values in expected.values() for moment in values})
            assert points_of(whole) == [
                (
                    {},
                    [
                        (moment, pytest.approx(sum(values.get(moment, 0) for values in expected.values())))
                        for moment in moments
                    ],
                )
            ]


async def test_a_rate_of_one_look_is_nothing(store):
    await store.write([Point("net", {}, {"bytes": 5}, T)])
    assert await store.range(Range("net", "bytes", T, T + S, S, Aggregate.RATE)) == []


async def test_only_some_aggregates_suit_what_is_no_number(store):
    await store.write(
        [Point("m", {}, {"up": up, "state": "ok"}, T + second) for second, up in enumerate([False, True, False])]
    )

    async def asked(field, aggregate):
        return points_of(await store.range(Range("m", field, T, T + S, S, aggregate)))

    for aggregate, expected in {
        Aggregate.COUNT: 3.0,
        Aggregate.LAST: 0.0,
        Aggregate.MIN: 0.0,
        Aggregate.MAX: 1.0,
    }.items():
        assert await asked("up", aggregate) == [({}, [(T, expected)])]
    assert await asked("state", Aggregate.COUNT) == [({}, [(T, 3.0)])]
    for field, aggregate in [
        ("up", Aggregate.MEAN),
        ("up", Aggregate.RATE),
        ("state", Aggregate.LAST),
        ("state", Aggregate.MAX),
    ]:
        with pytest.raises(ValueError, match=f'no {aggregate} of field "{field}" of measurement "m": its type is'):
            await asked(field, aggregate)


async def test_latest_gives_each_field_and_series_its_own_newest_value_since_then(store):
    await store.write(
        [
            Point("m", {"host": "a"}, {"f": 1.0, "g": 1}, T),
            Point("m", {"host": "a"}, {"f": 2.0}, T + S),
            Point("m", {"host": "b"}, {"g": 9}, T),
            Point("m", {"host": "old"}, {"f": 9.0}, T - S),
            Point("m", {"host": "c"}, {"h": 5.0}, T),
        ]
    )
    assert await store.latest("m", ["f", "g", "nosuch"], since=T) == [
        Latest({"host": "a"}, {"f": 2.0, "g": 1}, T + S),
        Latest({"host": "b"}, {"g": 9}, T),
    ]
    assert await store.latest("m", ["f", "g"], since=T + 1, where={"host": "a"}) == [
        Latest({"host": "a"}, {"f": 2.0}, T + S)
    ]
    assert await store.latest("m", ["f"], since=T + 2 * S) == []


async def test_it_names_what_it_holds_in_order(store):
    await store.write(
        [Point(name, {"host": host}, {"f": 1.0, "e": 1}, T) for name in ("b", "a") for host in ("y", "x")]
    )
    assert await store.measurements() == ["a", "b"]
    assert list(await store.fields("a")) == ["e", "f"]
    assert await store.tag_values("b", "host") == ["x", "y"]
    assert await store.tag_values("b", "nosuch") == []
    assert await store.tag_values("b", "host", where={"host": "y"}) == ["y"]


async def test_it_forgets_what_is_older(store):
    await store.write([cpu(float(second), T + second * S, host="a") for second in range(10)] + [cpu(1.0, T, host="b")])
    await store.drop_before(T + 5 * S)
    assert points_of(await store.range(Range("cpu", "usage", 0, T + MINUTE, S, Aggregate.COUNT))) == [
        ({}, [(T + second * S, 1.0) for second in range(5, 10)])
    ]
    assert [answer.tags for answer in await store.latest("cpu", ["usage"], since=0)] == [{"host": "a"}]
    await store.write([cpu(7.0, T, host="b")])
    assert len(await store.latest("cpu", ["usage"], since=0)) == 2


async def test_big_batches_and_big_answers_come_whole(store):
    await store.write(
        [
            Point("m", {"host": f"h{host}"}, {"f": float(host)}, T + second * S)
            for host in range(300)
            for second in range(40)
        ]
    )
    answer = await store.range(Range("m", "f", T, T + MINUTE, S, by=["host"]))
    assert (len(answer), {len(series.times) for series in answer}) == (300, {40})
    whole = await store.range(Range("m", "f", T, T + MINUTE, S, Aggregate.COUNT))
    assert whole == [Series({}, [T + second * S for second in range(40)], [300.0] * 40)]
    assert len(await store.latest("m", ["f"], since=T)) == 300


async def test_a_point_that_cannot_be_kept_costs_no_other_point(store):
    poison = Point("m", {"t": "too long" * 9000}, {"f": 1.0}, T)
    written = await store.write([Point("m", {"n": "1"}, {"f": 1.0}, T), poison, Point("m", {"n": "2"}, {"f": 1.0}, T)])
    assert await store.tag_values("m", "n") == ["1", "2"]
    assert (written.points, [(one.measurement, one.field) for one in written.rejected]) == (2, [("m", "f")])


async def test_what_has_a_reserved_name_is_kept_under_another(store):
    tags = {"time": "noon", "_field": "wheat", "_measurement": "tape", "n": "1"}
    written = await store.write(
        [Point("m", tags, {"time": 1.0, "f": 2.0}, T), Point("m", {"n": "2"}, {"time": 3.0}, T)]
    )
    assert (written.points, written.rejected) == (2, ())
    assert await store.fields("m") == {"f": "float", "time_": "float"}
    assert await store.tag_values("m", "_field_") == ["wheat"]
    latest = await store.latest("m", ["f", "time_"], since=T)
    kept = {"time_": "noon", "_field_": "wheat", "_measurement_": "tape", "n": "1"}
    assert {one.tags["n"]: (one.tags, one.fields) for one in latest} == {
        "1": (kept, {"f": 2.0, "time_": 1.0}),
        "2": ({"n": "2"}, {"time_": 3.0}),
    }


async def test_it_tells_who_spends_series(store):
    await store.write(
        [Point("net", {"host": str(number % 2), "if ace": f"{number},"}, {"f": 1.0}, T) for number in range(10)]
        + [Point("plain", {}, {"f": 1.0}, T), Point("c pu", {"host": "0"}, {"f": 1.0}, T)]
    )
    assert await store.cardinality() == [
        Spender("net", 10, "if ace", 10), Spender("c pu", 1, "host", 1), Spender("plain", 1, "", 0),
    ]  # fmt: skip


async def test_writers_and_readers_do_not_disturb_each_other(store):
    import asyncio

    async def write(host):
        for second in range(20):
            await store.write([cpu(1.0, T + second * S, host=f"h{host}")])

    async def read():
        for _ in range(20):
            await store.range(Range("cpu", "usage", T, T + MINUTE, S, by=["host"]))

    await asyncio.gather(*(write(host) for host in range(5)), read(), read())
    total = await store.range(Range("cpu", "usage", T, T + MINUTE, MINUTE, Aggregate.COUNT))
    assert sum(value for series in total for value in series.values) == 100


async def test_a_point_dated_years_ahead_hides_nothing_that_comes_after_it(store):
    now = time_ns()
    ahead = [cpu(99.0, now + 3650 * 24 * 3600 * S, host=host) for host in ("a", "b")]
    await store.write([cpu(1.0, now - 60 * S, host="a"), *ahead])
    # whether it is asked before or after the next write
    assert await store.latest("cpu", ["usage"], since=now - MINUTE) == [
        Latest({"host": "a"}, {"usage": 1.0}, now - 60 * S)
    ]
    await store.write([cpu(2.0, now, host="a"), cpu(3.0, now + 5 * 60 * S, host="b")])
    assert await store.latest("cpu", ["usage"], since=now - MINUTE) == [
        Latest({"host": "a"}, {"usage": 2.0}, now),
        Latest({"host": "b"}, {"usage": 3.0}, now + 5 * 60 * S),  # within the tolerance
    ]
    # it is there all the same
    counted = await store.range(
        Range("cpu", "usage", now + 3600 * S, now + 4000 * 24 * 3600 * S, 3600 * S, Aggregate.COUNT)
    )
    assert [series.values for series in counted] == [[2.0]]


async def test_it_deletes_points_of_some_series_and_a_stretch_and_nothing_else(store):
    def rows(measurement, host):
        return [Point(measurement, {"host": host, "odd": "it's"}, {"f": 1.0, "s": "x"}, T + n * S) for n in range(10)]

    await store.write([*rows("m", "a"), *rows("m", "b"), *rows("other", "a")])
    deletion = Deletion("m", {"host": "a", "odd": "it's"}, T + 2 * S, T + 9 * S)
    tags = {"host": "a", "odd": "it's"}
    assert await store.find(deletion) == Found(1, 14, T + 2 * S, T + 8 * S, [tags])
    await store.delete(deletion)
    assert await store.find(deletion) == Found(0, 0, 0, 0, [])

    async def counted(measurement):
        answer = await store.range(Range(measurement, "f", T, T + MINUTE, 3600 * S, Aggregate.COUNT, by=["host"]))
        return {series.tags["host"]: series.values for series in answer}

    assert [await counted("m"), await counted("other")] == [{"a": [3.0], "b": [10.0]}, {"a": [10.0]}]
    # the newest go too, and those before them are the newest then
    await store.delete(Deletion("m", {"host": "a"}, T + 9 * S))
    assert await store.latest("m", ["f", "s"], since=T) == [
        Latest(tags, {"f": 1.0, "s": "x"}, T + S), Latest({**tags, "host": "b"}, {"f": 1.0, "s": "x"}, T + 9 * S),
    ]  # fmt: skip
    await store.delete(Deletion("m"))
    assert await store.latest("m", ["f"], since=0) == []
    assert await store.find(Deletion("m")) == await store.find(Deletion("nosuch")) == Found(0, 0, 0, 0, [])
    assert await counted("other") == {"a": [10.0]}
    await store.write(rows("m", "a"))
    assert await counted("m") == {"a": [10.0]}
