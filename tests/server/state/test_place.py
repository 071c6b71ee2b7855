"""Where state is kept: URLs that are taken, passwords that are read late and shown never."""

import builtins

import pytest
from postgresql import Server
from sqlalchemy import text

from alerts.tables import StateAway
from configs.read import SettingsError
from configs.secret import Secret
from server.settings import read
from server.state.database import Database
from server.state.place import Place


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("postgresql://pantau@db.kota.example/pantau", "postgresql+psycopg://pantau@db.kota.example/pantau"),
        ("postgres://pantau@db/pantau?sslmode=require", "postgresql+psycopg://pantau@db/pantau?sslmode=require"),
        ("postgresql+psycopg:///pantau", "postgresql+psycopg:///pantau"),
        ("sqlite:////srv/pantau/state.db", "sqlite:////srv/pantau/state.db"),
    ],
)
def test_these_urls_are_taken(given, url):
    assert Place.parse(given).url == url


@pytest.mark.parametrize(
    "given",
    [
        "postgresql+asyncpg://a:rahasia@b/c",
        "mysql://a:rahasia@b/c",
        "rahasia",
        "sqlite://",
        "postgresql://a:rahasia@b",
        "postgresql://a:rahasia@b:x/c",
    ],
)
def test_others_are_refused_without_their_password(given):
    with pytest.raises(ValueError, match="expected sqlite:///PATH or postgresql://USER@HOST/DATABASE") as refused:
        Place.parse(given)
    assert "a:rahasia" not in str(refused.value)


@pytest.mark.parametrize("given", ["sqlite:///state.db", "postgresql://a:b@c/d"])
def test_a_second_password_is_refused(given):
    with pytest.raises(ValueError, match="takes no second password"):
        Place.parse(given, Secret("env", "X"))


def test_a_password_in_a_url_is_not_shown():
    place = Place.parse("postgresql://pantau:rahasia@db/pantau")
    assert "rahasia" not in f"{place} {place!r}"


def test_settings_say_where_a_bad_url_stands(tmp_path):
    (tmp_path / "services.toml").touch()
    (tmp_path / "server.toml").write_text('[server]\nlisten = "127.0.0.1:1"\nstate = "mysql://a:rahasia@b/c"\n')
    with pytest.raises(SettingsError, match=r"^server.toml:3: 'state' in \[server\]: expected sqlite") as refused:
        read(tmp_path / "server.toml")
    assert "rahasia" not in str(refused.value)


def test_a_missing_driver_is_told_with_what_installs_it(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "psycopg":
            raise ImportError("no pq wrapper available")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match=r"pip install 'psycopg\[binary\]', which is in the extra 'postgres'"):
        Database("postgresql://pantau@127.0.0.1/pantau")


@pytest.mark.real
@pytest.mark.timeout(240)
@pytest.mark.may_block
async def test_a_password_is_read_for_each_new_connection(tmp_path):
    server, file = Server("pertama"), tmp_path / "password"
    file.write_text("pertama\n")
    with server.running():
        server.make("pantau")
        place = Place.parse(f"postgresql://pantau@127.0.0.1:{server.port}/pantau", Secret("file", str(file)))
        database = Database(place)
        try:
            one = text("SELECT 1")
            assert await database.read(lambda tx: tx.execute(one).scalar()) == 1
            server.run("ALTER USER pantau PASSWORD 'kedua'")
            server.password = "kedua"
            assert await database.read(lambda tx: tx.execute(one).scalar()) == 1  # who is in stays in
            server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'pantau'")
            with pytest.raises(StateAway, match="password authentication failed") as refused:
                await database.read(lambda tx: tx.execute(one).scalar())
            assert "pertama" not in str(refused.value)
            file.write_text("kedua\n")
            assert await database.read(lambda tx: tx.execute(one).scalar()) == 1
        finally:
            database.close()
