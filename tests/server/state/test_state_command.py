"""``pantau state``: the whole state into another database and back, and back to the one before an upgrade."""

import contextlib
import sqlite3
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from postgresql import Server
from sqlalchemy import delete, insert, select
from state_rows import fill

from alerts.tables import audit, incident
from configs.read import SettingsError
from server.cli import state
from server.cli.main import main
from server.state import before
from server.state.alone import alone
from server.state.copy import compare
from server.state.database import Database
from server.state.migrate import HEAD, upgrade
from server.state.opening import open_state
from server.state.place import Place
from server.state.tables import login, metadata, user

pytestmark = pytest.mark.timeout(240)

OLDER = Path(__file__).parents[2] / "cases/older_data/2026-11-30.tar.xz"
EACH = 40


class Folder:
    """A settings file with its data folder, and the command run on it."""

    def __init__(self, folder, capsys):
        self.settings, self.data, self.capsys = folder / "server.toml", folder / "data", capsys
        self.file = self.data / "state.db"
        self.data.mkdir(mode=0o700)
        (folder / "services.toml").touch()
        self.settings.write_text('[server]\ndata = "data"\n')

    def __call__(self, *arguments):
        code = main(["state", *arguments, "--settings", str(self.settings)])
        told = self.capsys.readouterr()
        return code, told.out, told.err

    @contextlib.contextmanager
    def open(self, url=""):
        with contextlib.closing(Database(url or f"sqlite:///{self.file}")) as database:
            upgrade(database.engine)
            with database.engine.connect() as connection:
                yield connection

    def fill(self):
        with self.open() as connection:
            fill(connection, EACH)
            connection.commit()


@pytest.fixture
def run(tmp_path, capsys):
    return Folder(tmp_path, capsys)


@pytest.fixture
def older(run):
    """The state that an older Pantau left."""
    with tarfile.open(OLDER) as packed:
        run.file.write_bytes(packed.extractfile("./data/state.db").read())
    return run


@pytest.mark.real
def test_it_goes_to_postgresql_and_back_and_compares_equal(older, postgresql_url, tmp_path):
    with older.open() as connection:
        counted = len(connection.execute(select(incident)).all())
    url, last = postgresql_url(), f"sqlite:///{tmp_path}/last.db"
    code, out, err = older("copy", "--to", url)
    assert (code, err) == (0, "")
    assert f"{'incident':<18} {counted:>12}" in out.splitlines()
    assert out.endswith(
        f'compares equal\nTo use it, in [server] of server.toml:\n    state = "{url.replace("+psycopg", "")}"\n'
    )
    assert older("copy", "--from", url, "--to", last)[0] == 0
    with older.open() as first, older.open(last) as again:
        assert compare(first, again) == []
    assert (tmp_path / "last.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.real
def test_every_table_goes_along_and_a_repeat_changes_nothing(run, postgresql_url, monkeypatch):
    monkeypatch.setattr("server.cli.state._ROWS", 7)
    run.fill()
    url = postgresql_url()
    first = run("copy", "--to", url)
    assert (first[0], first[2]) == (0, "")
    assert [line.split() for line in first[1].splitlines()[: len(metadata.tables)]] == [
        [table.name, str(EACH)] for table in metadata.sorted_tables
    ]
    assert run("copy", "--to", url) == first


def test_broken_off_it_goes_on(run, tmp_path, monkeypatch):
    monkeypatch.setattr("server.cli.state._ROWS", 7)
    run.fill()
    to, calls = f"sqlite:///{tmp_path}/other.db", []

    commit = state._Told.__call__

    def told(self, table, rows):
        commit(self, table, rows)
        calls.append((table, rows))
        if len(calls) == 11:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("server.cli.state._Told.__call__", told)
        assert run("copy", "--to", to)[0] == 130
    with run.open(to) as there:
        done = len(there.execute(select(metadata.sorted_tables[0])).all())
    assert done == EACH
    code, out, err = run("copy", "--to", to)
    assert (code, err, "compares equal" in out) == (0, "", True)


def test_a_target_that_has_something_else_is_refused(run, tmp_path):
    run.fill()
    to = f"sqlite:///{tmp_path}/other.db"
    with run.open(to) as there:
        there.execute(insert(login).values(name="lain", address="10.0.0.1", at_ms=7))
        there.commit()
    code, _, err = run("copy", "--to", to)
    assert (code, "the target holds something else: its login id=1" in err, err.count("\n")) == (1, True, 1)


def test_a_target_with_tables_of_another_program_is_left_alone(run, tmp_path):
    run.fill()
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute('CREATE TABLE "user" (x)')
    code, _, err = run("copy", "--to", f"sqlite:///{tmp_path}/other.db")
    assert (code, err) == (
        1,
        "pantau: the target holds something else: it has a table 'user' that no Pantau made\n",
    )


def test_beside_a_running_centre_it_is_refused(run, tmp_path):
    run.fill()
    with alone(run.data):
        code, _, err = run("copy", "--to", f"sqlite:///{tmp_path}/other.db")
    assert code == 2
    assert "another centre runs on" in err
    assert "stop it first" in err


@pytest.mark.real
def test_into_the_database_of_a_running_centre_it_is_refused(run, postgresql_url, tmp_path):
    run.fill()
    url = postgresql_url()
    with contextlib.closing(open_state(Place.parse(url), tmp_path, lambda _words: None)):
        code, _, err = run("copy", "--to", url)
    assert (code, "another centre runs on this database" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--to", "mysql://a:rahasia@b/c"], "expected sqlite:///PATH or postgresql://USER@HOST/DATABASE"),
        (["--to", "sqlite:///x.db", "--from", "sqlite:////nowhere/state.db"], "/nowhere/state.db: no such file"),
    ],
)
def test_bad_places_are_one_line(run, arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("copy", *arguments)
    assert (code, out, told in err, err.count("\n"), "rahasia" in err) == (2, "", True, 1, False)


@pytest.mark.real
def test_the_password_is_read_from_a_file_and_never_printed(run, tmp_path):
    server, file = Server("rahasia-sekali"), tmp_path / "password"
    file.write_text("rahasia-sekali\n")
    run.fill()
    with server.running():
        server.make("pantau")
        url = f"postgresql://pantau@127.0.0.1:{server.port}/pantau"
        code, out, err = run("copy", "--to", url)
        assert err.startswith("pantau: the database of state: ")
        assert (code, "no password supplied" in err, err.count("\n")) == (1, True, 1)
        code, out, err = run("copy", "--to", url, "--password-file", str(file))
    assert (code, err) == (0, "")
    assert f'state_password = {{ file = "{file}" }}' in out
    assert "rahasia" not in out


def schema_of(file):
    with contextlib.closing(sqlite3.connect(file)) as state:
        return state.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def test_an_older_state_is_copied_before_it_is_brought_forward_and_comes_back(older):
    was = schema_of(older.file)
    assert was != HEAD
    with older.open() as connection:
        connection.execute(insert(login).values(name="sari", address="10.0.0.1", at_ms=7))
        connection.commit()
    copy = older.file.with_name(f"state.db.before-{HEAD}")
    assert (schema_of(copy), schema_of(older.file)) == (was, HEAD)
    assert copy.stat().st_mode & 0o777 == 0o600

    code, out, err = older("back")
    aside = older.file.with_name(f"state.db.{HEAD}")
    assert (code, err) == (0, "")
    assert f"the newer state is kept in {aside}" in out
    assert "1 login" in out
    assert (schema_of(older.file), schema_of(aside)) == (was, HEAD)

    with older.open() as connection:
        assert connection.execute(select(login)).all() == []
    assert schema_of(older.file) == HEAD
    assert copy.exists()
    code, _, err = older("back")
    assert (code, "is in the way" in err) == (2, True)


def test_back_needs_a_copy_and_a_stopped_centre(run):
    run.fill()
    assert run("back")[::2] == (
        2,
        f"pantau: there is no copy from before a newer version: {run.file}.before-* (restore a backup instead)\n",
    )
    with alone(run.data):
        code, _, err = run("back")
    assert (code, "stop it first" in err) == (2, True)


def test_a_state_that_is_of_today_is_not_copied_and_needs_no_alembic(run, monkeypatch):
    run.fill()
    monkeypatch.setitem(sys.modules, "alembic", None)
    with run.open():
        pass
    assert list(run.data.glob("*before*")) == []


def test_the_last_two_copies_are_kept(run):
    run.fill()
    for number in range(5):
        before.keep(run.file, f"000{number}")
    assert sorted(one.name for one in run.data.glob("*before*")) == ["state.db.before-0003", "state.db.before-0004"]


def test_without_room_for_the_copy_nothing_is_touched(older, monkeypatch):
    was = older.file.read_bytes()
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=2**20))
    with (
        contextlib.closing(Database(f"sqlite:///{older.file}")) as database,
        pytest.raises(SettingsError, match=r"has 1 MB left of the \d+ MB that this needs"),
    ):
        upgrade(database.engine)
    assert older.file.read_bytes() == was


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def test_a_newer_state_is_refused_in_one_line_and_not_touched(run, kind, request):
    url = f"sqlite:///{run.file}" if kind == "sqlite" else request.getfixturevalue("postgresql_url")()
    run.settings.write_text(f'[server]\ndata = "data"\nstate = "{url}"\n')
    with run.open(url) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0099'")
        connection.exec_driver_sql("INSERT INTO monitor_run (id, start_ms, beat_ms, version) VALUES (1, 1, 1, '9.9.9')")
        connection.commit()
    assert main(["user", "list", "--settings", str(run.settings)]) == 2
    err = run.capsys.readouterr().err
    assert f"was written by a newer Pantau, 9.9.9, (schema 0099); this version knows up to {HEAD}" in err
    assert err.count("\n") == 1
    with contextlib.closing(Database(url)) as database, database.engine.connect() as connection:
        assert connection.execute(select(user)).all() == []
        connection.execute(delete(audit))
