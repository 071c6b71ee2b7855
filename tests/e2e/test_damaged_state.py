"""A state file with real damage: the centre says so in one line that names the command which restores, and ends."""

import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from parts import daemon, free_port, listens

from server.cli.main import main

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(300)]

PAGE = 4096


def house(folder):
    (folder / "services.toml").write_text('[[agency]]\nid = "kominfo"\nname = "Dinas Kominfo"\n')
    port = free_port()
    (folder / "server.toml").write_text(f'[server]\nlisten = "127.0.0.1:{port}"\ndata = "data"\n')
    return port


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A data folder with some history: many invitations, in many pages, all of them checkpointed."""
    folder = tmp_path_factory.mktemp("lived")
    house(folder)
    assert main(["enrol", "new", "--settings", str(folder / "server.toml")]) == 0
    with closing(sqlite3.connect(folder / "data/state.db")) as state:
        row = "INSERT INTO invitation (token_hash, author, hosts_left, created_ms, expires_ms) VALUES (?, 'sari', 0, 1, 1)"
        state.executemany(row, [(f"{number:064d}",) for number in range(5000)])
        state.commit()
        state.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (folder / "data/store").mkdir(mode=0o700)
    return folder


@pytest.fixture
def damaged(lived, tmp_path):
    """Copy it; ``damaged.file`` is the state, ``damaged.start()`` runs the centre until it ends."""

    class House:
        folder = tmp_path / "copy"
        file = folder / "data/state.db"

        @classmethod
        def command(cls, *words):
            return [sys.executable, "-m", "server.cli.main", *words, "--settings", "server.toml"]

        @classmethod
        def start(cls, *words):
            run = subprocess.run(
                cls.command(*words or ["server"]),
                cwd=cls.folder,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            return run.returncode, run.stdout + run.stderr

        @classmethod
        def overwrite(cls, at, count):
            with cls.file.open("r+b") as file:
                file.seek(at)
                file.write(random.Random(7).randbytes(count))

    shutil.copytree(lived, House.folder)
    House.port = house(House.folder)
    return House


def is_told(damaged, code, told):
    assert (code, told.count("\n"), "Traceback" in told) == (2, 1, False)
    assert told.startswith("pantau: ")
    assert "data/state.db is damaged (" in told
    assert told.endswith("; to restore: mv data data.damaged && pantau restore --from BACKUP\n")
    return True


@pytest.mark.parametrize(
    ("at", "count"),
    [(0, 16), (0, PAGE), (PAGE, PAGE), (20 * PAGE + 3, 200), (60 * PAGE, 3 * PAGE)],
    ids=["magic", "header", "schema", "middle of a page", "middle pages"],
)
def test_overwritten_bytes_are_told_in_one_line(damaged, at, count):
    assert damaged.file.stat().st_size > at + count
    damaged.overwrite(at, count)
    assert is_told(damaged, *damaged.start())


def test_a_file_that_is_cut_off_or_empty_is_told_in_one_line(damaged):
    whole = damaged.file.read_bytes()
    damaged.file.write_bytes(whole[: len(whole) // 2])
    assert is_told(damaged, *damaged.start())
    damaged.file.write_bytes(b"")
    assert is_told(damaged, *damaged.start())


def test_other_commands_tell_it_as_well(damaged):
    damaged.overwrite(0, PAGE)
    assert is_told(damaged, *damaged.start("enrol", "list"))
    assert is_told(damaged, *damaged.start("user", "list"))


def test_the_restored_state_runs_again(damaged, tmp_path):
    code, told = damaged.start("backup", "--to", str(tmp_path / "saved"))
    assert code == 0, told
    damaged.overwrite(0, PAGE)
    assert is_told(damaged, *damaged.start())
    # what the line says, word for word
    (damaged.folder / "data").rename(damaged.folder / "data.damaged")
    code, told = damaged.start("restore", "--from", str(tmp_path / "saved"))
    assert code == 0, told
    assert (damaged.folder / "data").stat().st_mode & 0o777 == 0o700
    with daemon(damaged.command("server"), port=damaged.port, log=tmp_path / "log", cwd=damaged.folder):
        assert listens(damaged.port)


def test_a_log_of_garbage_beside_a_sound_file_costs_nothing(damaged, tmp_path):
    damaged.file.with_name("state.db-wal").write_bytes(random.Random(7).randbytes(50_000))
    with daemon(damaged.command("server"), port=damaged.port, log=tmp_path / "log", cwd=damaged.folder):
        assert listens(damaged.port)
    assert "Traceback" not in (tmp_path / "log").read_text()
