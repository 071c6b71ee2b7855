"""A centre whose store has damaged files: it starts with what works and tells of the rest, or says in one line what restores."""

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing

import duckdb
import pytest
from parts import daemon, free_port, wait_for

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(300)]

INGEST = '[ingest]\ntokens = [{ name = "agent", token = { file = "token" } }]\n'


def now():
    """Return the time in ms: the centre refuses points of the future, and forgets those of the distant past."""
    return time.time_ns() // 1_000_000


class House:
    """A centre in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        folder.mkdir(exist_ok=True)
        (folder / "token").write_text("s3cret-token")
        (folder / "token").chmod(0o600)
        (folder / "services.toml").write_text('[[agency]]\nid = "kominfo"\nname = "Dinas Kominfo"\n')
        (folder / "server.toml").write_text(f'[server]\nlisten = "127.0.0.1:{self.port}"\ndata = "data"\n{INGEST}')
        self.points = folder / "data/store/points.duckdb"
        self.command = [sys.executable, "-m", "server.cli.main", "server", "--settings", "server.toml"]

    def running(self):
        return daemon(self.command, port=self.port, log=self.folder / "log", cwd=self.folder)

    def ask(self, path, body=None):
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body)
        asked.add_header("Authorization", "Token s3cret-token")
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return answer.status, answer.read().decode()

    def write(self, lines):
        return self.ask("/api/v2/write?org=pantau&bucket=pantau&precision=ms", lines.encode())[0]

    def incident(self):
        with closing(sqlite3.connect(f"file:{self.folder}/data/state.db?mode=ro", uri=True)) as state:
            found = "SELECT detail FROM incident WHERE check_id = 'pantau/store' AND closed_ms IS NULL"
            return state.execute(found).fetchall()


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A house whose store has 200,000 values."""
    house = House(tmp_path_factory.mktemp("lived"))
    with house.running():
        past = now() - 600_000
        for start in range(0, 200_000, 20_000):
            lines = (f"cpu,host=a usage={n % 97} {past + n}" for n in range(start, start + 20_000))
            assert house.write("\n".join(lines)) == 204
    return house.folder


@pytest.fixture
def house(lived, tmp_path):
    shutil.copytree(lived, tmp_path / "house")
    return House(tmp_path / "house")


def overwrite(file, at, count):
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(random.Random(7).randbytes(count))


def test_with_a_bad_block_it_starts_takes_points_and_tells_of_the_damage(house):
    with duckdb.connect(house.points, read_only=True) as database:
        segments = "SELECT max(block_id) FROM pragma_storage_info('float_points') WHERE persistent"
        (block,) = database.execute(segments).fetchone()
    overwrite(house.points, 12_288 + block * 262_144 + 1000, 5000)
    with house.running():
        status, told = house.ask("/health")
        told = json.loads(told)
        assert (status, told["status"]) == (200, "pass")
        assert told["message"] == "ready for queries and writes, but some stored points are damaged"
        assert house.write(f"cpu,host=a usage=1 {now()}") == 204
        wait_for(house.incident, 60, "the incident")
        ((detail,),) = house.incident()
        assert "1 damaged file is set aside in data/store/points.damaged, and points are missing" in detail
        assert "Traceback" not in (house.folder / "log").read_text()


@pytest.mark.parametrize("damage", [lambda file: overwrite(file, 0, 12_288), lambda file: file.write_bytes(b"")])
def test_with_a_file_that_cannot_be_used_it_ends_with_one_line_that_names_the_command(house, damage):
    damage(house.points)
    run = subprocess.run(house.command, cwd=house.folder, capture_output=True, text=True, timeout=120, check=False)
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    assert run.stderr.startswith("pantau: data/store/points.duckdb is damaged: ")
    assert run.stderr.endswith("; to restore: mv data data.damaged && pantau restore --from BACKUP\n")
