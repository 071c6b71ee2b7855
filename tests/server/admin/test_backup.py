"""Backups under load and their way back; through the socket of a centre and without one."""

import asyncio
import copy
import io
import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from backups import make, restore
from parts import wait_for, wait_until

from collectors.point import Point
from configs.read import SettingsError
from configs.units import Duration
from server.admin import control_socket
from server.admin.backup import copied
from server.admin.backup_file import keep_newest, save
from server.admin.control_socket import Ask, Control, coming_backup
from server.admin.manifest import BackupFailed
from server.cli.main import main
from server.inventory.known_hosts import HostError
from server.state.database import Database
from server.state.last_backup import last_backup
from server.state.migrate import upgrade
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
    made = await make(one(store), state, tmp_path / name, tmp_path)
    after = acknowledged
    await wait_until(lambda: acknowledged > after, what="writes that go on")
    for task in load:
        task.cancel()
    await asyncio.gather(*load, return_exceptions=True)

    manifest = await asyncio.to_thread(restore, tmp_path / name, tmp_path / "new")
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
    assert {path.name for path in tmp_path.iterdir()} == {
        "backup.lock", "d", "new", "state.db", "state.db-shm", "state.db-wal", name,
    }  # fmt: skip


@pytest.fixture
async def made(store, state, tmp_path):
    await store.write(place(1))
    await make(one(store), state, tmp_path / "copy", tmp_path)
    return tmp_path / "copy"


async def test_what_is_not_as_it_was_written_is_not_brought_back(made, tmp_path):
    data = tmp_path / "new"

    def fails(match):
        with pytest.raises(BackupFailed, match=match):
            restore(made, data)
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
        await asyncio.to_thread(restore, tmp_path / "bad.tar", tmp_path / "new")
    assert set(tmp_path.rglob("*")) == before
    assert (outside / "mine").read_text() == "mine"


async def test_a_sparse_file_is_not_blown_up(made, tmp_path):
    with tarfile.open(tmp_path / "bad.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info, data = member("store/huge", data=b"1\n0\n1\n".ljust(512, b"\0") + b"x")
        size = str(2**26)  # holes for the most part, of any length
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": size}
        archive.addfile(info, io.BytesIO(data))
    with pytest.raises(BackupFailed, match="neither a plain file nor a folder"):
        await asyncio.to_thread(restore, tmp_path / "bad.tar", tmp_path / "new")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
async def test_an_archive_that_is_cut_off_is_refused_at_any_length(made, tmp_path, mode):
    with tarfile.open(tmp_path / "whole.tar", mode) as archive:
        archive.add(made, arcname=".")
    whole = (tmp_path / "whole.tar").read_bytes()
    for length in range(0, len(whole) * 9 // 10, len(whole) // 20):
        (tmp_path / "bad.tar").write_bytes(whole[:length])
        with pytest.raises(BackupFailed, match=r"is no backup|is missing or not as it was written"):
            await asyncio.to_thread(restore, tmp_path / "bad.tar", tmp_path / "new")
        assert not (tmp_path / "new").exists()


async def test_modes_and_leftovers_of_a_former_try_are_not_taken_over(made, tmp_path):
    (tmp_path / "new" / "restore.part" / "store").mkdir(parents=True)
    (tmp_path / "new" / "restore.part" / "manifest.json").symlink_to(tmp_path / "state.db")

    def open_to_all(info):
        info.mode = 0o6777
        return info

    with tarfile.open(tmp_path / "copy.tar", "w") as archive:
        archive.add(made, arcname=".", filter=open_to_all)
    await asyncio.to_thread(restore, tmp_path / "copy.tar", tmp_path / "new")
    modes = {path.stat().st_mode & 0o7022 for path in (tmp_path / "new").rglob("*")}
    assert modes == {0}
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"centre.lock", "state.db", "store"}


async def test_a_folder_that_is_not_empty_and_a_backup_that_is_there_are_left_alone(made, store, state, tmp_path):
    with pytest.raises(BackupFailed, match="d is not empty"):
        await asyncio.to_thread(restore, made, tmp_path / "d")
    with pytest.raises(BackupFailed, match="copy exists already"):
        await make(one(store), state, made, tmp_path)
    (tmp_path / "bad.tar").write_text("no tar")
    with pytest.raises(BackupFailed, match=r"bad\.tar is no backup"):
        await asyncio.to_thread(restore, tmp_path / "bad.tar", tmp_path / "new")


async def test_a_backup_that_cannot_be_written_leaves_nothing(store, state, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BackupFailed, match=r"cannot write .*copy: File exists"):
        await make(one(store), state, tmp_path / "file" / "copy", tmp_path)
    with pytest.raises(BackupFailed, match="unable to open database file"):
        await make(one(store), f"sqlite:///{tmp_path}/nosuch.db", tmp_path / "copy", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "backup.lock", "d", "file", "state.db", "state.db-shm", "state.db-wal",
    }  # fmt: skip


async def no_host(name, by):
    raise HostError(f"no host {name!r} is known to {by}")


async def no_reload():
    raise SettingsError("line 1\nline 2")


@pytest.fixture
async def centre(store, state, tmp_path):
    """The socket of a centre on ``tmp_path``, with some points."""
    await store.write(place(1))
    control = Control(one(store), state, tmp_path, lambda: 7, "1", no_host, no_reload)
    await control.open()
    yield control
    await control.close()


def fetched(data, to):
    """Do what the command does."""
    with coming_backup(data) as coming:
        manifest = save(coming, to)
        coming.kept(to)
    return manifest


@pytest.mark.usefixtures("centre")
@pytest.mark.parametrize("name", ["copy", "copy.tar"])
async def test_a_running_centre_sends_one_on_request(tmp_path, name):
    assert ((tmp_path / "control.sock").stat().st_mode & 0o777) == 0o600
    made = await asyncio.to_thread(fetched, tmp_path, tmp_path / name)
    assert (tmp_path / name).stat().st_mode & 0o077 == 0
    assert await asyncio.to_thread(restore, tmp_path / name, tmp_path / "new") == made
    await asyncio.to_thread(wait_for, lambda: last_backup(tmp_path), what="the centre to remember it")
    last = await asyncio.to_thread(last_backup, tmp_path)
    assert (last.at, last.to) == (7, str(tmp_path / name))
    assert not (tmp_path / "backup.scratch").exists()


async def test_a_centre_answers_other_asks_beside_it(centre, tmp_path):
    assert (await control_socket.ask(tmp_path, Ask(forget="x", by="sari"))).error == "no host 'x' is known to sari"
    assert (await control_socket.ask(tmp_path, Ask())).error == "expected 'backup', 'forget', 'points' or 'reload'"
    await centre.close()
    assert await control_socket.ask(tmp_path, Ask(backup=True)) is None


async def test_a_slow_reader_holds_up_a_second_backup_and_nothing_else(centre, store, tmp_path):
    for number in range(8):
        await store.write(place(10 + number, count=2000))

    def slow():
        with coming_backup(tmp_path) as coming:
            coming.read(1)  # and no more: what the socket does not hold waits in the centre
            with pytest.raises(BackupFailed, match="a backup is being made already"):
                fetched(tmp_path, tmp_path / "second.tar")
            asyncio.run_coroutine_threadsafe(store.write(place(100)), loop).result(60)
            assert (tmp_path / "backup.scratch").exists()
        return True

    loop = asyncio.get_running_loop()
    assert await asyncio.to_thread(slow)
    # the reader is gone: so is the copy, and the next one may come
    await wait_until(lambda: not (tmp_path / "backup.scratch").exists(), what="the copy to go")
    await asyncio.to_thread(fetched, tmp_path, tmp_path / "third.tar")
    assert not (tmp_path / "second.tar").exists()


async def test_a_reader_that_takes_nothing_is_given_up(store, state, tmp_path):
    for number in range(8):
        await store.write(place(10 + number, count=2000))
    control = Control(one(store), state, tmp_path, lambda: 7, "1", no_host, no_reload)
    control._backups._patience = 0.1
    await control.open()

    def idle():
        with coming_backup(tmp_path) as coming:
            wait_for(lambda: not (tmp_path / "backup.scratch").exists(), what="the copy to go")
            with pytest.raises(BackupFailed, match="broke off"):
                save(coming, tmp_path / "copy.tar")

    await asyncio.to_thread(idle)
    await control.close()
    assert not (tmp_path / "copy.tar").exists()


async def test_a_centre_that_stops_breaks_it_off_and_leaves_no_copy(centre, store, tmp_path):
    for number in range(8):
        await store.write(place(10 + number, count=2000))
    loop = asyncio.get_running_loop()

    def stopped():
        with coming_backup(tmp_path) as coming:
            coming.read(1)
            asyncio.run_coroutine_threadsafe(centre.close(), loop).result(60)
            with pytest.raises(BackupFailed, match="broke off"):
                save(coming, tmp_path / "copy.tar")

    await asyncio.to_thread(stopped)
    assert not (tmp_path / "copy.tar").exists()
    assert not (tmp_path / "backup.scratch").exists()


async def test_a_copy_that_a_killed_centre_left_goes_at_the_start(store, state, tmp_path):
    (tmp_path / "backup.scratch" / "store").mkdir(parents=True)
    control = Control(one(store), state, tmp_path, lambda: 7, "1", no_host, no_reload)
    await control.open()
    await control.close()
    assert not (tmp_path / "backup.scratch").exists()


async def test_sorted_files_cost_no_room_twice(centre, store, tmp_path):
    await store.settle(everything=True)
    files = list((tmp_path / "d" / "points.files").iterdir())
    assert files

    def look():
        with coming_backup(tmp_path) as coming:
            coming.read(1)
            scratch = tmp_path / "backup.scratch" / "store" / "points.files"
            return {file.name: file.stat().st_nlink for file in scratch.iterdir()}

    assert await asyncio.to_thread(look) == dict.fromkeys([file.name for file in files], 2)


@pytest.fixture
async def stream(store, state, tmp_path):
    """The bytes that a centre would send."""
    await store.write(place(1))
    async with copied(one(store), state, tmp_path, at=7, version="1") as pieces:
        return await asyncio.to_thread(b"".join, pieces)


async def test_a_copy_that_is_read_in_part_only_leaves_no_file_open(store, state, tmp_path):
    await store.write(place(1))
    async with copied(one(store), state, tmp_path, at=7, version="1") as pieces:
        header, beginning = await asyncio.to_thread(lambda: (next(pieces), next(pieces)))
        assert len(header) == 512
        assert beginning
    files = list(Path("/proc/self/fd").iterdir())
    names = [str(file.readlink()) for file in files if file.is_symlink()]
    assert not [name for name in names if "backup.scratch" in name]
    assert next(pieces, b"") == b""


async def test_a_copy_that_ends_while_a_thread_reads_it_waits_for_the_piece(store, state, tmp_path):
    await store.write(place(1))
    async with copied(one(store), state, tmp_path, at=7, version="1") as pieces:
        whole = await asyncio.to_thread(b"".join, pieces)
    for _ in range(5):
        async with copied(one(store), state, tmp_path, at=7, version="1") as pieces:
            reading = asyncio.create_task(asyncio.to_thread(b"".join, pieces))
            await asyncio.sleep(0)
        assert len(await reading) <= len(whole)


@pytest.mark.parametrize("name", ["copy", "copy.tar"])
def test_a_stream_that_is_cut_off_anywhere_leaves_nothing(stream, tmp_path, name):
    before = set(tmp_path.iterdir())
    lengths = {*range(0, len(stream), len(stream) // 25), *range(len(stream) - 4096, len(stream), 512), len(stream) - 1}
    for length in sorted(lengths):
        with pytest.raises(BackupFailed, match="the backup broke off"):
            save(io.BytesIO(stream[:length]), tmp_path / name)
    assert set(tmp_path.iterdir()) == before
    save(io.BytesIO(stream), tmp_path / name)


@pytest.mark.parametrize("name", ["copy", "copy.tar"])
def test_a_stream_with_another_byte_leaves_nothing(stream, tmp_path, name):
    before = set(tmp_path.iterdir())
    for at in (stream.index(b"SQLite format 3") + 5000, stream.index(b'"sha256": "') + 20):
        bad = bytearray(stream)
        bad[at] = ord("0") if bad[at] != ord("0") else ord("1")
        with pytest.raises(BackupFailed, match="is missing or not as it was written"):
            save(io.BytesIO(bad), tmp_path / name)
    assert set(tmp_path.iterdir()) == before


def test_a_part_that_a_killed_command_left_goes_with_the_next(stream, tmp_path):
    ours = tmp_path / ".pantau-20261101T010203Z.tar.x1y2.part"
    others = [
        tmp_path / ".pantau-old.tar.x1y2.part",
        tmp_path / "pantau-20261101T010203Z.tar.part",
        tmp_path / ".b.tar.x.part",
    ]
    for file in (ours, *others):
        file.write_text("x")
    save(io.BytesIO(stream), tmp_path / "pantau-20261102T010203Z.tar")
    assert not ours.exists()
    assert all(file.exists() for file in others)


def test_the_oldest_of_its_own_names_go_beyond_so_many(tmp_path):
    names = [f"pantau-202611{day:02}T021700Z.tar" for day in range(1, 6)]
    others = ["pantau-2026.tar", "other.tar", "pantau-20261101T021700Z.tar.gz", "xpantau-20261101T021700Z.tar"]
    for name in (*names, *others):
        (tmp_path / name).write_text("")
    (tmp_path / "pantau-20200101T000000Z.tar").mkdir()
    assert [path.name for path in keep_newest(tmp_path, 3)] == names[:2]
    assert {path.name for path in tmp_path.iterdir()} == {*names[2:], *others, "pantau-20200101T000000Z.tar"}
    assert keep_newest(tmp_path, 3) == []


def lived(tmp_path):
    """Settings of two centres, the first with points and a state, none of them running; their files."""
    for name in ("old", "new"):
        (tmp_path / f"{name}.toml").write_text(f'[server]\ndata = "{name}"\n')
    (tmp_path / "services.toml").write_text("")

    async def write():
        first = Embedded(AT_ONCE, tmp_path / "old" / "store")
        await first.write(place(1))
        await first.close()

    asyncio.run(write())
    with closing(Database(f"sqlite:///{tmp_path / 'old' / 'state.db'}")) as database:
        upgrade(database.engine)
    return tmp_path / "old.toml", tmp_path / "new.toml"


def test_the_commands_work_without_a_centre(tmp_path, capsys):
    old, new = lived(tmp_path)
    save = ("backup", "--settings", str(old), "--to", str(tmp_path / "copy.tar"))
    back = ("restore", "--settings", str(new), "--from", str(tmp_path / "copy.tar"))
    assert main(("backup", "--settings", str(old), "--last")) == 1
    assert main(save) == 0
    assert "copy.tar: 2 files" in capsys.readouterr().out
    assert main(save) == 1
    assert "copy.tar exists already" in capsys.readouterr().err
    assert main(("backup", "--settings", str(old), "--last")) == 0
    assert f"{tmp_path / 'copy.tar'}: as it was at 20" in capsys.readouterr().out
    assert main(back) == 0
    assert "2 files, 200 series, as it was at 20" in capsys.readouterr().out
    assert main(back) == 1
    assert "is not empty" in capsys.readouterr().err
    second = Embedded(AT_ONCE, tmp_path / "new" / "store")

    async def count():
        try:
            return await total(second)
        finally:
            await second.close()

    assert asyncio.run(count()) == 200
    assert not (tmp_path / "old" / "backup.scratch").exists()


def test_backups_into_a_folder_are_named_by_the_time_and_so_many_are_kept(tmp_path, capsys):
    old, _ = lived(tmp_path)
    folder = tmp_path / "backups"
    folder.mkdir()
    older = [folder / f"pantau-2025110{day}T021700Z.tar" for day in (1, 2)]
    for file in older:
        file.write_text("")
    assert main(("backup", "--settings", str(old), "--into", str(folder), "--keep", "2")) == 0
    out = capsys.readouterr().out
    assert "deleted: pantau-20251101T021700Z.tar" in out
    assert len(list(folder.iterdir())) == 2
    assert not older[0].exists()
    assert main(("backup", "--settings", str(old), "--to", str(folder / "x.tar"), "--keep", "2")) == 2
    # one that fails deletes nothing
    (tmp_path / "old" / "state.db").unlink()
    assert main(("backup", "--settings", str(old), "--into", str(folder), "--keep", "1")) == 1
    assert len(list(folder.iterdir())) == 2


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
