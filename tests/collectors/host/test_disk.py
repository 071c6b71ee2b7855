"""The disk collector on mounts that hang, hide or cannot be spelled."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from parts import require

from collectors.host import Roots
from collectors.host.sources.mounts import read
from collectors.lineprotocol import encode
from collectors.linereader import decode

TOLD = os.statvfs_result((4096, 4096, 10, 5, 5, 10, 5, 5, 0, 255))
ROOT = "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n"


@pytest.fixture
def host(tmp_path):
    """Write a mount table; returns where to read it."""

    def write(table):
        (tmp_path / "proc/1").mkdir(parents=True, exist_ok=True)
        (tmp_path / "proc/1/mountinfo").write_bytes(table if isinstance(table, bytes) else table.encode())
        return Roots(proc=str(tmp_path / "proc"), sys=str(tmp_path / "sys"))

    return write


@pytest.fixture
def gate():
    event = threading.Event()
    yield event
    event.set()


def stuck(points):
    return {p.tags["path"]: dict(p.fields) for p in points if p.measurement == "pantau_mount"}


def full(points):
    return {p.tags["path"] for p in points if p.measurement == "disk"}


async def test_it_tells_of_a_mount_that_hangs_until_it_answers_and_after(collector, host, gate, until, caplog):
    def statvfs(path):
        if path == "/srv/files":
            gate.wait(60)
        return TOLD

    table = ROOT + "40 25 0:50 / /srv/files rw - nfs4 nas:/files rw\n41 25 8:2 / /var rw - ext4 /dev/sda2 rw\n"
    disk = collector("disk", host(table), statvfs, timeout=1.0)
    for _ in range(3):
        points = await disk.collect(0)
        assert full(points) == {"/", "/var"}
        assert stuck(points) == {"/srv/files": {"stuck": 1, "unasked": 0}}
    assert [r.getMessage() for r in caplog.records] == ["file system /srv/files does not answer"]

    gate.set()
    await until(lambda: not disk._network.hanging())
    points = await disk.collect(0)
    assert full(points) == {"/", "/var", "/srv/files"}
    assert stuck(points) == {"/srv/files": {"stuck": 0, "unasked": 0}}
    assert stuck(await disk.collect(0)) == {"/srv/files": {"stuck": 0, "unasked": 0}}
    assert caplog.records[-1].getMessage() == "file system /srv/files answers again"
    assert len(caplog.records) == 2

    host(ROOT)
    assert stuck(await disk.collect(0)) == {}


async def test_the_end_of_a_file_server_hides_no_local_disk(collector, host, gate):
    def statvfs(path):
        if path.startswith("/nas"):
            gate.wait(60)
        return TOLD

    table = "".join(f"{50 + n} 25 0:{n} / /nas/{n} rw - nfs nas:/{n} rw\n" for n in range(12)) + ROOT
    disk = collector("disk", host(table), statvfs, timeout=1.0)
    for _ in range(2):
        points = await disk.collect(0)
        assert full(points) == {"/"}
        assert sum(fields["stuck"] for fields in stuck(points).values()) == 4
        assert sum(fields["unasked"] for fields in stuck(points).values()) == 8


async def test_a_mount_that_may_not_be_asked_is_left_out(collector, host):
    def statvfs(path):
        if path == "/closed":
            raise PermissionError(13, "Permission denied")
        return TOLD

    points = await collector("disk", host(ROOT + "40 25 8:3 / /closed rw - ext4 /dev/sdb rw\n"), statvfs).collect(0)
    assert full(points) == {"/"}
    assert stuck(points) == {}


async def test_a_path_that_is_not_utf_8_is_asked_as_it_is_and_written_readably(collector, host):
    asked = []

    def statvfs(path):
        asked.append(os.fsencode(path))
        return TOLD

    table = ROOT.encode() + b"40 25 8:3 / /mnt/caf\xe9\\040lama rw - ext4 /dev/sdb rw\n"
    points = await collector("disk", host(table), statvfs).collect(0)
    assert b"/mnt/caf\xe9 lama" in asked
    assert full(points) == {"/", r"/mnt/caf\xe9 lama"}
    back = decode(encode(points), now=0)
    assert not back.errors
    assert {p.tags["path"] for p in back.points} == {"/", r"/mnt/caf\xe9 lama"}


def test_two_thousand_mounts_are_read_with_their_covers(host):
    rows = [f"{100 + n} 25 7:{n} / /snap/p{n}/x rw - ext4 /dev/l{n} rw\n" for n in range(2000)]
    paths = [mount.path for mount in read(host(ROOT + "".join(rows)).proc)]
    assert len(paths) == 2001
    covered = read(host(ROOT + "".join(rows) + "9000 25 8:9 / /snap rw - ext4 /dev/sdz rw\n").proc)
    assert [mount.path for mount in covered] == ["/", "/snap"]


HANGS = """
import asyncio, ctypes, json, os, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
assert libc.mount(b"none", b"/", None, (1 << 14) | (1 << 18), None) == 0
device = os.open("/dev/fuse", os.O_RDWR)  # nobody will ever answer on it
options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
assert libc.mount(b"hangs", bytes(folder / "mnt"), b"fuse", 0, options) == 0
(folder / "proc").mkdir()
(folder / "proc/self").symlink_to(f"/proc/{os.getpid()}")
from collectors.host import Roots
from collectors.host.disk import Disk, Options
from configs.units import Duration
async def main():
    disk = Disk(Options(timeout=Duration(2)), Roots(proc=str(folder / "proc")))
    async def look():
        start = time.monotonic()
        points = await disk.collect(0)
        told = {p.tags["path"]: p.fields.get("stuck") for p in points}
        return {"took": time.monotonic() - start, "told": told}
    for _ in range(3):
        print(json.dumps(await look()), flush=True)
    os.close(device)
    while (found := await look())["told"].get(str(folder / "mnt")) == 1:
        await asyncio.sleep(0.05)
    print(json.dumps(found), flush=True)
asyncio.run(main())
"""


@pytest.mark.real
def test_a_real_mount_that_never_answers_is_survived_and_recovers(tmp_path):
    require("unshare", "util-linux")
    if os.geteuid() or not Path("/dev/fuse").exists():
        pytest.skip("a mount that hangs needs root and /dev/fuse")
    (tmp_path / "mnt").mkdir()
    run = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", HANGS, tmp_path],
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert run.returncode == 0, run.stderr
    first, second, third, after = map(json.loads, run.stdout.splitlines())
    mount = str(tmp_path / "mnt")
    assert [step["told"].get(mount) for step in (first, second, third, after)] == [1, 1, 1, 0]
    assert all("/" in step["told"] for step in (first, second, third, after))
    assert first["took"] < 10
    assert max(second["took"], third["took"]) < 2  # it is not waited for again


async def test_a_place_that_is_mounted_when_looked_at_is_not_looked_at_and_what_is_mounted_there_is(collector, host):
    asked = []

    def statvfs(path):
        asked.append(path)
        return TOLD

    waits = (
        ROOT
        + "33 25 0:41 / /net rw - autofs systemd-1 rw,fd=4,direct\n34 25 0:42 / /misc rw - autofs /etc/auto.misc rw,indirect\n"
    )
    disk = collector("disk", host(waits), statvfs)
    await disk.collect(0)
    assert asked == ["/"]
    host(waits + "50 33 0:60 / /net rw - nfs4 nas:/home rw\n")
    await disk.collect(0)
    assert sorted(asked) == ["/", "/", "/net"]
