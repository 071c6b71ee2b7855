"""Backups under load and their way back; through the socket of a centre and without one."""

import argparse
import asyncio
import copy
import io
import json
import sqlite3
import tarfile
from contextlib import closing

import pytest
from parts import wait_until

from collectors.point import Point
from configs.read import SettingsError
from configs.units import Duration
from server.admin import backup, control_socket
from server.admin.backup import BackupFailed
from server.admin.control_socket import Ask, Control
from server.cli import backup as command
from server.inventory.known_hosts import HostError
from server.store import Aggregate, Range, StoreUnavailable
from server.store.buckets import Bucket, Buckets
from server.store.embedded.settling import Limits as SettlingLimits
from server.store.embedded.store import Embedded, Limits, Options

S = 10**9
T = 1_700_000_000 * S
AT_ONCE = Options(window=Duration(0.0))


@pytest.fixture
async def store(tmp_path):
    made = Embedded(AT_ONCE, tmp_path / "d", limits=Limits(settling=SettlingLimits(hour_rows=1)))
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def state(tmp_path):
    """A state database with its last rows still in the log beside it; its URL."""
    with closing(sqlite3.connect(tmp_path / "state.db")) as database:
        database.executescript("PRAGMA journal_mode=WAL; CREATE TABLE t (n); INSERT INTO t VALUES (1), (2)")
        yield f"sqlite:///{tmp_path / 'state.db'}"


def one(store):
    return Buckets([Bucket("pantau", store, 0.0, 0)])


async def total(store):
    answer = await store.range(Range("m", "f", 0, 10**19 // 2, 10**18, Aggregate.COUNT))
    return int(sum(value for series in answer for value in series.values))


def place(points_from, count=200):
    return [Point("m", {"n": str(n)}, {"f": float(n), "s": "x"}, T + points_from * 60 * S) for n in range(count)]


@pytest.mark.parametrize("name", ["copy", "copy.tar"])
async def test_a_backup_under_load_holds_all_that_was_acknowledged_before_it(store, state, tmp_path, name):
    acknowledged = 0

    async def write():
        nonlocal acknowledged
        while True:
            await store.write(place(acknowledged))
            acknowledged += 1

    async def settle():
        while True:
            await store.settle(everything=True)
            await asyncio.sleep(0.01)

    load = [asyncio.create_task(write()), asyncio.create_task(settle())]
    await wait_until(lambda: acknowledged >= 3, what="some writes")
    before = acknowledged
    made = await backup.make(one(store), state, tmp_path / name, at=7, version="1")
    after = acknowledged
    await wait_until(lambda: acknowledged > after, what="writes that go on")
    for task in load:
        task.cancel()
    await asyncio.gather(*load, return_exceptions=True)

    manifest = await asyncio.to_thread(backup.restore, tmp_path / name, tmp_path / "new")
    assert manifest == made
    assert manifest.missing == ()
    with closing(sqlite3.connect(tmp_path / "new" / "state.db")) as database:
        assert database.execute("SELECT sum(n) FROM t").fetchone() == (3,)
    restored = Embedded(AT_ONCE, tmp_path / "new" / "store")
    count = await total(restored)
    assert before * 200 <= count <= (after + 1) * 200
    assert count % 200 == 0
    assert await restored.write(place(acknowledged + 1)) is not None
    await restored.close()
    assert {path.name for path in tmp_path.iterdir()} == {"d", "new", "state.db", "state.db-shm", "state.db-wal", name}


@pytest.fixture
async def made(store, state, tmp_path):
    await store.write(place(1))
    await backup.make(one(store), state, tmp_path / "copy", at=7, version="1")
    return tmp_path / "copy"


async def test_what_is_not_as_it_was_written_is_not_brought_back(made, tmp_path):
    data = tmp_path / "new"

    def fails(match):
        with pytest.raises(BackupFailed, match=match):
            backup.restore(made, data)
        assert not data.exists()

    file = made / "store" / "points.duckdb"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    await asyncio.to_thread(fails, r"points\.duckdb is missing or not as it was written")
    file.unlink()
    await asyncio.to_thread(fails, r"points\.duckdb is missing")
    file.write_bytes(whole)
    manifest = json.loads((made / "manifest.json").read_text())
    manifest["files"]["../state.db"] = manifest["files"]["state.db"]
    (made / "manifest.json").write_text(json.dumps(manifest))
    await asyncio.to_thread(fails, r"outside the backup: \.\./state\.db")
    (made / "manifest.json").write_text(json.dumps(manifest | {"format": 2}))
    await asyncio.to_thread(fails, "has format 2, this version of Pantau reads 1")
    (made / "manifest.json").unlink()
    await asyncio.to_thread(fails, "is no backup")


def member(name, kind=tarfile.REGTYPE, link="", data=b"stranger"):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o6777
    info.size = len(data) if kind == tarfile.REGTYPE else 0
    return info, data


HOSTILE = {
    "an absolute name": ([member("{outside}/stolen")], "leads outside"),
    "a way up": ([member("../stolen")], "leads outside"),
    "a way up behind a folder": ([member("store/../../stolen")], "leads outside"),
    "a folder above": ([member("../new2", tarfile.DIRTYPE)], "leads outside"),
    "a link out": ([member("store/x", tarfile.SYMTYPE, "{outside}")], "neither a plain file nor a folder"),
    "a link within": ([member("x", tarfile.SYMTYPE, "manifest.json")], "neither a plain file nor a folder"),
    "a hard link": ([member("x", tarfile.LNKTYPE, "{outside}/mine")], "neither a plain file nor a folder"),
    "a file through a link": (
        [member("way", tarfile.SYMTYPE, "{outside}"), member("way/stolen")],
        "neither a plain file nor a folder",
    ),
    "a pipe": ([member("x", tarfile.FIFOTYPE)], "neither a plain file nor a folder"),
    "a device": ([member("x", tarfile.CHRTYPE)], "neither a plain file nor a folder"),
    "a file twice": ([member("x"), member("x")], "stands twice"),
    "a file that is a folder too": ([member("x"), member("x/y")], "stands twice"),
    "the folder itself as a file": ([member(".")], "stands twice"),
}


@pytest.mark.parametrize(("members", "why"), HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_archive_is_refused_and_nothing_of_it_stays(made, tmp_path, members, why):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("mine")
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        archive.add(made, arcname=".")
        for info, data in members:
            placed = copy.copy(info)
            placed.name, placed.linkname = (text.format(outside=outside) for text in (info.name, info.linkname))
            archive.addfile(placed, io.BytesIO(data))
    before = set(tmp_path.rglob("*"))
    with pytest.raises(BackupFailed, match=rf"bad\.tar is no backup: '.*' .*{why}"):
        await asyncio.to_thread(backup.restore, tmp_path / "bad.tar", tmp_path / "new")
    assert set(tmp_path.rglob("*")) == before
    assert (outside / "mine").read_text() == "mine"


async def test_a_sparse_file_is_not_blown_up(made, tmp_path):
    with tarfile.open(tmp_path / "bad.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info, data = member("store/huge", data=b"1\n0\n1\n".ljust(512, b"\0") + b"x")
        size = str(2**26)  # holes for the most part, of any length
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": size}
        archive.addfile(info, io.BytesIO(data))
    with pytest.raises(BackupFailed, match="neither a plain file nor a folder"):
        await asyncio.to_thread(backup.restore, tmp_path / "bad.tar", tmp_path / "new")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
async def test_an_archive_that_is_cut_off_is_refused_at_any_length(made, tmp_path, mode):
    with tarfile.open(tmp_path / "whole.tar", mode) as archive:
        archive.add(made, arcname=".")
    whole = (tmp_path / "whole.tar").read_bytes()
    for length in range(0, len(whole) * 9 // 10, len(whole) // 20):
        (tmp_path / "bad.tar").write_bytes(whole[:length])
        with pytest.raises(BackupFailed, match=r"is no backup|is missing or not as it was written"):
            await asyncio.to_thread(backup.restore, tmp_path / "bad.tar", tmp_path / "new")
        assert not (tmp_path / "new").exists()


async def test_modes_and_leftovers_of_a_former_try_are_not_taken_over(made, tmp_path):
    (tmp_path / "new.restoring" / "store").mkdir(parents=True)
    (tmp_path / "new.restoring" / "manifest.json").symlink_to(tmp_path / "state.db")

    def open_to_all(info):
        info.mode = 0o6777
        return info

    with tarfile.open(tmp_path / "copy.tar", "w") as archive:
        archive.add(made, arcname=".", filter=open_to_all)
    await asyncio.to_thread(backup.restore, tmp_path / "copy.tar", tmp_path / "new")
    modes = {path.stat().st_mode & 0o7022 for path in (tmp_path / "new").rglob("*")}
    assert modes == {0}
    assert not (tmp_path / "new.restoring").exists()


async def test_a_folder_that_is_not_empty_and_a_backup_that_is_there_are_left_alone(made, store, state, tmp_path):
    with pytest.raises(BackupFailed, match="d is not empty"):
        await asyncio.to_thread(backup.restore, made, tmp_path / "d")
    with pytest.raises(BackupFailed, match="copy exists already"):
        await backup.make(one(store), state, made, at=7, version="1")
    (tmp_path / "bad.tar").write_text("no tar")
    with pytest.raises(BackupFailed, match=r"bad\.tar is no backup"):
        await asyncio.to_thread(backup.restore, tmp_path / "bad.tar", tmp_path / "new")


async def test_a_backup_that_cannot_be_written_leaves_nothing(store, state, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BackupFailed, match=r"cannot write the backup: .*File exists"):
        await backup.make(one(store), state, tmp_path / "file" / "copy", at=7, version="1")
    with pytest.raises(BackupFailed, match="unable to open database file"):
        await backup.make(one(store), f"sqlite:///{tmp_path}/nosuch.db", tmp_path / "copy", at=7, version="1")
    assert not (tmp_path / "copy").exists()
    assert not (tmp_path / "copy.part").exists()


async def test_state_elsewhere_is_said_to_be_missing(store, tmp_path):
    made = await backup.make(one(store), "postgresql://made.up/pantau", tmp_path / "copy.tar", at=7, version="1")
    assert "pg_dump" in made.missing[0]
    with tarfile.open(tmp_path / "copy.tar") as archive:
        assert "./state.db" not in archive.getnames()


async def no_host(name, by):
    raise HostError(f"no host {name!r} is known to {by}")


async def no_reload():
    raise SettingsError("line 1\nline 2")


async def test_a_running_centre_makes_it_on_request(store, state, tmp_path):
    await store.write(place(1))
    centre = Control(one(store), state, tmp_path, lambda: 7, "1", no_host, no_reload)
    await centre.open()
    try:
        assert ((tmp_path / "control.sock").stat().st_mode & 0o777) == 0o600
        answers = await asyncio.gather(
            *(control_socket.ask(tmp_path, Ask(str(tmp_path / f"copy{n}"))) for n in range(2))
        )
        assert sorted(bool(one.done) for one in answers) == [False, True]
        assert [one.error for one in answers if one.error] == ["a backup is being made already"]
        assert (
            await control_socket.ask(tmp_path, Ask(str(tmp_path / "d")))
        ).error == f"{tmp_path / 'd'} exists already"
        assert (await control_socket.ask(tmp_path, Ask(forget="x", by="sari"))).error == "no host 'x' is known to sari"
        assert (await control_socket.ask(tmp_path, Ask())).error == "expected 'backup', 'forget', 'points' or 'reload'"
    finally:
        await centre.close()
    assert await control_socket.ask(tmp_path, Ask("/nowhere")) is None


async def test_the_commands_work_without_a_centre(tmp_path, capsys):
    for name in ("old", "new"):
        (tmp_path / f"{name}.toml").write_text(f'[server]\ndata = "{name}"\n')
    (tmp_path / "services.toml").write_text("")
    first = Embedded(AT_ONCE, tmp_path / "old" / "store")
    await first.write(place(1))
    await first.close()
    with closing(sqlite3.connect(tmp_path / "old" / "state.db")) as database:
        database.execute("CREATE TABLE t (n)")

    def run(*words):
        parser = argparse.ArgumentParser()
        command.add(parser.add_subparsers())
        arguments = parser.parse_args(words)
        return arguments.run(arguments)

    save = ("backup", "--settings", str(tmp_path / "old.toml"), "--to", str(tmp_path / "copy.tar"))
    back = ("restore", "--settings", str(tmp_path / "new.toml"), "--from", str(tmp_path / "copy.tar"))
    assert await asyncio.to_thread(run, *save) == 0
    assert "copy.tar: 2 files" in capsys.readouterr().out
    assert await asyncio.to_thread(run, *save) == 1
    assert await asyncio.to_thread(run, *back) == 0
    assert "2 files, 200 series, as it was at 20" in capsys.readouterr().out
    assert await asyncio.to_thread(run, *back) == 1
    assert "is not empty" in capsys.readouterr().err
    second = Embedded(AT_ONCE, tmp_path / "new" / "store")
    assert await total(second) == 200
    await second.close()


async def test_two_backups_at_once_are_both_whole(store, tmp_path):
    await store.write(place(0))
    await store.settle(everything=True)
    await store.write(place(10))
    await asyncio.gather(*(store.backup(tmp_path / f"copy{number}") for number in range(3)))
    for number in range(3):
        copy = Embedded(AT_ONCE, tmp_path / f"copy{number}")
        await copy.open()
        assert await total(copy) == 400
        await copy.close()


async def test_a_backup_that_failed_is_no_hindrance_to_the_next(store, tmp_path):
    await store.write(place(0))
    (tmp_path / "full").write_text("not a folder")
    with pytest.raises(StoreUnavailable):
        await store.backup(tmp_path / "full")
    await store.backup(tmp_path / "copy")
    attached = store._tables.database.cursor().execute(
        "SELECT count(*) FROM duckdb_databases() WHERE database_name LIKE 'copied%'"
    )
    assert attached.fetchall() == [(0,)]
