"""Writes wait on disk while the database is away, and follow in order: nothing is lost, nothing doubled, nothing stale."""

import asyncio
import logging
from contextlib import contextmanager

import pytest
from parts import daemon, free_port, require, wait_until

from collectors.point import Point, UInt
from configs.units import Duration, Size
from server.store import Aggregate, Range, StoreFull, StoreUnavailable, Written
from server.store.embedded.store import Embedded
from server.store.embedded.store import Options as EmbeddedOptions
from server.store.influx.connection import Options as InfluxOptions
from server.store.influx.store import Influx
from server.store.spooled import Options, Retry, Spool, Spooled, SpooledInflux

S = 10**9
T = 1_700_000_000 * S
PLENTY = Spool()
SOON = Retry(0.02, 0.02)


class Database(Embedded):
    """A database that can be away; ``writes`` are what it took."""

    def __init__(self, folder):
        super().__init__(EmbeddedOptions(window=Duration(0.0)), folder)
        self.away = False
        self.writes = []

    async def write(self, points):
        if self.away:
            raise StoreUnavailable("unplugged")
        if points and points[0].measurement == "poison":
            raise ValueError("cannot be read")
        self.writes.append([point.time - T for point in points])
        return await super().write(points)

    async def health(self):
        return "unplugged" if self.away else await super().health()


@pytest.fixture
def database(tmp_path):
    return Database(tmp_path / "inner")


class Clock:
    ns = T

    def __call__(self):
        return self.ns


@pytest.fixture
async def make(database, tmp_path):
    made = []

    async def build(options=PLENTY, clock=lambda: T, **more):
        made.append(Spooled(database, options, tmp_path / "spool", clock, retry=SOON, **more))
        await made[-1].open()
        return made[-1]

    yield build
    for store in made:
        await store.close()


def one(value, time=T, **tags):
    return [Point("m", tags, {"f": float(value), "u": UInt(2**64 - 1), "s": 'a "b"', "b": True}, time)]


async def caught_up(store):
    async def well():
        return await store.health() == ""

    await wait_until(well, what="catching up")


async def test_while_the_database_is_there_nothing_goes_to_disk(make, tmp_path):
    store = await make()
    assert await store.write(one(1)) == Written(1)
    assert await store.write([]) == Written(0)
    assert await store.health() == ""
    assert not (tmp_path / "spool").exists()


async def test_writes_wait_and_follow_in_their_order(make, database, caplog):
    caplog.set_level(logging.INFO, "pantau.store")
    store = await make()
    await store.write(one(0, T - S))
    database.away = True
    for number in range(5):
        assert await store.write(one(number, T + number * S)) == Written(1)
    # the last write of a time wins, also when both waited
    await store.write(one(99, T))
    assert (await store.health()).startswith("unplugged; 6 points wait on disk to be written")
    database.away = False
    await caught_up(store)
    assert database.writes == [[-S], [0, S, 2 * S, 3 * S, 4 * S, 0]]
    (latest,) = await store.latest("m", ["f", "u", "s", "b"], since=0)
    assert latest.fields == {"f": 4.0, "u": 2**64 - 1, "s": 'a "b"', "b": True}
    assert (await store.range(Range("m", "f", T, T + 1, S)))[0].values == [99.0]
    assert await store.write(one(7, T + 9 * S)) == Written(1)
    assert [record.message for record in caplog.records] == [
        "writes wait on disk: unplugged",
        "no write waits any more",
    ]


async def test_what_waits_survives_a_restart(make, database, tmp_path):
    store = await make()
    database.away = True
    await store.write(one(1))
    await store.close()
    again = Database(tmp_path / "inner")
    store = Spooled(again, PLENTY, tmp_path / "spool", lambda: T, retry=SOON)
    await store.open()
    await caught_up(store)
    await store.close()
    assert again.writes == [[0]]


async def test_questions_that_waiting_points_may_change_are_not_answered(make, database):
    store = await make()
    await store.write(one(1, T - 100 * S))
    database.away = True
    await store.write(one(2))
    for question in (store.latest("m", ["f"], since=0), store.range(Range("m", "f", T - 200 * S, T + 1, S))):
        with pytest.raises(StoreUnavailable, match="1 points wait on disk"):
            await question
    (past,) = await store.range(Range("m", "f", T - 200 * S, T, S))
    assert past.values == [1.0]


async def test_new_writes_wait_behind_older_ones(make, database):
    store = await make()
    database.away = True
    await store.write(one(1, T))
    database.away = False
    many = [store.write(one(number, T + number * S)) for number in range(1, 30)]
    assert await asyncio.gather(*many) == [Written(1)] * 29
    await caught_up(store)
    assert [time for times in database.writes for time in times] == [number * S for number in range(30)]


async def test_beyond_its_size_writers_are_asked_to_keep_their_points(make, database):
    database.away = True
    store = await make(Spool(size=Size(1)))
    assert await store.write(one(1)) == Written(1)
    with pytest.raises(StoreUnavailable, match="1 points wait on disk already, no more fit: the database was away"):
        await store.write(one(3))
    database.away = False
    await caught_up(store)
    assert await store.write(one(3)) == Written(1)


async def test_without_a_size_nothing_waits(make, database, tmp_path):
    database.away = True
    store = await make(Spool(size=Size(0)))
    with pytest.raises(StoreUnavailable, match=r"^unplugged$"):
        await store.write(one(1))
    assert not (tmp_path / "spool").exists()


async def test_what_is_too_old_is_given_up_and_told(make, database, caplog):
    clock = Clock()
    database.away = True
    store = await make(Spool(age=Duration(60)), clock)
    await store.write(one(1))
    clock.ns += 50 * S
    await store.write(one(2, T + 50 * S))
    clock.ns += 20 * S
    await wait_until(lambda: "are lost" in caplog.text)
    database.away = False
    await caught_up(store)
    assert database.writes == [[50 * S]]
    assert "1 points waited longer than the spool keeps them and are lost" in caplog.text


async def test_a_write_that_cannot_be_read_stops_nothing_behind_it(make, database, caplog):
    store = await make()
    database.away = True
    await store.write([Point("poison", {}, {"f": 1.0}, T)])
    await store.write([Point("m", {}, {"f": 1.0}, T)])
    await store.write([Point("m", {}, {"f": "text"}, T)])
    database.away = False
    await caught_up(store)
    assert database.writes == [[0], [0]]
    assert "cannot be written and is lost" in caplog.text
    assert "1 fields that waited were refused, e.g. field type conflict" in caplog.text


async def test_many_small_writes_follow_in_few_large_ones(make, database):
    store = await make()
    database.away = True
    sizes = [1, 3000, 1999, 1, 6000, 2, 2, 4998]
    for number, size in enumerate(sizes):
        await store.write([Point("m", {"n": str(at)}, {"f": 1.0}, T + number * S) for at in range(size)])
    for number in range(1000):
        await store.write(one(number, T + (100 + number) * S))
    database.away = False
    await caught_up(store)
    assert [len(times) for times in database.writes] == [5000, 1, 6000, 4, 5000, 500, 498]
    assert sum(map(len, database.writes)) == sum(sizes) + 1000


async def test_a_disk_that_refuses_too_is_unavailable(make, database, tmp_path):
    (tmp_path / "spool").write_text("in the way")
    store = await make()
    database.away = True
    with pytest.raises(StoreUnavailable, match=r"unplugged; .*waiting\.db"):
        await store.write(one(1))


async def test_a_full_disk_is_told_apart_and_what_waits_is_kept(make, database):
    store = await make(pages=20)
    database.away = True
    written = 0
    with pytest.raises(StoreFull):  # noqa: PT012 - the number of writes that fit is the disk's
        for number in range(1000):
            await store.write(
                [Point("m", {"n": str(hash((number, at)))}, {"f": 1.0 / (at + 1)}, T + number * S) for at in range(99)]
            )
            written += 1
    assert written > 0
    database.away = False
    await caught_up(store)
    assert sum(map(len, database.writes)) == written * 99


@contextmanager
def influxd(folder, port):
    """InfluxDB 1 with data that stay in ``folder``."""
    config = folder / "influxdb.conf"
    config.write_text(
        f"""reporting-disabled = true
        bind-address = "127.0.0.1:{free_port()}"
        [meta]
        dir = "{folder}/meta"
        [data]
        dir = "{folder}/data"
        wal-dir = "{folder}/wal"
        [http]
        bind-address = "127.0.0.1:{port}"
        [monitor]
        store-enabled = false
        """
    )
    binary = require("influxd", "influxdb")
    with daemon([binary, "-config", config], port=port, log=folder / "log") as process:
        yield process


@pytest.mark.timeout(240)
async def test_a_real_database_that_is_killed_and_comes_back_has_everything(tmp_path):
    port, acknowledged = free_port(), 0
    (tmp_path / "influx").mkdir()
    options = Options(url=f"http://127.0.0.1:{port}", timeout=Duration(20.0))
    store = SpooledInflux(options, tmp_path / "spool")

    async def write(count):
        nonlocal acknowledged
        for _ in range(count):
            await store.write([Point("m", {"host": str(n)}, {"f": float(n)}, T + acknowledged * S) for n in range(5)])
            acknowledged += 1

    first = influxd(tmp_path / "influx", port)
    process = await asyncio.to_thread(first.__enter__)
    await store.open()
    await write(20)
    process.kill()
    await write(20)
    assert "100 points wait on disk" in await store.health()
    await asyncio.to_thread(first.__exit__, None, None, None)
    second = influxd(tmp_path / "influx", port)
    await asyncio.to_thread(second.__enter__)
    try:
        await write(20)
        await caught_up(store)
        await write(1)
        plain = Influx(InfluxOptions(url=options.url), tmp_path)
        counted = await plain.range(Range("m", "f", T, T + 1000 * S, 1000 * S, Aggregate.COUNT))
        await plain.close()
        assert sum(value for series in counted for value in series.values) == acknowledged * 5
    finally:
        await store.close()
        await asyncio.to_thread(second.__exit__, None, None, None)
