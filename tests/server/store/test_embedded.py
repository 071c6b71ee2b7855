"""What is peculiar to the embedded store: one file, one process, crashes, a full disk; and a plain dict as its model."""

import asyncio
import logging
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from settled import SMALL

from collectors.lineprotocol import encode
from collectors.linereader import Cache, decode
from collectors.point import Point, UInt
from configs.units import Duration, Size
from server.store import Aggregate, Range, StoreUnavailable, Written
from server.store.embedded.gathering import Gathering
from server.store.embedded.store import Embedded, Limits, Options
from server.store.kinds import kind_of

S = 10**9
T = 1_700_000_000 * S
AT_ONCE = Options(window=Duration(0.0))


@pytest.fixture
async def make(tmp_path):
    """Open stores in a folder that are closed at the end."""
    made = []

    async def build(options=AT_ONCE, folder=tmp_path, **limits):
        store = Embedded(options, folder, limits=Limits(**limits))
        made.append(store)
        await store.open()
        return store

    yield build
    for store in made:
        await store.close()


def child(code, *arguments):
    """Start a Python process that has ``store`` of the folder in its first argument."""
    head = """
        import asyncio, resource, sys
        from pathlib import Path
        from collectors.point import Point
        from configs.units import Duration
        from server.store import StoreFull, StoreUnavailable
        from server.store.embedded.store import Embedded, Options
        store = Embedded(Options(window=Duration(0.0)), Path(sys.argv[1]))
    """
    program = textwrap.dedent(head) + textwrap.dedent(code)
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )


async def count(store, measurement="m", field="f"):
    answer = await store.range(Range(measurement, field, 0, 2 * T, 2 * T, Aggregate.COUNT))
    return int(answer[0].values[0]) if answer else 0


async def test_what_was_written_is_there_after_a_restart_and_types_stay_fixed(make):
    store = await make()
    await store.write([Point("m", {"host": "a"}, {"f": 1.0, "u": UInt(2**64 - 1), "s": "x"}, T)])
    await store.close()
    store = await make()
    (latest,) = await store.latest("m", ["f", "u", "s"], since=0)
    assert (latest.tags, latest.fields) == ({"host": "a"}, {"f": 1.0, "u": 2**64 - 1, "s": "x"})
    assert type(latest.fields["u"]) is UInt
    written = await store.write(
        [Point("m", {"host": "a"}, {"f": 7, "u": UInt(1)}, T), Point("m", {"host": "b"}, {"f": 2.0}, T)]
    )
    assert [one.field for one in written.rejected] == ["f"]
    assert await count(store) == 2
    assert (await store.latest("m", ["u"], since=0))[0].fields == {"u": 1}


async def test_a_second_process_is_told_who_has_the_file(make, tmp_path):
    await make()
    other = child("asyncio.run(store.open())", tmp_path)
    _, errors = await asyncio.to_thread(other.communicate)
    assert (
        f'StoreUnavailable: the store is in use by another process: Could not set lock on file "{tmp_path}/points.duckdb"'
        in errors
    )
    assert f"(PID {os.getpid()})" in errors


async def test_a_folder_that_cannot_be_used_is_unavailable(make, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "points.duckdb").write_text("this is no database" * 500)
    for name, why in (("file", "Not a directory"), ("bad", "not a valid DuckDB database file")):
        with pytest.raises(StoreUnavailable, match=why):
            await make(folder=tmp_path / name)


async def test_a_newer_format_is_not_touched(make, tmp_path):
    store = await make()
    store._tables.database.execute("UPDATE about SET format = 99")
    await store.close()
    with pytest.raises(StoreUnavailable, match="has format 99, this version of Pantau reads 4"):
        await make()


async def test_it_opens_by_itself_when_it_is_first_asked(tmp_path):
    store = Embedded(AT_ONCE, tmp_path / "new" / "folder")
    assert await store.write([Point("m", {}, {"f": 1.0}, T)]) == Written(1)
    assert await store.health() == ""
    await store.close()


async def test_writes_that_come_together_share_one_transaction(make, monkeypatch):
    store = await make(Options(window=Duration(1.0)))
    transactions = []
    write = store._tables.write
    monkeypatch.setattr(
        store._tables, "write", lambda chunks: transactions.append(len(chunks["float"].key)) or write(chunks)
    )
    points = [[Point("m", {"n": str(number)}, {"f": float(number)}, T)] for number in range(20)]
    assert await asyncio.gather(*(store.write(one) for one in points)) == [Written(1)] * 20
    assert transactions == [20]


async def test_a_write_that_comes_alone_is_not_held_back(make):
    store = await make(Options(window=Duration(3600.0)))
    for number in range(20):
        one = [Point("m", {}, {"f": float(number)}, T + number)]
        assert await asyncio.wait_for(store.write(one), 15) == Written(1)


async def test_under_load_those_who_were_under_way_are_waited_for():
    gathering = Gathering(3600.0, full=1000)
    one = [Point("m", {}, {"f": 1.0}, T)]
    gathering.add(one)
    taken = await gathering.gathered()
    assert len(taken) == 1
    for _ in range(3):
        gathering.add(one)
    gathering.written(taken)
    next_ones = asyncio.create_task(gathering.gathered())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not next_ones.done()
    gathering.add(one)
    assert len(await next_ones) == 4


async def test_those_who_do_not_come_again_are_waited_for_no_longer_than_the_window():
    gathering = Gathering(0.01, full=1000)
    one = [Point("m", {}, {"f": 1.0}, T)]
    gathering.add(one)
    taken = await gathering.gathered()
    for _ in range(2):
        gathering.add(one)
    gathering.written(taken)
    assert len(await asyncio.wait_for(gathering.gathered(), 15)) == 2


async def test_a_full_batch_does_not_wait_for_those_who_may_come(make):
    store = await make(Options(window=Duration(3600.0)))
    many = [Point("m", {"n": str(number)}, {"f": float(number)}, T) for number in range(1000)]
    await asyncio.gather(store.write(many), store.write(many))
    await asyncio.wait_for(store.write(many), 15)


async def test_a_batch_that_cannot_be_read_costs_no_other(make):
    store = await make(Options(window=Duration(0.05)))
    good, bad = [Point("m", {}, {"f": 1.0}, T)], [Point("m", {}, {"f": None}, T + 1)]
    results = await asyncio.gather(store.write(good), store.write(bad), return_exceptions=True)
    assert results[0] == Written(1)
    assert isinstance(results[1], TypeError)
    assert str(results[1]) == "field 'f' holds a NoneType, not a float, int, bool or str"
    assert await count(store) == 1


async def test_a_writer_that_gives_up_does_not_stop_the_others(make):
    store = await make(Options(window=Duration(0.05)))
    writes = [asyncio.create_task(store.write([Point("m", {}, {"f": 1.0}, T + number)])) for number in range(2)]
    await asyncio.sleep(0)
    writes[0].cancel()
    assert await writes[1] == Written(1)
    with pytest.raises(asyncio.CancelledError):
        await writes[0]


async def test_a_small_memory_still_answers(make):
    store = await make(Options(window=Duration(0.0), memory=Size(64_000_000)))
    for batch in range(20):
        await store.write([Point("m", {"n": str(n)}, {"f": float(n)}, T + batch * S) for n in range(5000)])
    answer = await store.range(Range("m", "f", T, T + 60 * S, 10 * S, by=["n"]))
    assert len(answer) == 5000


FULL = """
    async def main():
        await store.open()
        written = 0
        async def write():
            nonlocal written
            await store.write([Point("m", {"n": str(n)}, {"f": n * 1.1 + written}, 1000 + written) for n in range(2000)])
            written += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
        try:
            while written < 3000:
                await write()
        except StoreFull as error:
            print(error)
        print(await store.health() != "")
        try:
            await write()
        except StoreFull as error:
            print("again")
        print(len(await store.latest("m", ["f"], since=0)))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await write()
        print(await store.health() == "", written)
    asyncio.run(main())
"""


@pytest.mark.parametrize("limit", [2_000_000, 5_000_000])
async def test_a_full_disk_is_unavailable_and_the_process_lives_on(make, tmp_path, limit):
    process = child(FULL, tmp_path, limit)
    output, errors = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0, errors
    why, sick, again, series, well = output.splitlines()
    assert "File too large" in why
    assert (sick, again, series) == ("True", "again", "2000")
    assert well.startswith("True ")
    store = await make()
    assert await count(store) == int(well.removeprefix("True ")) * 2000


async def test_trouble_is_told_once_and_its_end_too(make, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "pantau.store")
    store = await make(pause=0.0)

    def full(chunks):
        raise StoreUnavailable("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(store._tables, "write", full)
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="disk full"):
                await store.write([Point("m", {}, {"f": 1.0}, T)])
        assert await store.health() == "disk full"
    await store.write([Point("m", {}, {"f": 1.0}, T)])
    assert await store.health() == ""
    assert [record.message for record in caplog.records] == [
        "the embedded store lost: disk full",
        "the embedded store is back",
    ]


VALUES = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1).map(UInt),
    st.booleans(),
    st.text(max_size=3),
)
POINTS = st.builds(
    Point,
    st.sampled_from(["m", "n"]),
    st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"])),
    st.dictionaries(st.sampled_from(["f", "g", "h"]), VALUES, min_size=1),
    st.integers(-5, 5),
)


class Model:
    """What a store must hold, as plain dicts."""

    def __init__(self):
        self.kinds = {}
        self.values = {}

    def write(self, points):
        rejected = set()
        for point in points:
            for field, value in point.fields.items():
                if isinstance(value, float) and not math.isfinite(value):
                    continue
                kind = self.kinds.setdefault((point.measurement, field), kind_of(field, value))
                if kind != kind_of(field, value):
                    rejected.add((point.measurement, field))
                else:
                    series = self.values.setdefault((point.measurement, tuple(sorted(point.tags.items())), field), {})
                    series[point.time] = value
        return rejected

    def drop_before(self, time):
        for series in self.values.values():
            for old in [one for one in series if one < time]:
                del series[old]

    def latest(self, measurement, field, since):
        found = {}
        for (name, tags, one), series in self.values.items():
            recent = {time: value for time, value in series.items() if time >= since}
            if (name, one) == (measurement, field) and recent:
                found[tags] = (max(recent), recent[max(recent)])
        return found

    def counts(self, measurement, field, start, end, step):
        found = {}
        for (name, tags, one), series in self.values.items():
            for time in series:
                if (name, one) == (measurement, field) and start <= time < end:
                    moments = found.setdefault(dict(tags).get("a", ""), {})
                    moments[time // step * step] = moments.get(time // step * step, 0) + 1
        return found


STEPS = st.one_of(st.lists(POINTS, min_size=1, max_size=12), st.integers(-5, 5), st.just("restart"))


def as_lines(points):
    """Send points the way clients do, who share what the reader has learned."""
    return decode(encode(points, unsigned=True), now=0, cache=CACHE).points


CACHE = Cache()


async def test_of_lines_of_one_time_the_last_counts_whatever_their_fields(make):
    store = await make()
    for turn in range(3):
        body = "m f=1 5\nm f=2,g=1 5\nm g=2,f=3i 5\nm f=4 5\nm f=5,g=6 5\nm f=7 5\nm g=8 5\nm f=9,g=9,h=true 4"
        await store.write(decode(body.replace("=9", f"={turn}").encode(), now=0, cache=CACHE).points)
        (latest,) = await store.latest("m", ["f", "g"], since=0)
        assert (latest.time, latest.fields) == (5, {"f": 7.0, "g": 8.0})


@pytest.mark.timeout(300)
@pytest.mark.parametrize("sent", [list, as_lines])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=8), since=st.integers(-5, 5), step=st.integers(1, 4))
def test_it_holds_what_a_plain_dict_would(sent, tmp_path_factory, steps, since, step):
    async def check():
        folder, model = tmp_path_factory.mktemp("model"), Model()
        store = Embedded(AT_ONCE, folder)
        for one in steps:
            if one == "restart":
                await store.close()
                store = Embedded(AT_ONCE, folder)
            elif isinstance(one, int):
                await store.drop_before(one)
                model.drop_before(one)
            else:
                written = await store.write(sent(one))
                assert {(rejected.measurement, rejected.field) for rejected in written.rejected} == model.write(one)
        for measurement in ("m", "n"):
            kinds = {field: kind for (name, field), kind in model.kinds.items() if name == measurement}
            assert await store.fields(measurement) == kinds
            for field in ("f", "g", "h"):
                latest = await store.latest(measurement, [field], since=since)
                assert {tuple(one.tags.items()): (one.time, one.fields[field]) for one in latest} == model.latest(
                    measurement, field, since
                )
                answer = await store.range(Range(measurement, field, since, 4, step, Aggregate.COUNT, by=["a"]))
                counts = {one.tags["a"]: dict(zip(one.times, one.values, strict=True)) for one in answer}
                assert counts == model.counts(measurement, field, since, 4, step)
        await store.close()

    asyncio.run(check())


async def test_what_was_dated_years_ahead_before_a_start_hides_nothing_after_it(tmp_path):
    day = 86400 * S
    now = 19_676 * day + 3600 * S
    clock = [now + 4000 * day]

    async def opened():
        store = Embedded(AT_ONCE, tmp_path, lambda: clock[0], Limits(settling=SMALL))
        await store.open()
        return store

    def rows(host, *times):
        return [
            Point("m", {"host": host}, {"f": float(number), "s": "x"}, time) for number, time in enumerate(times, 1)
        ]

    async def latest(store, field):
        found = await store.latest("m", [field], since=0)
        return [(one.tags["host"], one.time, one.fields[field]) for one in found]

    store = await opened()
    ahead = now + 3650 * day
    await store.write([*rows("a", now - 60 * S, ahead), *rows("b", ahead), *rows("c", now - 60 * S)])
    for settled in (False, True):
        if settled:
            while await store.settle(everything=True):
                pass
        await store.close()
        clock[0] = now
        store = await opened()
        old = [("a", now - 60 * S, 1.0), ("c", now - 60 * S, 1.0)]

        assert await latest(store, "f") == old
        assert await latest(store, "s") == [(host, time, "x") for host, time, _ in old]
    await store.write([*rows("a", now), *rows("b", now + 600 * S), *rows("c", now + 601 * S)])
    assert await latest(store, "f") == [("a", now, 1.0), ("b", now + 600 * S, 1.0), ("c", now - 60 * S, 1.0)]
    await store.close()
