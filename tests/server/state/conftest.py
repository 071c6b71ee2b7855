"""Databases of state: SQLite, and PostgreSQL where it is installed."""

from itertools import count

import pytest
from postgresql import Server

from server.state.database import Database


@pytest.fixture(scope="session")
def postgresql_server():
    server = Server()
    with server.running():
        yield server


@pytest.fixture(scope="session")
def postgresql_url(postgresql_server):
    """A function that makes an empty database in PostgreSQL and returns its URL."""
    numbers = count()
    return lambda: postgresql_server.make(f"state{next(numbers)}")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.real, pytest.mark.timeout(240)])])
def database(request, tmp_path):
    """An empty database of each kind."""
    here = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'state.db'}" if here else request.getfixturevalue("postgresql_url")()
    database = Database(url)
    yield database
    database.close()
