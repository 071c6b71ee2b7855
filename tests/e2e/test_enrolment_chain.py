"""Enrolment with real processes: a host joins and writes, its clone is refused and told of, then mended."""

import contextlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from parts import daemon, free_port, require, wait_for

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.may_block]

AGENT = """
[agent]
state_dir = "state"
interval = "1s"
host = "{host}"
[output]
url = "{url}"
interval = "1s"
token = {{ file = "agent.token" }}
[spool]
min_free = "1KB"
[collectors.mem]
"""


class House:
    """A centre and what is asked of it on the command line."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir()
        (folder / "services.toml").write_text('[[agency]]\nid = "kominfo"\nname = "Dinas Kominfo"\n')
        (folder / "server.toml").write_text(f'[server]\nlisten = "127.0.0.1:{self.port}"\ndata = "data"\n')

    def pantau(self, *words):
        command = [sys.executable, "-m", "server.cli.main", *words, "--settings", "server.toml"]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True, timeout=120).stdout

    def invite(self):
        return self.pantau("enrol", "new").split()[-1]

    def query(self, text):
        db = sqlite3.connect(f"file:{self.folder}/data/state.db?mode=ro", uri=True)
        try:
            return db.execute(text).fetchall()
        finally:
            db.close()

    def running(self):
        command = [sys.executable, "-m", "server.cli.main", "server", "--settings", self.folder / "server.toml"]
        return daemon(command, port=self.port, log=self.folder / "server.log")


class Machine:
    """A machine with an agent's files; ``other`` is the machine-id of a machine that is not this one."""

    def __init__(self, folder, house, name, other=""):
        self.folder, self.house, self.other = folder, house, other
        folder.mkdir()
        self.file = folder / "agent.toml"
        self.call(name)

    def call(self, name):
        self.file.write_text(AGENT.format(host=name, url=self.house.url))

    def command(self, *words):
        own = [sys.executable, "-m", "agent.cli", *words, "--settings", str(self.file)]
        if not self.other:
            return own
        etc = self.folder / "etc"
        if (
            not etc.exists()
        ):  # one with the files of this one, since a bare machine has no machine-id to put another over
            etc.mkdir()
            for file in Path("/etc").iterdir():
                if file.is_file() and file.stat().st_mode & stat.S_IROTH:
                    shutil.copyfile(file, etc / file.name)
        (etc / "machine-id").write_text(f"{self.other}\n")
        script = f'mount --bind {etc} /etc && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", *own]

    def agent(self, *words):
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=120, check=False)

    @contextmanager
    def running(self):
        with daemon(self.command(), log=self.folder / "agent.log"):
            yield self

    def log(self):
        return (self.folder / "agent.log").read_text()

    def tally(self):
        with contextlib.closing(sqlite3.connect(f"file:{self.folder}/state/spool.db?mode=ro", uri=True)) as db:
            return db.execute("SELECT collected, delivered, dropped FROM tally").fetchone()


@pytest.fixture
def house(tmp_path):
    found = House(tmp_path / "centre")
    with found.running():
        yield found


def test_a_host_joins_and_writes_and_only_as_itself(house, tmp_path):
    machine = Machine(tmp_path / "a", house, "srv-1")
    assert "joined as srv-1" in machine.agent("join", house.invite()).stdout
    with machine.running():
        wait_for(lambda: house.query("SELECT name FROM host") == [("srv-1",)], 20, "points")
    machine.call("srv-2")
    ended = machine.agent("--once")
    assert ended.returncode == 1
    assert "this token writes points of host 'srv-1' only, not of host 'srv-2'" in ended.stderr
    house.pantau("enrol", "revoke", "srv-1")
    machine.call("srv-1")
    wait_for(lambda: "401" in machine.agent("--once").stderr, 15, "the end of the token")
    assert "menolak token" in machine.agent("doctor").stdout


def test_a_clone_is_refused_told_of_and_mended(house, tmp_path):
    require("unshare", "util-linux")
    if os.geteuid() != 0:
        pytest.skip("a machine-id of its own needs root and a mount namespace: run the tests as root")
    first = Machine(tmp_path / "a", house, "srv-1")
    first.agent("join", house.invite())
    clone = Machine(tmp_path / "b", house, "srv-1", other="c" * 32)
    (clone.folder / "agent.token").write_text((first.folder / "agent.token").read_text())
    (clone.folder / "agent.token").chmod(0o600)
    with first.running(), clone.running():
        wait_for(lambda: "belongs to another machine, which joined as srv-1" in clone.log(), 20, "the refusal")
        incident = "SELECT reason, detail FROM incident WHERE check_id = 'pantau/clones' AND subject = 'host/srv-1' AND closed_ms IS NULL"
        wait_for(lambda: house.query(incident), 30, "the incident")
        assert house.query(incident)[0][0] == "clone"
        wait_for(lambda: first.tally()[1] > 0, 15, "points of the first")
        collected, delivered, dropped = clone.tally()
        assert (collected > 0, delivered, dropped) == (True, 0, 0)
    assert "another machine at 127.0.0.1 was refused" in house.pantau("enrol", "list")
    told = clone.agent("doctor", "--lang", "en").stdout
    assert "the centre refuses this machine (HTTP 403)" in told
    assert f"pantau-agent join --settings {clone.file} --renew" in told
    clone.call("srv-1-copy")
    assert "joined as srv-1-copy" in clone.agent("join", house.invite(), "--renew").stdout
    with clone.running():
        wait_for(lambda: ("srv-1-copy",) in house.query("SELECT name FROM host"), 20, "points of the mended clone")


def test_the_successor_of_a_machine_is_accepted_at_the_centre(house, tmp_path):
    require("unshare", "util-linux")
    if os.geteuid() != 0:
        pytest.skip("a machine-id of its own needs root and a mount namespace: run the tests as root")
    machine = Machine(tmp_path / "a", house, "srv-1")
    machine.agent("join", house.invite())
    machine.other = "d" * 32
    assert "403" in machine.agent("--once").stderr
    assert "srv-1 is now the machine at 127.0.0.1" in house.pantau("enrol", "accept", "srv-1")
    wait_for(lambda: machine.agent("--once").returncode == 0, 15, "the acceptance")
    detail = house.query("SELECT actor, action, subject FROM audit WHERE action LIKE 'enrol.%' ORDER BY id")
    assert [action for _, action, _ in detail] == ["enrol.new", "enrol.join", "enrol.accept"]
    assert json.dumps(detail).count("host/srv-1") == 2
