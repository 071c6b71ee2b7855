"""Real damage to files of the embedded store: what cannot be read is set aside and told, and all the rest answers."""

import asyncio
import errno
import os
import random
import shutil
from pathlib import Path

import duckdb
import pytest
from settled import SMALL

from collectors.point import Point
from configs.units import Duration
from server.store import Aggregate, Range, StoreDamaged, StoreUnavailable
from server.store.embedded.file import Error, is_damage
from server.store.embedded.layers import TABLES
from server.store.embedded.store import Embedded, Limits, Options

DAY = 86400 * 10**9
HOUR = DAY // 24
MINUTE = HOUR // 60
T = 20_000 * DAY
BLOCK = 262_144
FRESH = 400_000  # rows that lie in the database's own file, of several of its row groups
pytestmark = [pytest.mark.timeout(120), pytest.mark.may_block]


def store_in(folder):
    return Embedded(Options(window=Duration(0.0)), folder, lambda: T + 3 * DAY, Limits(settling=SMALL))


def days(step=HOUR, measurement="cpu", start=T, end=T + 2 * DAY):
    return Range(measurement, "usage", start, end, step, Aggregate.COUNT)


def counted(series):
    return sum(int(value) for one in series for value in one.values)


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A folder with two settled days of values each minute, and values that are not settled."""
    folder = tmp_path_factory.mktemp("lived")

    async def live():
        store = store_in(folder)
        await store.open()
        await store.write([Point("cpu", {"host": "a"}, {"usage": n / 7}, T + n * MINUTE) for n in range(2 * 1440)])
        while await store.settle(everything=True):
            pass
        base = T + 3 * DAY
        await store.write([Point("load", {"host": "a"}, {"usage": n / 7}, base + n * 1000) for n in range(FRESH)])
        await store.write([Point("mem", {"host": "a"}, {"used": n}, base + n) for n in range(100)])
        await store.close()

    asyncio.run(live())
    return folder


@pytest.fixture
def folder(lived, tmp_path):
    shutil.copytree(lived, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
async def opened(folder):
    """Open the store; closed at the end."""
    made = []

    async def make():
        made.append(store_in(folder))
        await made[-1].open()
        return made[-1]

    yield make
    for store in made:
        await store.close()


def overwrite(file, at, count):
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(random.Random(7).randbytes(count))


def beginning(file):
    overwrite(file, 0, 100)


def middle(file):
    overwrite(file, 4, file.stat().st_size // 2)


def end(file):
    overwrite(file, file.stat().st_size - 200, 200)


def footer(file):
    overwrite(file, file.stat().st_size - 150, 140)  # the magic at the end stays


def empty(file):
    file.write_bytes(b"")


def cut_off(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("damage", [beginning, middle, end, footer, empty, cut_off])
async def test_a_damaged_raw_file_costs_its_day_and_is_told_until_it_is_taken_away(opened, folder, damage, caplog):
    (bad, good) = sorted((folder / "points.files").glob("float-raw-*"))
    damage(bad)
    store = await opened()
    assert counted(await store.range(days(MINUTE // 2, start=T + DAY))) == 1440
    assert counted(await store.range(days(MINUTE // 2, end=T + DAY))) == 0  # of its values nothing is left
    assert counted(await store.range(days(end=T + DAY))) == 1440  # but its roll-ups are
    assert (await store.health(), await store.takes()) == ("", True)
    told = f"1 damaged file is set aside in {folder / 'points.damaged'}, and points are missing"
    assert (await store.damage()).startswith(told)
    assert [file.name for file in (folder / "points.damaged").iterdir()] == [bad.name]
    assert not bad.exists()
    assert good.exists()
    assert "Traceback" not in caplog.text
    await store.write([Point("cpu", {"host": "a"}, {"usage": 1.0}, T + 3 * DAY)])
    await store.close()
    again = await opened()
    assert (await again.damage()).startswith(told)
    shutil.rmtree(folder / "points.damaged")
    assert await again.damage() == ""


@pytest.mark.parametrize("damage", [middle, footer, empty])
async def test_where_a_roll_up_is_damaged_its_raw_values_answer(opened, folder, damage):
    damage(next((folder / "points.files").glob("float-1h-*")))
    store = await opened()
    assert counted(await store.range(days())) == 2880
    assert await store.health() == ""


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
async def test_a_bad_block_of_values_costs_those_around_it_only(opened, folder, place, caplog):
    file = folder / "points.duckdb"
    before = file.stat().st_size
    blocks = blocks_of(file, TABLES["float"])
    overwrite(file, 12_288 + blocks[int(place * len(blocks))] * BLOCK + 1000, 5000)
    store = await opened()
    assert await store.measurements() == ["cpu", "load", "mem"]
    kept = counted(await store.range(days(measurement="load", start=T + 3 * DAY, end=T + 4 * DAY)))
    assert FRESH // 2 <= kept < FRESH
    assert f"{FRESH - kept} rows of values are lost" in caplog.text
    assert len(await store.latest("mem", ["used"], since=0)) == 1
    assert counted(await store.range(days())) == 2880
    assert (await store.health(), await store.takes()) == ("", True)
    assert "1 damaged file is set aside" in await store.damage()
    assert [one.stat().st_size for one in (folder / "points.damaged").iterdir()] == [before]
    await store.write([Point("load", {"host": "a"}, {"usage": 1.0}, T + 4 * DAY)])
    await store.close()
    assert counted(await (await opened()).range(days(measurement="load", start=T + 4 * DAY, end=T + 5 * DAY))) == 1


async def test_bad_blocks_of_what_gives_values_their_names_are_damage(folder):
    file = folder / "points.duckdb"
    blocks = blocks_of(file, "series")
    assert blocks
    for block in blocks:
        overwrite(file, 12_288 + block * BLOCK + 1000, 5000)
    store = store_in(folder)
    with pytest.raises(StoreDamaged, match="is damaged: Corrupt database file"):
        await store.open()
    await store.close()
    assert not (folder / "points.damaged").exists()


def blocks_of(file, table):
    with duckdb.connect(file, read_only=True) as database:
        found = database.execute(
            f"SELECT DISTINCT block_id FROM pragma_storage_info('{table}') WHERE persistent AND block_id >= 0"
        ).fetchall()
    return sorted(block for (block,) in found)


def whole_header(file):
    overwrite(file, 0, 12_288)


def head_of_headers(file):
    overwrite(file, 4096, 8192)


@pytest.mark.parametrize("damage", [beginning, whole_header, head_of_headers, empty])
async def test_a_file_of_which_nothing_can_be_saved_is_damaged_and_left_as_it_is(folder, damage):
    file = folder / "points.duckdb"
    damage(file)
    before = file.read_bytes()
    store = store_in(folder)
    with pytest.raises(StoreDamaged, match=f"^{file} is damaged: "):
        await store.open()
    with pytest.raises(StoreDamaged):
        await store.write([Point("m", {}, {"f": 1.0}, T)])
    assert "is damaged" in await store.health()
    await store.close()
    assert file.read_bytes() == before
    assert sorted(one.name for one in folder.iterdir()) == ["points.duckdb", "points.files"]


async def test_a_log_of_garbage_costs_nothing_that_is_in_the_file(opened, folder):
    (folder / "points.duckdb.wal").write_bytes(random.Random(7).randbytes(50_000))
    store = await opened()
    assert counted(await store.range(days())) == 2880
    await store.write([Point("m", {}, {"f": 1.0}, T)])
    assert await store.health() == ""


@pytest.mark.parametrize("why", ["Too many open files", "No space left on device", "Permission denied"])
def test_what_the_system_lacks_or_forbids_is_no_damage_of_the_file_that_it_was_about(why):
    assert not is_damage(Error(f'IO Error: Cannot open file "/data/points.files/float-raw-1.parquet": {why}'))


async def test_a_file_that_cannot_be_opened_for_want_of_handles_is_not_set_aside(opened, folder, monkeypatch):
    (bad, _) = sorted((folder / "points.files").glob("float-raw-*"))
    real = Path.open

    def none_left(path, *arguments, **more):
        if path == bad:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", none_left)
    with pytest.raises(StoreUnavailable, match="Too many open files"):
        await opened()
    monkeypatch.undo()
    store = await opened()
    assert await store.damage() == ""
    assert counted(await store.range(days())) == 2880
