"""Disks that fill up, turn read-only or lie, and processes that are killed in the middle of a write."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from parts import require

from agent.spool import Options, Spool
from configs.units import Size

NOW = 1_800_000_000_000
FREE = Options(min_free=Size(0))
ROOT = Path(__file__).parents[2]


def noise(batch, chance=random, count=40, size=60):
    return [b"m,host=a s=%d%s %d" % (batch, chance.randbytes(size).hex().encode(), n) for n in range(count)]


def balanced(tally):
    return tally.collected == sum(msgspec.structs.astuple(tally)) - tally.collected


def run_in_small_disk(folder, script, mount="mount -t tmpfs -o size=12m tmpfs"):
    """Run Python with ``folder`` as a real file system of its own, in a mount name space of its own."""
    if os.geteuid():
        pytest.skip("mounting a file system needs root")
    command = [require("unshare", "util-linux"), "--mount", "sh", "-c", f'{mount} "$0" && exec "$@"', folder]
    run = subprocess.run(
        [*command, sys.executable, "-c", PRELUDE + script, folder],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": f"{ROOT}"},
    )
    assert run.returncode == 0, run.stderr
    return run


PRELUDE = """
import logging, os, random, subprocess, sys
from pathlib import Path
import msgspec
from agent.spool import Options, Spool
from configs.units import Size
logging.basicConfig(format="%(message)s")
folder = Path(sys.argv[1])
NOW = 1_800_000_000_000

def noise(batch):
    return [b"m,host=a s=%d%s %d" % (batch, random.randbytes(300).hex().encode(), n) for n in range(40)]

def check(spool, last):
    tally = spool.tally
    assert tally.collected == tally.delivered + tally.dropped + tally.spooled, tally
    assert spool.newest(40).lines == last

spool = Spool(folder / "spool.db", Options(min_free=Size(0)))
"""

FULL = """
ballast = folder / "ballast"
for batch in range(900):
    last = noise(batch)
    spool.put(last, NOW + batch)
    if batch == 100:
        ballast.write_bytes(bytes(os.statvfs(folder).f_bavail * 4096))  # somebody else fills the disk
check(spool, last)
assert spool.tally.dropped > 0
ballast.unlink()
for batch in range(5):
    last = noise(batch)
    spool.put(last, NOW + 1000 + batch)
check(spool, last)
spool.close()
again = Spool(folder / "spool.db", Options(min_free=Size(0)))
assert again.tally == spool.tally, (again.tally, spool.tally)
assert again.set_aside == 0
"""

READ_ONLY = """
spool.put(noise(0), NOW)
subprocess.run(["mount", "-o", "remount,abort", folder], check=True)  # as after an error of the device: emergency_ro
for batch in range(1, 6):
    last = noise(batch)
    spool.put(last, NOW + batch)
check(spool, last)
group = spool.newest(40)
spool.settle(group, NOW)
assert spool.tally.delivered == 40
spool.close()
"""

START_READ_ONLY = """
spool.close()
subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
spool = Spool(folder / "spool.db", Options(min_free=Size(0)))
last = noise(1)
spool.put(last, NOW)
check(spool, last)
spool.close()
"""


def test_a_disk_that_somebody_else_fills_costs_the_oldest_lines_and_no_live_data(tmp_path):
    told = run_in_small_disk(tmp_path, FULL).stderr
    assert told.count("cannot be written: database or disk is full") == 1
    assert told.count("can be written again") == 1


def test_a_disk_that_turns_read_only_after_an_error_is_done_without(tmp_path):
    image, folder = tmp_path / "image", tmp_path / "mnt"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(8_000_000)
    subprocess.run([require("mkfs.ext4", "e2fsprogs"), "-q", "-F", image], check=True)
    if not Path("/dev/loop-control").exists():
        pytest.skip("a file system in a file needs loop devices: modprobe loop")
    told = run_in_small_disk(folder, READ_ONLY, f"mount -o loop {image}").stderr
    assert told.count("cannot be written") == 1


def test_a_disk_that_is_read_only_at_the_start_is_done_without(tmp_path):
    assert run_in_small_disk(tmp_path, START_READ_ONLY).stderr.count("cannot be written") == 1


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A spool of some hundred pages with batches, quarantine and a log that is not yet in the file."""
    file = tmp_path_factory.mktemp("whole") / "spool.db"
    spool = Spool(file, FREE)
    chance = random.Random(1)
    for batch in range(60):
        spool.put(noise(batch, chance), NOW + batch)
    group = spool.newest(80)
    spool.settle(group, NOW, poison=[(line, "no") for line in group.lines[:20]])
    for tail in ("", "-wal"):
        shutil.copy(f"{file}{tail}", f"{file}{tail}.kept")
    spool.close()
    return {tail: Path(f"{file}{tail}.kept").read_bytes() for tail in ("", "-wal")}


def damaged(whole, chance):
    """Flip bits at random places, cut the file, or overwrite a page, in the file or its log."""
    pieces = {tail: bytearray(data) for tail, data in whole.items()}
    victim = pieces[chance.choice(["", "", "-wal"])]
    match chance.randrange(4):
        case 0:
            for _ in range(chance.choice([1, 10, 1000])):
                victim[chance.randrange(len(victim))] ^= 1 << chance.randrange(8)
        case 1:
            del victim[chance.randrange(len(victim)) :]
        case 2:
            start = chance.randrange(max(1, len(victim) // 4096)) * 4096
            victim[start : start + 4096] = chance.choice([bytes(4096), chance.randbytes(4096)])
        case 3:
            start = chance.randrange(200)  # the header and the schema
            victim[start : start + chance.randrange(1, 60)] = chance.randbytes(20)
    return pieces


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_broken_in_the_file_the_agent_starts_sends_and_keeps_its_books(whole, tmp_path, seed):
    chance = random.Random(seed)
    for number in range(int(os.environ.get("PANTAU_TEST_DAMAGES", "25"))):
        file = tmp_path / f"{number}.db"
        for tail, data in damaged(whole, chance).items():
            Path(f"{file}{tail}").write_bytes(data)
        spool = Spool(file, FREE)
        spool.put(noise(1), NOW + 1000)
        for _ in range(100):
            group = spool.newest(2000)
            if group is None:
                break
            spool.settle(group, NOW + 1000)
        assert spool.newest(10) is None, (seed, number)
        spool.quarantined()
        spool.put(noise(2), NOW + 2000)
        assert balanced(spool.tally), (seed, number, spool.tally)
        assert min(msgspec.structs.astuple(spool.tally)) >= 0
        assert spool.tally.spooled == 40, (seed, number)
        spool.close()
        again = Spool(file, FREE)
        assert (again.set_aside, again.tally) == (0, spool.tally), (seed, number)
        again.close()


WRITER = """
import random, sys
from pathlib import Path
from agent.spool import Options, Spool
from configs.units import Size
spool = Spool(Path(sys.argv[1]), Options(min_free=Size(0)))
number = spool.tally.collected
while True:
    spool.put([b"m n=%di %d" % (number + n, number + n) for n in range(50)], 1_800_000_000_000 + number)
    number += 50
    print(number, flush=True)
    if number % 150 == 0:
        spool.settle(spool.oldest(50, before=2_000_000_000_000), 1_800_000_000_000)
"""


def test_a_process_killed_again_and_again_while_it_writes_loses_nothing_that_it_had_said_was_kept(tmp_path):
    file = tmp_path / "spool.db"
    chance = random.Random(3)
    for _ in range(int(os.environ.get("PANTAU_TEST_KILLS", "12"))):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, file],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": f"{ROOT}"},
        ) as process:
            said = int(process.stdout.readline())
            time.sleep(chance.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().split("\n")
        said = max([said, *[int(line) for line in rest[:-1]]])
        spool = Spool(file, FREE)
        assert spool.set_aside == 0
        assert spool.tally.collected >= said
        assert balanced(spool.tally)
        assert spool.tally.dropped == 0
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
            assert db.execute("SELECT SUM(lines) FROM batch").fetchone()[0] == spool.tally.spooled
        db.close()
        spool.close()
