"""State in PostgreSQL: it is in the backup, and comes back into PostgreSQL or SQLite, whichever the settings say."""

import threading
from contextlib import closing

import pytest
from parts import wait_for
from state_rows import fill

from server.cli.main import main
from server.state.copy import compare
from server.state.database import Database
from server.state.migrate import upgrade
from server.state.tables import metadata, user

pytestmark = [pytest.mark.real, pytest.mark.timeout(300), pytest.mark.may_block]


@pytest.fixture
def filled(postgresql_url):
    """The URL of a PostgreSQL with rows in every table."""
    url = postgresql_url()
    with closing(Database(url)) as database:
        upgrade(database.engine)
        with database.engine.begin() as tx:
            fill(tx)
    return url


def settings(folder, name, url=""):
    (folder / "services.toml").write_text("")
    file = folder / f"{name}.toml"
    file.write_text(f'[server]\ndata = "{name}"\nstate = "{url}"\n')
    (folder / name).mkdir(mode=0o700, exist_ok=True)
    return str(file)


def same(one, other):
    with (
        closing(Database(one)) as first,
        closing(Database(other)) as second,
        first.engine.connect() as here,
        second.engine.connect() as there,
    ):
        return compare(here, there) == []


@pytest.mark.parametrize("name", ["copy.tar", "copy"])
def test_state_of_a_postgresql_comes_back_into_either_kind(filled, postgresql_url, tmp_path, name, capsys):
    made = str(tmp_path / name)
    assert main(("backup", "--settings", settings(tmp_path, "old", filled), "--to", made)) == 0
    assert "back it up" not in capsys.readouterr().out
    assert main(("restore", "--settings", settings(tmp_path, "file"), "--from", made)) == 0
    assert same(filled, f"sqlite:///{tmp_path / 'file' / 'state.db'}")
    empty = postgresql_url()
    assert main(("restore", "--settings", settings(tmp_path, "own", empty), "--from", made)) == 0
    assert same(filled, empty)
    assert not (tmp_path / "own" / "state.db").exists()
    with closing(Database(empty)) as database, database.engine.begin() as tx:
        row = {"name": "next", "password": "x", "role": "admin", "created_ms": 1, "disabled": False}
        assert tx.execute(user.insert().values(row)).inserted_primary_key  # numbered behind those that came
    assert main(("restore", "--drill", "--settings", settings(tmp_path, "old", filled), "--from", made)) == 0
    assert "users: 23" in capsys.readouterr().out


def test_a_database_that_holds_something_else_is_left_alone(filled, postgresql_url, tmp_path, capsys):
    made, other = str(tmp_path / "copy.tar"), postgresql_url()
    assert main(("backup", "--settings", settings(tmp_path, "old", filled), "--to", made)) == 0
    row = {"name": "sari", "password": "x", "role": "admin", "created_ms": 1, "disabled": False}
    with closing(Database(other)) as database:
        upgrade(database.engine)
        with database.engine.begin() as tx:
            tx.execute(user.insert().values(row))
    capsys.readouterr()
    assert main(("restore", "--settings", settings(tmp_path, "own", other), "--from", made)) == 1
    assert capsys.readouterr().err.startswith("pantau: cannot bring the state back into its database: the target holds")
    with closing(Database(other)) as database, database.engine.connect() as tx:
        counts = {table.name: len(tx.execute(table.select()).all()) for table in metadata.sorted_tables}
    assert {name for name, count in counts.items() if count} == {"user"}
    assert {path.name for path in (tmp_path / "own").iterdir()} == {"centre.lock"}


def test_a_database_that_is_away_is_one_line(tmp_path, capsys):
    away = settings(tmp_path, "old", "postgresql+psycopg://pantau@127.0.0.1:1/pantau")
    assert main(("backup", "--settings", away, "--to", str(tmp_path / "copy.tar"))) == 1
    told = capsys.readouterr().err
    assert (told.startswith("pantau: "), told.count("\n")) == (True, 1)
    assert not (tmp_path / "copy.tar").exists()
    assert not (tmp_path / "old" / "backup.scratch").exists()


def test_it_is_one_instant_of_a_postgresql_that_is_written_to(postgresql_url, tmp_path):
    url, done, written = postgresql_url(), threading.Event(), []

    def write():
        with closing(Database(url)) as database:
            upgrade(database.engine)
            while not done.is_set():
                with database.engine.begin() as tx:  # two rows, always together
                    for kind in ("odd", "even"):
                        row = {"password": "x", "role": "viewer", "created_ms": 1, "disabled": False}
                        tx.execute(user.insert().values(name=f"{kind}-{len(written)}", **row))
                written.append(1)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        wait_for(lambda: len(written) > 5, 30, "some rows")
        assert main(("backup", "--settings", settings(tmp_path, "old", url), "--to", str(tmp_path / "copy"))) == 0
    finally:
        done.set()
        writing.join()
    with closing(Database(f"sqlite:///{tmp_path / 'copy' / 'state.db'}")) as database, database.engine.connect() as tx:
        names = [row.name for row in tx.execute(user.select())]
    odd, even = ({name.partition("-")[2] for name in names if name.startswith(kind)} for kind in ("odd", "even"))
    assert odd == even
    assert len(odd) > 5
