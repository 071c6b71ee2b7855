"""Real processes of this host, and what ten thousand of them cost."""

import asyncio
import os
import subprocess
import sys
import time

import msgspec
import pytest

from collectors.host import Roots
from collectors.host.procstat import Options

pytestmark = pytest.mark.usefixtures("linux")


@pytest.fixture
def busy(tmp_path):
    """A process that works, with a name and a PID file of its own."""
    script = "import sys, time\nfiles = [open('/dev/null') for _ in range(50)]\nprint(flush=True)\nwhile True: pass\n"
    process = subprocess.Popen([sys.executable, "-c", script, "pantau-procstat-probe"], stdout=subprocess.PIPE)
    process.stdout.readline()  # it has begun
    file = tmp_path / "probe.pid"
    file.write_text(f"{process.pid}\n")
    yield process, file
    process.kill()
    process.communicate()


async def test_it_tells_what_a_process_uses(collector, busy):
    process, file = busy
    one = collector("procstat", exe=(), pid_file=(str(file),), pattern=("pantau-procstat-prob[e]",))
    await one.collect(time.time_ns())
    await asyncio.sleep(0.5)
    points = await one.collect(time.time_ns())
    for selector, tag in (("pid_file", "pidfile"), ("pattern", "pattern")):
        (lookup,) = [p for p in points if p.measurement == "procstat_lookup" and selector in p.tags]
        assert (lookup.fields["pid_count"], lookup.fields["running"]) == (1, 1)
        (used,) = [p for p in points if p.measurement == "procstat" and tag in p.tags]
        assert used.fields["pid"] == process.pid
        assert used.fields["ppid"] == os.getpid()
        assert used.fields["num_fds"] >= 53
        assert 5 < used.fields["cpu_usage"] < 500  # the reading may come late on a busy machine
        assert used.fields["memory_rss"] > 2**20
        assert abs(used.fields["created_at"] / 1e9 - time.time()) < 120


async def test_a_stale_pid_file_is_found_but_not_running(collector, busy):
    process, file = busy
    process.kill()
    process.wait()
    (point,) = await collector("procstat", exe=(), pid_file=(str(file),)).collect(0)
    assert point.tags["result"] == "success"
    assert (point.fields["pid_count"], point.fields["running"]) == (1, 0)


async def test_it_finds_processes_of_a_user(collector, busy):
    points = await collector("procstat", exe=(), user=(str(os.getuid()),)).collect(0)
    (lookup,) = [p for p in points if p.measurement == "procstat_lookup"]
    assert lookup.fields["running"] >= 2
    assert len({tuple(sorted(p.tags.items())) for p in points}) == len(points)


@pytest.mark.parametrize(
    ("options", "why"),
    [({}, "expected at least one of exe, pattern"), ({"pattern": ("(",)}, "'\\(' is no regular expression")],
)
def test_nonsense_is_refused(options, why):
    with pytest.raises(ValueError, match=why):
        Options(**options)
    with pytest.raises(msgspec.ValidationError, match=why):
        msgspec.convert(options, Options)


async def test_hidden_processes_are_not_taken_for_a_dead_service(collector, tmp_path):
    (tmp_path / "4711").mkdir()
    with pytest.raises(PermissionError, match="hidepid"):
        await collector("procstat", Roots(proc=str(tmp_path))).collect(0)


async def test_names_are_read_once_they_have_settled(collector, tmp_path):
    for pid in (1, 2, 3):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text("old\n")
    (tmp_path / "stat").write_text("btime 1\n")
    (tmp_path / "meminfo").write_text("MemTotal: 1 kB\n")
    one = collector("procstat", Roots(proc=str(tmp_path)), exe=("new",))

    async def count():
        (point,) = [p for p in await one.collect(0) if p.measurement == "procstat_lookup"]
        return point.fields["pid_count"]

    assert await count() == 0
    (tmp_path / "2" / "comm").write_text("new\n")  # as after fork and exec
    assert await count() == 1
    (tmp_path / "3" / "comm").write_text("new\n")  # long after its start: seen within a minute at the default interval
    assert [await count() for _ in range(5)][-1] == 2
