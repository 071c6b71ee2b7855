"""Settling and roll-ups of the embedded store: a question gets the answer that raw values give, wherever they lie."""

import asyncio
import itertools
import math
import os
from random import Random
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_rates import PLAIN_RATES, grown
from settled import AT_ONCE, SHORT, SMALL, S, T, counted, every_minute, files, settle_all, settle_hours

from collectors.point import Point, UInt
from configs.units import Duration
from server.store import RATES, Aggregate, Deletion, Range, Written
from server.store.embedded.levels import DAY, HOUR
from server.store.embedded.store import Embedded, Limits, Options
from server.store.kinds import KINDS

EXAMPLES = int(os.environ.get("PANTAU_TEST_EXAMPLES", "25"))  # of each property; each takes about half a second


class Plain:
    """Points as plain dicts, and what questions to them must give."""

    def __init__(self):
        self.values = {}

    def write(self, points):
        for point in points:
            for field, value in point.fields.items():
                self.values.setdefault((field, point.tags["host"]), {})[point.time] = value

    def drop_before(self, time):
        self.values = {
            name: {moment: value for moment, value in series.items() if moment >= time}
            for name, series in self.values.items()
        }

    def delete(self, deletion):
        for (_, host), series in self.values.items():
            if host == deletion.where.get("host", host):
                for moment in [moment for moment in series if deletion.start <= moment < deletion.end]:
                    del series[moment]

    def found(self, deletion):
        return sorted(
            moment
            for (_, host), series in self.values.items()
            for moment in series
            if host == deletion.where.get("host", host) and deletion.start <= moment < deletion.end
        )

    def range(self, field, start, end, step, aggregate):
        found = {}
        for (name, host), series in self.values.items():
            windows = {}
            for moment in sorted(series):
                if name == field and start <= moment < end:
                    value = series[moment]
                    windows.setdefault(moment // step * step, []).append(value if name == "s" else float(value))
            if aggregate in RATES:
                between = [(moment, value) for moment, value in series.items() if start <= moment < end]
                answer = PLAIN_RATES[aggregate](between, step) if name == field else {}
            else:
                answer = {moment: FUNCTIONS[aggregate](values) for moment, values in windows.items()}
            if answer:
                found[host] = answer
        return found


FUNCTIONS = {
    Aggregate.MEAN: lambda values: math.fsum(values) / len(values),
    Aggregate.MIN: min,
    Aggregate.MAX: max,
    Aggregate.LAST: lambda values: values[-1],
    Aggregate.SUM: math.fsum,
    Aggregate.COUNT: len,
}
MOMENTS = st.builds(
    lambda day, hour, second: day * DAY + hour * HOUR + second * S,
    st.sampled_from([-2, -1, 0, 1]),
    st.sampled_from([0, 1, 23]),
    st.sampled_from([0, 1, 60, 299, 300, 3599]),
)
VALUES = {
    "f": st.floats(-1e6, 1e6),
    "i": st.integers(-(2**40), 2**40),
    "u": st.integers(0, 2**40).map(UInt),
    "b": st.booleans(),
    "s": st.text(max_size=3),
}


def points(fields):
    one = st.sampled_from(fields).flatmap(lambda name: st.fixed_dictionaries({name: VALUES[name]}))
    return st.builds(
        lambda host, parts, time: Point("m", {"host": host}, {k: v for part in parts for k, v in part.items()}, time),
        st.sampled_from(["a", "b"]),
        st.lists(one, min_size=1, max_size=3),
        MOMENTS,
    )


POINTS = points([*VALUES])


def deletions(moments):
    hosts = st.sampled_from([{}, {"host": "a"}, {"host": "b"}])
    return st.builds(lambda where, start, end: Deletion("m", where, start, end), hosts, moments, moments)


STEPS = st.one_of(
    deletions(MOMENTS),
    st.lists(POINTS, min_size=10, max_size=30),
    st.lists(POINTS, min_size=1, max_size=5),
    st.sampled_from(["hours", "all", "all", "restart", "held", "not held"]),
    st.sampled_from([0.0, 0.001, 0.01, 1.0]),  # how much a roll-up must save
    MOMENTS,
)
SUITED = {
    **{field: list(Aggregate) for field in ("f", "i", "u")},
    "b": [Aggregate.COUNT, Aggregate.LAST, Aggregate.MIN, Aggregate.MAX],
    "s": [Aggregate.COUNT],
}


def questions(fields, moments, steps, without=frozenset()):
    return st.sampled_from(fields).flatmap(
        lambda field: st.tuples(
            st.just(field),
            moments,
            moments,
            st.sampled_from(steps),
            st.sampled_from([aggregate for aggregate in SUITED[field] if aggregate not in without]),
        )
    )


QUESTIONS = questions([*SUITED], MOMENTS, [7 * S, 60 * S, 120 * S, 300 * S, 3600 * S, 5400 * S, DAY])


@pytest.mark.timeout(120 + 10 * EXAMPLES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=5, max_size=10), questions=st.lists(QUESTIONS, min_size=6, max_size=6))
def test_settled_or_not_it_answers_as_a_plain_dict_would(tmp_path_factory, steps, questions):
    async def check():
        folder, plain = tmp_path_factory.mktemp("levels"), Plain()
        store = Embedded(AT_ONCE, folder, limits=Limits(settling=SHORT))
        share, limits = 4, SHORT
        for step in steps:
            match step:
                case float():
                    limits = msgspec.structs.replace(SHORT, worth=step)
                case "restart":
                    await store.close()
                    store = Embedded(AT_ONCE, folder, limits=Limits(settling=SHORT))
                case "all":
                    await settle_all(store, limits)
                case "hours":
                    await settle_hours(store, limits)
                case "held" | "not held":
                    share = SHARES[step]
                case int():
                    await store.drop_before(step)
                    plain.drop_before(step)
                case Deletion():
                    await deleted(store, plain, step)
                case _:
                    await store.write(step)
                    plain.write(step)
            await store.open()
            store._tables.held.share = share
            await same(store, plain, questions)
        await store.close()

    asyncio.run(check())


async def deleted(store, plain, deletion):
    """Delete, in memory too; what is found before is what goes."""
    times = plain.found(deletion)
    found = await store.find(deletion)
    assert found.values == len(times)
    await store.delete(deletion)
    plain.delete(deletion)
    assert (await store.find(deletion)).values == 0
    return found, times


# roll-ups are asked for in memory, or joined by the database as those of a great question
SHARES = {"held": 4, "not held": 10**9}


async def same(store, plain, questions):
    for field, start, end, step, aggregate in questions:
        answer = await store.range(Range("m", field, start, end, step, aggregate, by=["host"]))
        found = {one.tags["host"]: dict(zip(one.times, one.values, strict=True)) for one in answer}
        expected = plain.range(field, start, end, step, aggregate)
        assert found.keys() == expected.keys()
        for host, windows in expected.items():
            assert found[host] == pytest.approx(windows, rel=1e-9, abs=1e-6)
    for field in SUITED:
        latest = await store.latest("m", [field], since=-2 * DAY)
        assert {one.tags["host"]: (one.time, one.fields[field]) for one in latest} == {
            host: (max(series), series[max(series)])
            for (name, host), series in plain.values.items()
            if name == field and series
        }


MINUTES = MOMENTS.map(lambda moment: moment // (60 * S) * 60 * S)
NUMBERS = points(["f", "i", "u", "b"])  # texts have no roll-ups
HOURS = MOMENTS.map(lambda moment: moment // HOUR * HOUR)
STEPS_OF_RETENTION = st.one_of(
    deletions(HOURS),  # roll-ups go whole
    st.lists(NUMBERS, min_size=5, max_size=20),
    st.sampled_from(["all", "all", "restart", "held", "not held"]),
    HOURS,
)


@pytest.mark.timeout(120 + 10 * EXAMPLES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(STEPS_OF_RETENTION, min_size=5, max_size=10),
    # rates need the values, or are those of the roll-ups: see below
    asked=st.lists(
        questions(["f", "i", "u", "b"], MINUTES, [60 * S, 300 * S, HOUR, DAY], RATES), min_size=6, max_size=6
    ),
)
def test_roll_ups_answer_as_a_plain_dict_would_when_raw_values_are_gone(tmp_path_factory, steps, asked):
    roll_ups = Duration(10 * 86400)
    options = Options(window=Duration(0.0), raw=Duration(1), minutes=roll_ups, five_minutes=roll_ups)

    async def check():
        folder, plain = tmp_path_factory.mktemp("retention"), Plain()
        store = Embedded(options, folder, limits=Limits(settling=SHORT))
        share, gone, in_time = 4, -(2**63), set()
        await store.open()
        for step in steps:
            match step:
                case "restart":
                    await store.close()
                    store = Embedded(options, folder, limits=Limits(settling=SHORT))
                    await store.open()
                case "all":
                    await settle_all(store)
                case "held" | "not held":
                    share = SHARES[step]
                case int():
                    await store.drop_before(step)
                    plain.drop_before(step)
                case Deletion():
                    await deleted(store, plain, step)
                case _:
                    # a value that came when raw values were there cannot be written again when they are gone
                    taken = [
                        point for point in step if point.time >= raw_from(store) or in_time.isdisjoint(names_of(point))
                    ]
                    in_time |= {name for point in taken if point.time >= raw_from(store) for name in names_of(point)}
                    written = await store.write(taken)
                    assert (written.points, written.rejected) == (len(taken), ())
                    plain.write(taken)
            assert raw_from(store) >= gone, "it moved back"
            gone = raw_from(store)
            store._tables.held.share = share
            await same(store, plain, asked)
        await store.close()

    asyncio.run(check())


def raw_from(store):
    return store._tables.shelves["float"].raw_from


def names_of(point):
    return {(field, point.tags["host"], point.time) for field in point.fields}


@pytest.mark.parametrize("kind", [float, int, UInt])
@pytest.mark.parametrize("seed", range(3))
async def test_where_only_roll_ups_are_left_rates_are_what_a_counter_grew_by_from_one_to_the_next(
    make, small_files, kind, seed
):
    random = Random(f"{seed} {kind}")
    samples, value = {}, random.randrange(10**6)
    for hour in range(3 * 24):
        again = random.choice([None, random.randrange(1, 12)])
        for number in range(12):
            time = T + hour * HOUR + number * 300 * S + random.randrange(250 * S)
            # it begins again once an hour at most, and does not reach what it was
            value = random.randrange(value // 1000 + 1) if number == again else value + random.randrange(1000)
            samples[time] = kind(value)
        value += 10**6
    store = await make(
        Options(window=Duration(0.0), raw=Duration(86400), minutes=Duration(1), five_minutes=Duration(1))
    )
    await store.write([Point("m", {"host": "a"}, {"c": value}, time) for time, value in samples.items()])
    await store.write([Point("m", {"host": "b"}, {"c": kind(0)}, T + 5 * DAY)])
    await settle_all(store)
    await store.settle()
    assert {level for level, start, _ in files(store, KINDS[kind]) if start < T + 3 * DAY} == {"1h"}
    lasts = [max(time for time in samples if time // HOUR == T // HOUR + hour) for hour in range(3 * 24)]
    growth = {}
    for before, last in itertools.pairwise(lasts):
        between = [(time, samples[time]) for time in sorted(samples) if before <= time <= last]
        growth[last] = (sum(grown(one[1], other[1]) for one, other in itertools.pairwise(between)), last - before)
    for step in (HOUR, 3 * HOUR, DAY):
        (series,) = await store.range(Range("m", "c", T, T + 3 * DAY, step, Aggregate.RATE, by=["host"]))
        windows = {}
        for last, pair in growth.items():
            windows.setdefault(last // step * step, []).append(pair)
        expected = {start: [sum(column) for column in zip(*pairs, strict=True)] for start, pairs in windows.items()}
        assert dict(zip(series.times, series.values, strict=True)) == pytest.approx(
            {start: float(grown / spent * 10**9) for start, (grown, spent) in expected.items()}, rel=1e-9
        )


async def test_hours_become_files_and_days_gather_their_roll_ups(make, small_files):
    store = await make()
    await store.write(every_minute("a", T, 150))
    expected = await counted(store)
    await settle_hours(store)
    hours = [T, T + HOUR, T + 2 * HOUR]
    assert files(store) == sorted((level, hour, HOUR) for level in ("raw", "1m", "5m", "1h") for hour in hours)
    assert await counted(store) == expected
    await settle_all(store)
    assert files(store) == sorted(
        [("raw", hour, HOUR) for hour in hours] + [(level, T, DAY) for level in ("1m", "5m", "1h")]
    )
    assert await counted(store) == expected
    # late and repeated points make the hour open, then its roll-ups new
    late = [Point("m", {"host": "a"}, {"f": 1000.0}, T + HOUR), Point("m", {"host": "b"}, {"f": 1.0}, T + HOUR + 1)]
    for turn in (settle_hours, settle_all, settle_all):
        await store.write(late)
        expected[T + HOUR] = sum(range(61, 120)) + 1001.0
        assert await counted(store) == expected
        await turn(store)
        assert await counted(store) == expected
    assert files(store) == sorted(
        [("raw", hour, HOUR) for hour in hours] + [(level, T, DAY) for level in ("1m", "5m", "1h")]
    )
    assert {path.name for path in store._tables.folder.iterdir()} == {
        one.name for one in store._tables.shelves["float"].files()
    }


async def test_few_rows_of_a_day_stay_where_they_are(make):
    store = await make()
    await store.write(every_minute("a", T, 150))
    await settle_all(store)
    assert files(store) == []


async def test_levels_go_one_after_the_other_and_the_coarser_answers_on(make, small_files):
    options = Options(
        window=Duration(0.0), raw=Duration(86400), minutes=Duration(2 * 86400), five_minutes=Duration(4 * 86400)
    )
    store = await make(options)
    for day in range(7):
        await store.write(every_minute("a", T + day * DAY, 60))
    expected = await counted(store)
    await settle_all(store)
    await store.settle()
    levels = [{level for level, start, _ in files(store) if start == T + day * DAY} for day in range(7)]
    assert levels == [{"1h"}] * 2 + [{"1h", "5m"}] * 2 + [{"1h", "5m", "1m"}] + [{"1h", "5m", "1m", "raw"}] * 2
    assert await counted(store) == expected
    # what the finest level that is left can say, at its windows
    assert await counted(store, end=T + HOUR, step=60 * S) == {T: float(sum(range(60)))}
    assert len(await counted(store, start=T + 2 * DAY + 61 * S, end=T + 3 * DAY, step=60 * S)) == 12
    assert len(await counted(store, start=T + 6 * DAY, end=T + 7 * DAY, step=60 * S)) == 60
    (latest,) = await store.latest("m", ["f"], since=T)
    assert (latest.time, latest.fields) == (T + 6 * DAY + 59 * 60 * S, {"f": 59.0})
    # what comes when raw values are gone is taken all the same, once however often it comes
    for _ in range(2):
        late = [*every_minute("b", T, 2), *every_minute("b", T + 6 * DAY, 1)]
        assert await store.write(late) == Written(3)
        expected[T] = sum(range(60)) + 1.0
        assert await counted(store) == expected
        await store.close()
        store = await make(options)
    # newest values older than raw values are known after a restart too
    assert [one.time for one in await store.latest("m", ["f"], since=T, where={"host": "a"})] == [
        T + 6 * DAY + 59 * 60 * S
    ]


async def test_roll_ups_that_save_little_are_made_when_raw_values_go(make):
    options = Options(
        window=Duration(0.0), raw=Duration(86400), minutes=Duration(2 * 86400), five_minutes=Duration(4 * 86400)
    )
    store = await make(options, settling=msgspec.structs.replace(SMALL, worth=8))
    await store.write(every_minute("a", T, 60))
    expected = {step: await counted(store, step=step) for step in (60 * S, 300 * S, HOUR)}
    await settle_all(store)
    assert {level for level, _, _ in files(store)} == {"raw", "1h"}
    assert {step: await counted(store, step=step) for step in expected} == expected
    levels = []
    for day in (1, 2, 3, 5):
        await store.write([Point("m", {"host": "b"}, {"f": 0.0}, T + day * DAY + HOUR)])
        await settle_all(store)
        await store.settle()
        levels.append({level for level, start, _ in files(store) if start == T})
    assert levels == [{"raw", "1h"}, {"1m", "5m", "1h"}, {"5m", "1h"}, {"1h"}]


async def test_raw_values_of_a_day_that_is_written_to_stay_until_its_roll_ups_are_made(make):
    options = Options(window=Duration(0.0), raw=Duration(86400), five_minutes=Duration(4 * 86400))
    store = await make(options, settling=msgspec.structs.replace(SMALL, worth=8))
    await store.write(every_minute("a", T, 60))
    await settle_all(store)
    await store.write(every_minute("a", T, 1, value=5.0) + every_minute("b", T + 2 * DAY, 1))
    expected = await counted(store, end=T + DAY, step=300 * S)
    await store.settle()
    assert "raw" in {level for level, start, _ in files(store) if start == T}
    await settle_all(store)
    await store.settle()
    assert {level for level, start, _ in files(store) if start == T} == {"1m", "5m", "1h"}
    assert await counted(store, end=T + DAY, step=300 * S) == expected


async def test_a_clock_that_runs_ahead_alone_drops_nothing(make, small_files):
    store = await make(clock=lambda: T + 10_000 * DAY)
    await store.write(every_minute("a", T, 60))
    await settle_all(store)
    await store.settle()
    assert {level for level, _, _ in files(store)} == {"raw", "1m", "5m", "1h"}


async def test_an_hour_that_is_written_to_meanwhile_is_settled_later(make, small_files):
    store = await make()
    await store.write(every_minute("a", T, 60))
    tables = store._tables
    settled = tables.settled

    def written_to(kind, hours, gone, new):
        tables.writes[kind, T] += 1
        return settled(kind, hours, gone, new)

    with patch.object(tables, "settled", written_to):
        assert await store.settle(everything=True) is False
    assert files(store) == []
    assert list(tables.folder.iterdir()) == []
    assert await store.settle(everything=True) is True


async def test_after_a_crash_files_of_nobody_are_deleted_and_missing_ones_are_told(make, small_files, tmp_path):
    store = await make()
    await store.write(every_minute("a", T, 60))
    await settle_all(store)
    await store.close()
    (tmp_path / "points.files" / "left.parquet").write_text("over")
    store = await make()
    assert len(list((tmp_path / "points.files").iterdir())) == 4
    await store.close()
    next((tmp_path / "points.files").glob("*raw*")).unlink()
    with pytest.raises(Exception, match=r"raw-.* is missing, and 0 more"):
        await make()


async def test_more_series_than_the_limit_are_refused_politely(make):
    store = await make(Options(window=Duration(0.0), series=3))
    points = [Point("m", {"host": str(number)}, {"f": 1.0}, T) for number in range(1000)]
    for _ in range(2):
        written = await store.write(points)
        assert written.points == 3
        assert [one.why for one in written.rejected] == ["max-series-per-database limit exceeded: (3) dropped=997"]
    assert len(await store.latest("m", ["f"], since=0)) == 3


async def test_more_fields_than_the_limit_are_refused_politely(make):
    store = await make(Options(window=Duration(0.0), series=2))
    for _ in range(2):
        written = await store.write(
            [Point("m", {}, {f"f{number}": 1.0, "g": 1.0}, T + number) for number in range(100)]
        )
        assert written.points == 100
        assert {one.why for one in written.rejected} == {"max-fields-per-database limit exceeded: (40)"}
        assert len(await store.fields("m")) == 40
    assert len(store._tables.encoder._sorter._plans) <= 50


async def test_a_value_that_is_no_number_fixes_no_type(make):
    store = await make()
    await store.write([Point("m", {}, {"f": math.nan}, T)])
    assert await store.fields("m") == {}
    assert (await store.write([Point("m", {}, {"f": 1}, T)])).rejected == ()
    assert (await store.write([Point("m", {}, {"f": math.inf}, T + 1)])).rejected == ()
    assert await store.fields("m") == {"f": "integer"}


async def test_a_piece_of_settling_that_fails_is_no_end_of_settling(make, monkeypatch, caplog):
    tries = []

    async def settle():
        tries.append(len(tries))
        if len(tries) < 3:
            raise RuntimeError("a bug")
        return False

    monkeypatch.setattr(Embedded, "settle", lambda _: settle())
    await make(settle_every=0.01)
    async with asyncio.timeout(10):
        while len(tries) < 4:
            await asyncio.sleep(0.01)
    told = [record.message for record in caplog.records if record.name == "pantau.store"]
    assert told.count("a piece of settling failed; it is tried again") == 1
