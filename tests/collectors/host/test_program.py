"""Programs that collectors run: never waited for too long, never left behind, never believed to be short."""

import asyncio
import errno
import gc
import os
import signal
import time
from pathlib import Path

import pytest

from collectors.host.sources import program
from collectors.host.sources.program import run


@pytest.fixture
def gone(until):
    """Wait until no process has this number."""

    def ended(pid):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return True
        # a zombie of a test without an init that reaps is as good as gone
        return stat.rpartition(")")[2].split()[0] == "Z"

    async def wait(pid):
        await until(lambda: asyncio.to_thread(ended, pid))

    return wait


def shell(script):
    return ("/bin/sh", "-c", script)


async def test_it_tells_output_complaints_and_exit_code():
    ended = await run(shell("echo out; echo err >&2; exit 3"), seconds=60)
    assert (ended.code, ended.out, ended.err) == (3, "out\n", "err\n")
    assert ended.complaint() == "err"


async def test_the_complaint_of_a_silent_program_is_its_exit_code():
    assert (await run(shell("exit 7"), seconds=60)).complaint() == "exit code 7"


async def test_it_runs_in_the_c_locale_and_without_input():
    ended = await run(shell("cat; echo $LC_ALL $PWD"), seconds=60)
    assert ended.out == "C /\n"


async def test_a_missing_program_is_told_by_name():
    with pytest.raises(FileNotFoundError, match="no-such-program") as caught:
        await run(("no-such-program",), seconds=60)
    assert caught.value.errno == errno.ENOENT


async def test_one_that_hangs_is_killed_with_its_children(tmp_path, gone):
    file = tmp_path / "pids"
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="no end within"):
        await run(shell(f"trap '' TERM; sleep 60 & echo $! > {file}; echo $$ >> {file}; sleep 60"), seconds=2)
    assert time.monotonic() - began < 20
    for pid in file.read_text().split():
        await gone(int(pid))


async def test_what_it_leaves_behind_is_killed_and_not_waited_for(tmp_path, gone):
    file = tmp_path / "pid"
    began = time.monotonic()
    ended = await run(shell(f"sleep 60 & echo $! > {file}; echo done"), seconds=50)
    assert (ended.code, ended.out) == (0, "done\n")
    assert time.monotonic() - began < 20
    await gone(int(file.read_text()))


async def test_a_daemon_that_it_starts_in_a_session_of_its_own_does_not_hold_its_answer_back(tmp_path, gone):
    file = tmp_path / "pid"
    began = time.monotonic()
    # it ends only when the daemon has left its group, with which it would be killed
    daemon, begun = f"setsid sh -c 'echo $$ > {file}; exec sleep 60'", f"while [ ! -s {file} ]; do sleep 0.01; done"
    ended = await run(shell(f"{daemon} & {begun}; echo done; exit 1"), seconds=50)
    assert (ended.code, ended.out) == (1, "done\n")
    assert time.monotonic() - began < 20
    pid = int(file.read_text())
    os.kill(pid, signal.SIGKILL)
    await gone(pid)


async def test_endless_output_is_cut_and_the_program_killed():
    began = time.monotonic()
    with pytest.raises(OSError, match="wrote more than 100000 bytes") as caught:
        await run(shell("yes"), seconds=50, most=100_000)
    assert caught.value.errno == errno.EFBIG
    assert time.monotonic() - began < 20


async def test_endless_output_can_be_cut_and_what_came_first_be_kept():
    began = time.monotonic()
    ended = await run(shell("yes"), seconds=50, most=1001, cut=True)
    assert (ended.code, ended.out) == (-9, "y\n" * 500 + "y")
    assert time.monotonic() - began < 20


async def test_endless_complaints_are_dropped_until_the_deadline():
    with pytest.raises(TimeoutError):
        await run(shell("yes >&2"), seconds=0.3)


async def test_one_that_closes_its_output_and_goes_on_is_killed(tmp_path, gone):
    file = tmp_path / "pid"
    with pytest.raises(TimeoutError):
        await run(shell(f"echo $$ > {file}; exec >&- 2>&-; sleep 60"), seconds=2)
    await gone(int(file.read_text()))


async def test_a_deadline_leaves_no_error_that_nobody_looked_at():
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    with pytest.raises(TimeoutError):
        await run(shell("sleep 60"), seconds=0.1)
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


async def test_one_that_is_slow_to_die_is_known_until_it_has(until):
    for _ in range(5):
        with pytest.raises(TimeoutError):
            await run(shell("sleep 60"), seconds=0.1, reap=0.0)
    gc.collect()  # nobody complains of one that still runs
    await until(lambda: not program._dying)


async def test_a_cancelled_reading_leaves_nothing(tmp_path, gone, until):
    file = tmp_path / "pid"
    reading = asyncio.ensure_future(run(shell(f"echo $$ > {file}; sleep 60"), seconds=30))
    await until(lambda: file.exists() and file.read_text().strip())
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await gone(int(file.read_text()))


async def test_thirty_runs_leave_no_open_files():
    await run(shell("true"), seconds=60)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(30):
        await run(shell("echo x"), seconds=60)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
