"""What a command cannot do anything about is one line and the right exit code, never a traceback."""

import os
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import parts
import pytest

from server.cli.main import main


@pytest.fixture
def centre(tmp_path, monkeypatch):
    """A centre that has a user; returns what is written as more settings of [server]."""
    port = parts.free_port()

    def settings(more=""):
        (tmp_path / "server.toml").write_text(f'[server]\nlisten = "127.0.0.1:{port}"\ndata = "data"\n{more}')

    settings()
    (tmp_path / "services.toml").touch()
    monkeypatch.chdir(tmp_path)
    settings.port = port
    return settings


@pytest.fixture
def state(centre, tmp_path):
    assert main(["enrol", "new"]) == 0
    return tmp_path / "data/state.db"


def run(*words, before=(), **options):
    command = [*before, sys.executable, "-m", "server.cli.main", *words]
    done = subprocess.run(command, capture_output=True, text=True, **{"input": "", **options})
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("pantau: ")
    return done.returncode, done.stderr


def in_a_mount(mount):
    """Return the words that mount something in a namespace of its own and run a command there; skip where that is not allowed."""
    unshare = [parts.require("unshare", "util-linux"), "--mount"]
    if (
        os.geteuid()
        or subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode
    ):
        pytest.skip("only root may mount: run the tests as root, with CAP_SYS_ADMIN")
    return [*unshare, "sh", "-c", f'{mount} && exec "$@"', "sh"]


def test_without_a_command_it_shows_how_it_is_used(capsys):
    assert main([]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("usage: pantau")
    assert "exit codes:\n  0  done" in shown.err


def test_a_password_that_nobody_can_type(centre):
    told = "there is no terminal to ask for the password: --password-stdin takes it from a pipe"
    assert run("user", "add", "siti", start_new_session=True) == (2, f"pantau: {told}\n")


def test_a_file_of_settings_that_is_named_and_missing(centre, capsys):
    assert main(["config", "check", "none.toml"]) == 2
    assert capsys.readouterr().err == "none.toml: No such file or directory\n"


def test_a_file_system_that_is_read_only(state):
    mount = in_a_mount(f"mount --bind {state.parent} {state.parent} && mount -o remount,bind,ro {state.parent}")
    code, told = run("enrol", "new", before=mount)
    assert (code, "attempt to write a readonly database" in told or "unable to open" in told) == (1, True)


def test_a_disk_that_is_full(state):
    mount = in_a_mount(f"cp -r {state.parent} /tmp/kept && mount -t tmpfs -o size=1m none {state.parent} && "
                       f"cp -a /tmp/kept/. {state.parent} && chmod 700 {state.parent} && rm -r /tmp/kept && "
                       f"(cat /dev/zero > {state.parent}/full 2>/dev/null || true)")  # fmt: skip
    code, told = run("user", "add", "siti", "--password-stdin", before=mount, input="kata-sandi-1\n")
    assert (code, "full" in told or "disk I/O" in told or "No space" in told) == (1, True), told


def test_a_database_that_somebody_else_holds(state):
    with closing(sqlite3.connect(state, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        code, told = run("enrol", "new")
    assert (code, told.endswith("database is locked\n")) == (1, True)


def test_a_database_that_is_away(centre):
    centre(f'state = "postgresql+psycopg://pantau@127.0.0.1:{parts.free_port()}/pantau"\n')
    code, told = run("enrol", "new")
    assert (code, "connection failed" in told or "refused" in told) == (1, True)


def test_an_address_of_a_database_that_is_none(centre):
    centre('state = "nonsense"\n')
    assert run("enrol", "list")[0] == 2


@pytest.mark.parametrize("listens", [True, False], ids=["a port that is taken", "an address of another machine"])
def test_where_it_cannot_listen(centre, tmp_path, listens):
    with socket.create_server(("127.0.0.1", centre.port)):
        if not listens:
            file = tmp_path / "server.toml"
            file.write_text(file.read_text().replace("127.0.0.1", "192.0.2.1"))
        code, told = run("server", "--log-level", "ERROR")
    why = "Address already in use" if listens else "Cannot assign requested address"
    assert (code, told) == (
        1,
        f"pantau: cannot listen on {'127.0.0.1' if listens else '192.0.2.1'}:{centre.port}: {why}\n",
    )


def test_a_service_that_cannot_start_says_so_at_once_and_is_not_started_again_at_once(centre, tmp_path):
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "nobody")}
    command = [sys.executable, "-m", "server.cli.main", "server", "--log-level", "ERROR"]
    with (
        socket.create_server(("127.0.0.1", centre.port)),
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as started,
    ):
        assert "Address already in use" in started.stderr.readline()
        said = time.monotonic()
        assert started.wait(60) == 1
        assert time.monotonic() - said > 2
        assert started.stderr.read() == ""


def test_data_in_a_file(centre, tmp_path):
    (tmp_path / "data").touch()
    code, told = run("enrol", "list")
    assert (code, told) == (2, "pantau: data: File exists\n")


def test_settings_that_are_a_folder(tmp_path):
    assert run("user", "list", "--settings", str(tmp_path)) == (2, f"pantau: {tmp_path}: Is a directory\n")


def test_settings_that_are_closed_to_us(centre, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("nothing is closed to root: run the tests as another user too")
    (tmp_path / "server.toml").chmod(0)
    assert run("user", "list", "--settings", "server.toml") == (2, "pantau: server.toml: Permission denied\n")


def test_output_that_nobody_can_take(state):
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "server.cli.main", "report"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "pantau: No space left on device\n")
