"""Databases of state: SQLite, and PostgreSQL where it is installed."""

import os
import pwd
import subprocess
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from parts import daemon, free_port, wait_for
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from server.state.database import Database


@contextmanager
def postgresql(folder):
    """Run a fresh PostgreSQL on 127.0.0.1; yields its URL without the database's name."""
    pytest.importorskip("psycopg", reason="psycopg is missing: uv pip install 'psycopg[binary]'")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("PostgreSQL is missing: apt-get install postgresql")
    port, user, switch = free_port(), {}, []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        owner = pwd.getpwnam("nobody")
        for place in (folder, *folder.parents):
            if place.owner() == "root" and place.stat().st_mode & 0o777 == 0o700:
                place.chmod(0o755)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        switch = ["setpriv", "--reuid=nobody", f"--regid={owner.pw_gid}", "--clear-groups"]
    data = folder / "data"
    make = [found[-1].with_name("initdb"), "-D", data, "-U", "pantau", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(make, check=True, capture_output=True, cwd=folder, **user)
    command = [*switch, found[-1], "-D", data, "-p", port, "-k", folder, "-h", "127.0.0.1", "-F"]
    with daemon(command, port=port, log=folder.with_suffix(".log")):
        url = f"postgresql+psycopg://pantau@127.0.0.1:{port}"
        wait_for(lambda: answers(url), 20, "PostgreSQL's start")  # it listens before it lets anybody in
        yield url


def answers(url):
    engine = create_engine(f"{url}/postgres")
    try:
        with engine.connect():
            return True
    except OperationalError:
        return False
    finally:
        engine.dispose()


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory):
    """A function that makes an empty database in PostgreSQL and returns its URL."""
    numbers = count()
    with postgresql(tmp_path_factory.mktemp("postgresql")) as url:

        def make():
            name = f"state{next(numbers)}"
            engine = create_engine(f"{url}/postgres", isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {name}")
            engine.dispose()
            return f"{url}/{name}"

        yield make


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.real, pytest.mark.timeout(240)])])
def database(request, tmp_path):
    """An empty database of each kind."""
    here = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'state.db'}" if here else request.getfixturevalue("postgresql_url")()
    database = Database(url)
    yield database
    database.close()
