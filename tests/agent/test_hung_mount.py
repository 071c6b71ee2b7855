"""A file server that is gone: a real FUSE file system that takes the question and never answers, so that not even SIGKILL ends it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from parts import require, wait_for

pytestmark = pytest.mark.real

COLLECTORS = """
[collectors.counter]
type = 'mine:Counter'
[collectors.disk]
timeout = '300ms'
ignore_fs = ['tmpfs', 'proc', 'sysfs', 'cgroup2', 'devpts']
"""


class Files:
    """The file server; ``stop`` lets it answer no more, ``go`` answers what is left over too."""

    def __init__(self, folder):
        self.mount = folder / "files"
        self.mount.mkdir()
        self._control = folder / "answers"
        self.go()
        command = [sys.executable, Path(__file__).with_name("fuse.py"), self.mount, self._control]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.ready = self.process.stdout.readline() == "ready\n"

    def go(self):
        self._control.touch()

    def stop(self):
        self._control.unlink()

    def end(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture
def files(tmp_path):
    if os.geteuid() or not Path("/dev/fuse").exists():
        pytest.skip(
            "a mount that hangs needs root and /dev/fuse (modprobe fuse); tests/collectors/host/test_disk.py simulates it"
        )
    found = Files(tmp_path)
    if not found.ready:
        found.end()
        pytest.skip("a mount that hangs needs the right to mount: run the container with --cap-add SYS_ADMIN")
    yield found
    found.end()


@pytest.fixture
def beside(agent, files):
    """The agent on the same mounts; gives its process."""
    agent.write(collectors=COLLECTORS)
    nsenter = require("nsenter", "util-linux")
    agent.prefix = [nsenter, "--mount", "--target", str(files.process.pid), f"--wd={agent.folder}"]
    return agent


def told(centre, start, *parts):
    return [line for line in centre.lines[start:] if all(part in line for part in parts)]


def hung(agent):
    """How many processes and threads of the agent wait for the file system."""
    waiting = 0
    for task in Path("/proc").glob("[0-9]*/task/[0-9]*"):
        with contextlib.suppress(OSError):
            status = (task / "stat").read_text().rpartition(")")[2].split()
            mine = task.parts[2] == str(agent.process.pid) or status[1] == str(agent.process.pid)
            waiting += mine and "request_wait_answer" in (task / "wchan").read_text()
    return waiting


def test_a_mount_that_hangs_costs_one_child_and_no_cadence_and_comes_back_by_itself(beside, files, centre):
    mount = str(files.mount).encode()
    beside.start()
    wait_for(lambda: told(centre, 0, b"disk,", b"fstype=fuse.sshfs", mount), 10, "the mount's fill level")
    files.stop()
    wait_for(lambda: told(centre, 0, b"pantau_mount,", mount, b"stuck=1i"), 10, "word of the hanging mount")
    start, began = len(centre.lines), time.monotonic()
    wait_for(
        lambda: len(told(centre, start, b"disk,", b"path=/ ") or told(centre, start, b"disk,", b"path=/")) >= 10,
        10,
        "the others",
    )
    turns = (time.monotonic() - began) / 0.2
    assert len(told(centre, start, b"counter,")) > turns * 0.5
    assert hung(beside) == 1
    files.go()
    wait_for(lambda: told(centre, start, b"pantau_mount,", mount, b"stuck=0i"), 10, "word of its return")
    wait_for(lambda: told(centre, start, b"disk,", mount), 10, "its fill level")
    wait_for(lambda: hung(beside) == 0, 10, "the end of every wait")  # a question that is answered waits a moment, too
    assert beside.end()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_agent_ends_though_the_mount_hangs(beside, files, centre, number):
    beside.start()
    wait_for(lambda: told(centre, 0, b"disk,", str(files.mount).encode()), 10, "the mount's fill level")
    files.stop()
    wait_for(lambda: told(centre, 0, b"stuck=1i"), 10, "word of the hanging mount")
    code, took = beside.end(number)
    assert code == (0 if number == signal.SIGTERM else -number)
    assert took < 5


def test_settings_that_are_read_again_and_again_do_not_ask_it_again(beside, files, centre):
    beside.start()
    wait_for(lambda: told(centre, 0, b"disk,", str(files.mount).encode()), 10, "the mount's fill level")
    files.stop()
    wait_for(lambda: told(centre, 0, b"stuck=1i"), 10, "word of the hanging mount")
    for _ in range(5):
        beside.process.send_signal(signal.SIGHUP)
        count = len(told(centre, 0, b"stuck=1i"))
        wait_for(lambda before=count: len(told(centre, 0, b"stuck=1i")) > before + 1, 10, "word of the hanging mount")
    assert beside.log.read_text().count("collectors, to") > 3
    assert hung(beside) == 1
    beside.end()


def test_an_agent_that_starts_beside_a_hanging_mount_collects_the_rest(beside, files, centre):
    files.stop()
    beside.start()
    wait_for(lambda: told(centre, 0, b"stuck=1i"), 10, "word of the hanging mount")
    wait_for(lambda: len(told(centre, 0, b"counter,")) >= 5, 10, "the other collector")
    beside.end()
