import random
import shutil
import sqlite3
import tempfile
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import batchfile
from agent import spool as module
from agent.spool import Options, Spool
from configs.units import Duration, Size

NOW = 1_800_000_000_000
FREE = Options(min_free=Size(0))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "spool.db"


@pytest.fixture
def spool(file):
    found = Spool(file, FREE)
    yield found
    found.close()


def noise_of(size):
    return random.randbytes(size).hex().encode()


def on_disk(file):
    """What another process sees now: the lines, their declared number, and the tally."""
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
        rows = db.execute("SELECT lines FROM batch ORDER BY id").fetchall()
        tally = db.execute("SELECT collected, delivered, dropped, quarantined, rejected FROM tally").fetchone()
    db.close()
    return sum(count for (count,) in rows), tally


def balanced(tally):
    parts = tally.delivered + tally.dropped + tally.quarantined + tally.rejected + tally.spooled
    return tally.collected == parts


def test_a_line_is_committed_when_put_returns(spool, file, some_lines):
    spool.put(some_lines(5), NOW)
    assert on_disk(file) == (5, (5, 0, 0, 0, 0))


def test_lines_survive_a_process_that_ends_without_a_word(file, some_lines):
    first = Spool(file, FREE)
    first.put(some_lines(5), NOW)
    copy = file.with_name("after-kill.db")
    for tail in ("", "-wal"):
        shutil.copy(str(file) + tail, str(copy) + tail)
    second = Spool(copy, FREE)
    assert second.newest(100).lines == some_lines(5)
    assert second.tally == first.tally
    first.close()
    second.close()


def test_the_newest_go_first_and_the_oldest_are_the_backlog(spool, some_lines):
    for minute in range(5):
        spool.put(some_lines(10, start=minute * 10), NOW + minute * 60_000)
    assert spool.newest(20).lines == some_lines(10, 40) + some_lines(10, 30)
    assert spool.oldest(20, before=NOW + 240_000).lines == some_lines(20)
    assert spool.oldest(1, before=NOW) is None


def test_a_batch_larger_than_asked_for_still_goes(spool, some_lines):
    spool.put(some_lines(50), NOW)
    assert len(spool.newest(1).lines) == 50


def test_a_settled_group_is_gone_and_accounted_for(spool, file, some_lines):
    spool.put(some_lines(10), NOW)
    spool.put(some_lines(10, 10), NOW + 1)
    group = spool.newest(100)
    poison = [(group.lines[0], "HTTP 400: unable to parse")]
    spool.settle(group, NOW, rest=group.lines[16:], rejected=3, poison=poison)
    tally = spool.tally
    assert (tally.delivered, tally.quarantined, tally.rejected, tally.spooled) == (12, 1, 3, 4)
    assert balanced(tally)
    assert on_disk(file) == (4, (20, 12, 0, 1, 3))
    assert spool.newest(100).lines == group.lines[16:]
    assert [(one.line, one.reason, one.at) for one in spool.quarantined()] == [(*poison[0], NOW)]


@pytest.mark.parametrize("then", ["put", "close"])
def test_a_delivered_batch_leaves_the_disk_with_the_next_put_or_at_the_end(spool, file, some_lines, then):
    spool.put(some_lines(10), NOW)
    spool.settle(spool.newest(100), NOW)
    assert spool.newest(100) is None
    assert on_disk(file) == (10, (10, 0, 0, 0, 0))
    spool.put(some_lines(1), NOW + 1) if then == "put" else spool.close()
    left = int(then == "put")
    assert on_disk(file) == (left, (10 + left, 10, 0, 0, 0))


def test_the_rest_of_a_group_keeps_its_place_in_the_order(spool, some_lines):
    spool.put(some_lines(10), NOW)
    spool.put(some_lines(5, 50), NOW + 1000)
    old = spool.oldest(10, before=NOW + 1)
    spool.settle(old, NOW, rest=old.lines[5:])
    assert spool.oldest(5, before=NOW + 10_000).lines == old.lines[5:]


def test_beyond_the_size_the_oldest_are_dropped_and_counted(file, caplog):
    spool = Spool(file, Options(max_size=Size(300_000), min_free=Size(0)))
    for number in range(400):
        noise = [b"m,host=a s=%d%s %d" % (number, noise_of(60), n) for n in range(50)]
        spool.put(noise, NOW + number * 10_000)
        assert spool.size <= 300_000
    assert spool.tally.dropped > 0
    assert balanced(spool.tally)
    assert on_disk(file)[0] == spool.tally.spooled > 0
    assert spool.newest(50).lines == noise
    assert caplog.text.count("dropping the oldest") == 1
    spool.close()
    assert file.stat().st_size <= 400_000


def test_beyond_the_age_the_oldest_are_dropped_and_counted(file, some_lines):
    spool = Spool(file, Options(max_age=Duration(3600), min_free=Size(0)))
    spool.put(some_lines(10), NOW)
    spool.put(some_lines(10, 10), NOW + 3_000_000)
    spool.put(some_lines(10, 20), NOW + 3_600_001)
    assert (spool.tally.dropped, spool.tally.spooled) == (10, 20)
    spool.close()


def test_what_is_under_way_is_not_dropped(file, some_lines):
    spool = Spool(file, Options(max_age=Duration(3600), min_free=Size(0)))
    spool.put(some_lines(10), NOW)
    group = spool.newest(100)
    spool.put(some_lines(10, 10), NOW + 9_000_000)
    spool.settle(group, NOW + 9_000_000)
    assert (spool.tally.delivered, spool.tally.dropped, spool.tally.spooled) == (10, 0, 10)
    spool.close()


def test_on_a_disk_short_of_space_the_file_grows_no_further(file, monkeypatch):
    spool = Spool(file, Options(max_size=Size(50_000_000), min_free=Size(10**9)))
    monkeypatch.setattr(module.os, "statvfs", lambda _: SimpleNamespace(f_bavail=10, f_frsize=4096))
    for number in range(600):
        noise = [b"m s=%d%s %d" % (number, noise_of(80), n) for n in range(50)]
        spool.put(noise, NOW + number)
    assert spool.size <= 1_100_000
    assert spool.tally.dropped > 0
    assert balanced(spool.tally)
    assert spool.newest(1).lines == noise
    spool.close()


@pytest.mark.parametrize("damage", ["garbage", "truncated", "bit_flips", "newer"])
def test_a_file_that_cannot_be_used_is_set_aside_and_a_fresh_one_started(file, some_lines, damage, caplog):
    first = Spool(file, FREE)
    for number in range(200):
        first.put(some_lines(50, number * 50), NOW + number)
    first.close()
    whole = bytearray(file.read_bytes())
    if damage == "garbage":
        file.write_bytes(b"this is no database" * 100)
    elif damage == "truncated":
        file.write_bytes(whole[: len(whole) // 2 + 77])
    elif damage == "bit_flips":
        for position in range(0, len(whole), 4096):
            whole[position + 3] ^= 0xFF
        whole[0:16] = b"SQLite format 3\0"
        file.write_bytes(whole)
    else:
        with sqlite3.connect(file) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    spool = Spool(file, FREE)
    spool.put(some_lines(3), NOW)
    assert spool.set_aside == 1
    assert spool.newest(10).lines == some_lines(3)
    aside = "spool.db.layout99" if damage == "newer" else "spool.db.corrupt"
    assert file.with_name(aside).exists()
    assert "set aside" in caplog.text
    spool.close()


def test_a_file_that_breaks_while_running_costs_what_was_in_it_and_is_counted(file, some_lines):
    spool = Spool(file, FREE)
    for number in range(100):
        spool.put(some_lines(100, number * 100), NOW + number)
    group = spool.newest(200)
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    with file.open("r+b") as raw:
        for page in range(1, file.stat().st_size // 4096):
            raw.seek(page * 4096)
            raw.write(b"\xff" * 4096)
    spool.put(some_lines(7, 20_000), NOW + 1000)
    spool.settle(group, NOW + 1000)
    assert spool.set_aside == 1
    assert balanced(spool.tally)
    assert (spool.tally.delivered, spool.tally.spooled) == (200, 7)
    assert spool.newest(10).lines == some_lines(7, 20_000)
    spool.close()


def test_a_damaged_batch_is_dropped_and_counted_and_the_others_go_on(spool, file, some_lines):
    spool.put(some_lines(5), NOW)
    spool.put(some_lines(5, 5), NOW + 1)
    with sqlite3.connect(file) as db:
        db.execute("UPDATE batch SET body = x'1f8b00' WHERE id = (SELECT MIN(id) FROM batch)")
    db.close()
    group = spool.newest(100)
    assert group.lines == some_lines(5, 5)
    spool.settle(group, NOW)
    assert (spool.tally.dropped, spool.tally.delivered, spool.tally.spooled) == (5, 5, 0)
    spool.close()
    assert on_disk(file) == (0, (10, 5, 5, 0, 0))


def test_while_the_disk_refuses_live_data_still_passes_and_nothing_is_double_counted(spool, file, some_lines, caplog):
    spool.put(some_lines(5), NOW)
    spool._file._db.execute("PRAGMA query_only = ON")  # as a file system that became read-only answers
    spool.put(some_lines(5, 5), NOW + 1)
    spool.put(some_lines(5, 10), NOW + 2)
    group = spool.newest(10)
    assert group.lines == some_lines(5, 10) + some_lines(5, 5)
    spool.settle(group, NOW)
    old = spool.newest(10)
    assert old.lines == some_lines(5)
    spool.settle(old, NOW)
    assert spool.newest(10) is None
    assert caplog.text.count("cannot be written") == 1
    spool._file._db.execute("PRAGMA query_only = OFF")
    spool.put(some_lines(1, 15), NOW + 3)
    assert on_disk(file) == (1, (16, 15, 0, 0, 0))
    assert "can be written again" in caplog.text


def test_memory_is_bounded_while_the_disk_refuses(spool):
    spool._file._db.execute("PRAGMA query_only = ON")
    for number in range(300):
        noise = [b"m s=%d%s %d" % (number, noise_of(1500), n) for n in range(40)]
        spool.put(noise, NOW + number)
    assert sum(len(batch.body) for batch in spool._staged.values()) <= 4_000_000
    assert spool.tally.dropped > 0
    assert balanced(spool.tally)
    assert spool.newest(1).lines == noise


def test_a_folder_that_is_missing_at_first_is_used_when_it_appears(tmp_path, some_lines):
    file = tmp_path / "later" / "spool.db"
    spool = Spool(file, FREE)
    spool.put(some_lines(5), NOW)
    file.parent.mkdir()
    spool.put(some_lines(5, 5), NOW + 1)
    assert on_disk(file) == (10, (10, 0, 0, 0, 0))
    spool.close()


def test_a_drained_spool_gives_the_disk_back(file, some_lines):
    spool = Spool(file, FREE)
    for number in range(300):
        spool.put([b"m s=%s 1" % noise_of(1500) for n in range(40)], NOW + number)
    full = file.stat().st_size
    while group := spool.newest(2000):
        spool.settle(group, NOW)
    for _ in range(10):
        spool.put(some_lines(1), NOW)
    spool.close()
    assert file.stat().st_size < full / 2
    assert spool.tally.delivered == 12_000


STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 30), st.integers(0, 3)),
    st.tuples(st.just("send"), st.booleans(), st.floats(0, 1), st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.just("wait"), st.integers(0, 4000)),
    st.tuples(st.just("disk"), st.booleans()),
    st.tuples(st.just("restart")),
)


@given(st.lists(STEPS, max_size=25))
@settings(max_examples=60, deadline=None)
def test_collected_is_always_delivered_or_spooled_or_counted(steps):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "spool.db")
        options = Options(max_age=Duration(3600), min_free=Size(0))
        spool, now, count, refusing = Spool(file, options), NOW, 0, False
        for step in steps:
            match step:
                case ("put", more, lost):
                    spool.put([b"m n=%di 1" % (count + n) for n in range(more)], now, lost=lost)
                    count += more + lost
                case ("send", newest, part, rejected, poison):
                    group = spool.newest(40) if newest else spool.oldest(40, before=now)
                    if group:
                        rest = group.lines[int(len(group.lines) * part) :]
                        settled = len(group.lines) - len(rest)
                        bad = [(line, "no") for line in group.lines[: min(poison, settled)]]
                        spool.settle(group, now, rest=rest, rejected=min(rejected, settled - len(bad)), poison=bad)
                case ("wait", seconds):
                    now += seconds * 1000
                case ("disk", refuses):
                    refusing = refuses
                    spool._file._db.execute(f"PRAGMA query_only = {'ON' if refusing else 'OFF'}")
                case ("restart",) if not refusing:
                    before = spool.tally
                    spool.close()
                    spool = Spool(file, options)
                    assert spool.tally == before
            assert balanced(spool.tally)
            assert spool.tally.collected == count
            assert min(msgspec.structs.astuple(spool.tally)) >= 0
        spool._file._db.execute("PRAGMA query_only = OFF")
        spool.put([b"m n=1i 1"], now)
        assert on_disk(file)[0] == spool.tally.spooled
        spool.close()


@pytest.mark.parametrize("ends", ["closed", "killed"])
def test_after_a_downgrade_and_an_upgrade_nothing_that_was_spooled_is_missing(file, some_lines, monkeypatch, ends):
    monkeypatch.setattr(batchfile, "LAYOUT", 2)
    monkeypatch.setattr(batchfile, "_TABLES", batchfile._TABLES.replace("user_version = 1", "user_version = 2"))
    newer = Spool(file, FREE)
    for number in range(120):
        newer.put(some_lines(5, number * 5), NOW + number)
    if ends == "closed":
        newer.close()
    else:  # its last changes are in the write-ahead log only
        for tail in ("", "-wal"):
            shutil.copy(f"{file}{tail}", f"{file}{tail}.copy")
        newer.close()
        for tail in ("", "-wal"):
            Path(f"{file}{tail}.copy").rename(f"{file}{tail}")

    monkeypatch.setattr(batchfile, "LAYOUT", 1)
    older = Spool(file, FREE)
    assert (older.set_aside, older.tally.spooled) == (1, 0)
    older.put(some_lines(5, 1000), NOW)  # the clock was set back: the same number as a batch of before
    older.close()
    with sqlite3.connect(file) as db:  # as the newer one changes what an older one left
        db.execute("PRAGMA user_version = 2")
    db.close()

    monkeypatch.setattr(batchfile, "LAYOUT", 2)
    again = Spool(file, FREE)
    assert (again.tally.spooled, again.tally.collected, again.tally.dropped) == (605, 605, 0)
    assert sorted(again.newest(1000).lines) == sorted([*some_lines(600), *some_lines(5, 1000)])
    assert not list(file.parent.glob("*.layout*"))
    again.close()


def test_a_spool_set_aside_that_cannot_be_taken_back_is_left_and_ends_nothing(file, some_lines, caplog):
    file.with_name("spool.db.layout1").write_bytes(b"no database" * 500)
    spool = Spool(file, FREE)
    spool.put(some_lines(3), NOW)
    assert spool.newest(10).lines == some_lines(3)
    assert "cannot be taken back" in caplog.text
    spool.close()
