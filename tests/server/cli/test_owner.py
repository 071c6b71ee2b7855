"""Commands act as the owner of the data folder, whoever types them. Real users need root, so without it this is skipped."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import parts
import pytest

from configs.read import SettingsError
from server import settings
from server.cli import owner

SERVICE, OTHER = 64123, 64124
ROOT = Path(__file__).parents[3]
READABLE = {
    "PYTHONPATH": os.pathsep.join([str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]),
    "PYTHONDONTWRITEBYTECODE": "1",
}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away and be other users")


class Machine:
    """Settings and data as an installation has them: settings of root, data of the service's user."""

    def __init__(self, folder, python):
        self.folder = folder
        self.python = python
        self.environment = {
            **os.environ,
            **READABLE,
            "PANTAU_SETTINGS": str(folder / "etc/server.toml"),
            "LOGNAME": "budi",
        }
        self.data = folder / "var/pantau"
        self.file = folder / "etc/server.toml"
        for each in (folder / "etc", folder / "var"):
            each.mkdir()
        (folder / "etc/services.toml").touch()
        self.settings()

    def settings(self, more="", data=""):
        self.file.write_text(f'[server]\nlisten = "127.0.0.1:9"\ndata = "{data or self.data}"\n{more}')

    def own_data(self):
        self.data.mkdir(mode=0o700)
        os.chown(self.data, SERVICE, SERVICE)

    def run(self, *words, user=None):
        become = [parts.require("setpriv", "util-linux"), f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        command = [*(become if user else ()), self.python, "-m", "server.cli.main", *words]
        typed = "kata-sandi-1\n"
        return subprocess.run(
            command, capture_output=True, text=True, env=self.environment, cwd=self.folder, input=typed
        )

    def python_does(self, script):
        command = [self.python, "-c", script]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, cwd=self.folder)

    def owners(self):
        return {entry.stat().st_uid for entry in [self.data, *self.data.rglob("*")]}


@pytest.fixture(scope="module")
def python_of_everybody():
    """Return this Python, or the system's of the same version where this one stands in a closed folder."""
    become = [parts.require("setpriv", "util-linux"), f"--reuid={SERVICE}", f"--regid={SERVICE}", "--clear-groups"]
    system = f"/usr/bin/python3.{sys.version_info.minor}"
    for python, library in ((sys.executable, os.__file__), (system, system)):
        parts_of_it = [[*become, "test", "-r", library], [*become, python, "-c", "import server.cli.owner"]]
        environment = {**os.environ, **READABLE}
        if not any(
            subprocess.run(each, cwd="/", env=environment, capture_output=True).returncode for each in parts_of_it
        ):
            return python
    pytest.skip(f"other users cannot read this Python, {sys.base_prefix}: chmod a+rX, or apt-get install python3")


@pytest.fixture
def machine(python_of_everybody):
    folder = Path(tempfile.mkdtemp(prefix="pantau-owner-"))  # pytest's own folders are closed to other users
    folder.chmod(0o755)
    yield Machine(folder, python_of_everybody)
    shutil.rmtree(folder)


ADD = ("user", "add", "siti", "--role", "admin", "--password-stdin")


def test_root_leaves_no_file_of_its_own(machine):
    machine.own_data()
    for words in (ADD, ("enrol", "new"), ("host", "list"), ("store", "check")):
        done = machine.run(*words)
        assert (done.returncode, done.stderr) == (0, "")
    assert machine.owners() == {SERVICE}
    assert machine.run("user", "list", user=SERVICE).stdout == "siti                     admin\n"


def test_the_audit_says_who_typed_it(machine):
    machine.own_data()
    machine.run(*ADD)
    script = f"import sqlite3; print(sqlite3.connect('{machine.data}/state.db').execute('select actor from audit').fetchall())"
    done = machine.python_does(script)
    assert done.stdout == "[('cli:budi',)]\n"


def test_another_user_is_told_the_line_to_type(machine):
    machine.own_data()
    done = machine.run("host", "forget", "srv 1", user=OTHER)
    told = f"pantau: {machine.data} belongs to user {SERVICE}: run it as that user: sudo -u '#{SERVICE}' pantau host forget 'srv 1'\n"
    assert (done.returncode, done.stderr) == (2, told)


def test_the_owner_has_its_name_in_the_line_to_type(machine):
    machine.data.mkdir()
    nobody = pwd.getpwnam("nobody")
    os.chown(machine.data, nobody.pw_uid, nobody.pw_gid)
    assert "run it as that user: sudo -u nobody pantau user list\n" in machine.run("user", "list", user=OTHER).stderr


def test_root_gives_the_line_that_makes_a_missing_data_folder(machine):
    done = machine.run("user", "list")
    assert (done.returncode, machine.data.exists()) == (2, False)
    assert done.stderr.startswith(
        f"pantau: there is no {machine.data} yet, and root must not own it: install -d -m 700 -o "
    )


def test_root_works_in_a_folder_of_its_own(machine):
    machine.settings(data="data")
    machine.data = machine.folder / "etc/data"
    assert machine.run(*ADD).returncode == 0
    assert machine.owners() == {0}


def test_data_that_are_to_be_in_somebody_s_folder_become_theirs(machine):
    os.chown(machine.folder / "etc", SERVICE, SERVICE)
    machine.settings(data="data")
    machine.data = machine.folder / "etc/data"
    assert machine.run(*ADD).returncode == 0
    assert machine.owners() == {SERVICE}


def test_a_report_is_written_where_root_may_write(machine):
    machine.own_data()
    machine.run(*ADD)
    target = machine.folder / "etc/report.json"
    done = machine.run("report", "--format", "json", "--output", str(target))
    assert (done.returncode, done.stderr, target.stat().st_uid) == (0, "", 0)
    assert target.read_text().startswith("{")
    assert machine.owners() == {SERVICE}


def test_a_report_that_cannot_be_made_leaves_an_older_one_as_it_was(machine):
    machine.own_data()
    target = machine.folder / "etc/report.json"
    target.write_text("older")
    assert machine.run("report", "--format", "json", "--output", str(target)).returncode == 2
    assert target.read_text() == "older"


def test_a_secret_that_only_root_can_read_is_read_before(machine):
    machine.own_data()
    secret = machine.folder / "etc/token"
    secret.write_text("made-up-1")
    secret.chmod(0o600)
    machine.settings('[ingest]\ntokens = [{ name = "a", token = { file = "token" } }]\n')
    script = f"""if True:
        import os, pathlib
        from server.cli import owner
        known = owner.read(pathlib.Path({str(machine.file)!r}))
        print(os.getresuid(), os.getresgid(), os.getgroups())
        print(known.ingest.tokens[0].token.reveal())
    """
    done = machine.python_does(script)
    three = (SERVICE,) * 3
    assert done.stdout == f"{three} {three} [{SERVICE}]\nmade-up-1\n", done.stderr


def test_a_centre_that_root_starts_runs_as_the_owner(machine):
    machine.own_data()
    port = parts.free_port()
    machine.file.write_text(machine.file.read_text().replace(":9", f":{port}"))
    command = [machine.python, "-m", "server.cli.main", "server"]
    with parts.daemon(command, port=port, log=machine.folder / "log", env=machine.environment) as process:
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert f"Uid:\t{SERVICE}\t{SERVICE}\t{SERVICE}\t{SERVICE}\n" in status
        assert machine.run("host", "forget", "srv-1").stderr == "pantau: no host 'srv-1' is known\n"
    assert machine.owners() == {SERVICE}


def test_a_program_that_the_owner_cannot_read_is_told(machine, monkeypatch):
    machine.own_data()
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(owner, "become", lambda *_: None)
    with pytest.raises(
        SettingsError, match=f"who cannot read this program: it needs {ROOT}/server/cli, where everybody may read"
    ):
        owner.become_owner(settings.read(machine.file), machine.file)
