"""The database of points is killed under a running centre: nothing is lost, one incident, no flood, and the page says so."""

import asyncio
import contextlib
import signal
import sqlite3
import time

import aiohttp
import pytest
from aiohttp import CookieJar
from parts import free_port, influxdb1, wait_until

from server.app import running
from server.settings import read
from server.state.database import Database
from server.state.migrate import upgrade
from server.store.influx.store import Influx
from server.store.spooled import Options, Retry, SpooledInflux
from server.web import accounts
from server.web.accounts import Passwords

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.may_block]

S = 10**9
HOSTS = ("a", "b", "c")
SERVER = """
[server]
listen = "127.0.0.1:{port}"
data = "data"
language = "en"
[store]
type = "influx"
url = "http://127.0.0.1:{influx}"
timeout = "5s"
[ingest]
tokens = [{{ name = "test", token = {{ file = "token" }} }}]
[[rule]]
id = "disk-full"
name = "Disk"
measurement = "disk"
field = "used_percent"
above = 90
interval = "1s"
window = "1m"
[[rule]]
id = "mem-full"
name = "Memory"
measurement = "mem"
field = "used_percent"
above = 90
interval = "1s"
window = "1m"
[[channel]]
name = "hook"
type = "webhook"
url = "{hook}"
[[contact]]
id = "piket"
channels = [{{ channel = "hook" }}]
"""


class City:
    """A centre in this process, hosts that write to it, and a real InfluxDB that comes and goes."""

    def __init__(self, folder, hook, *, own_interval=15.0):
        self.folder, self.port, self.influx = folder, free_port(), free_port()
        (folder / "token").write_text("made-up")
        (folder / "services.toml").touch()
        text = SERVER.format(port=self.port, influx=self.influx, hook=hook.url)
        (folder / "server.toml").write_text(text)
        self.settings = read(folder / "server.toml", own_interval=own_interval)
        self.base = f"http://127.0.0.1:{self.port}"
        self.acknowledged = 0
        self.last = 0
        self.statuses = []

    def add_user(self):
        self.settings.data.mkdir()
        with contextlib.closing(Database(self.settings.state_url)) as database:
            upgrade(database.engine)
            with database.engine.begin() as tx:
                accounts.add(
                    tx, name="sari", password=Passwords().make("rahasia-sekali"), role="operator", at=0, by="test"
                )

    @contextlib.asynccontextmanager
    async def database(self):
        held = influxdb1(self.folder / "influx", port=self.influx)
        await asyncio.to_thread(held.__enter__)
        try:
            yield
        finally:
            await asyncio.to_thread(held.__exit__, None, None, None)

    async def write_on(self, session):
        """Write a point of each host every tenth of a second, as agents do; a refusal is tried again."""
        while True:
            at = time.time_ns()
            lines = "\n".join(
                f"{name},host={host} used_percent=50,n=1i {at}" for name in ("disk", "mem") for host in HOSTS
            )
            headers = {"Authorization": "Token made-up"}
            address = f"{self.base}/api/v2/write?org=pantau&bucket=pantau"
            async with session.post(address, data=lines, headers=headers) as answer:
                self.statuses.append(answer.status)
            if answer.status == 204:
                self.acknowledged, self.last = self.acknowledged + 1, at
            await asyncio.sleep(0.1)

    def rows(self, statement):
        with contextlib.closing(sqlite3.connect(self.folder / "data/state.db")) as database:
            return database.execute(statement).fetchall()

    def of_rules(self, column):
        return {row[0] for row in self.rows(f"SELECT {column} FROM state WHERE check_id LIKE 'rule/%'")}


async def log_in(city, session):
    async with session.get(f"{city.base}/login"):
        form = next(cookie.value for cookie in session.cookie_jar if cookie.key == "form")
    answer = {"name": "sari", "password": "rahasia-sekali", "csrf": form, "next": "/"}
    async with session.post(f"{city.base}/login", data=answer) as welcome:
        assert welcome.status == 200


async def front(city, session):
    async with session.get(f"{city.base}/") as answer:
        return await answer.text()


class SpooledSoon(SpooledInflux):
    """Comes back within a second when its database does."""

    def __init__(self, options: Options, folder):
        super().__init__(options, folder, retry=Retry(1.0, 1.0))


@pytest.mark.timeout(300)
async def test_a_killed_database_is_one_incident_and_loses_nothing(tmp_path, hook, monkeypatch):
    monkeypatch.setattr("server.store.spooled.SpooledInflux", SpooledSoon)
    city = City(tmp_path, hook, own_interval=1.0)
    await asyncio.to_thread(city.add_user)
    first = city.database()
    await first.__aenter__()
    async with running(city.settings), aiohttp.ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        await log_in(city, session)
        writing = asyncio.create_task(city.write_on(session))
        # both rules know all hosts
        await wait_until(
            lambda: len(city.rows("SELECT 1 FROM state WHERE check_id LIKE 'rule/%'")) == 6, 20, "the rules"
        )
        assert "The store is in trouble" not in await front(city, session)

        await kill(city)
        await first.__aexit__(None, None, None)
        await wait_until(lambda: city.rows("SELECT 1 FROM incident"), 20, "the incident")
        await wait_until(lambda: city.of_rules("last_status") == {"unknown"}, 20, "blind rules")
        assert city.of_rules("status") == {"up"}
        assert city.of_rules("last_reason") == {"store_unreadable"}

        async def told():
            return "points wait on disk to be written" in await front(city, session)

        await wait_until(told, 10, "the page")
        assert "The store is in trouble: " in await front(city, session)
        async with session.get(f"{city.base}/health") as answer:
            assert (answer.status, (await answer.json())["message"]) == (
                200,
                "the database is away, writes wait on disk",
            )
        await asyncio.sleep(3)  # so long that a flood would have come

        async with city.database():
            await wait_until(lambda: city.rows("SELECT 1 FROM incident WHERE closed_ms IS NOT NULL"), 30, "the end")
            await wait_until(lambda: city.of_rules("last_status") == {"up"}, 20, "rules that see")
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            assert "The store is in trouble" not in await front(city, session)
            await wait_until(lambda: len(hook.posts) > 1, 20, "the closing message")
            await compare(city)
    assert set(city.statuses) == {204}
    assert city.rows("SELECT check_id, subject FROM incident") == [("pantau/store", "pantau/store")]
    assert hook.kinds() == ["problem", "recovery"]


async def kill(city):
    import psutil

    # asked this way, a process that ends meanwhile has no command line instead of raising
    running = psutil.process_iter(["cmdline"])
    (database,) = [one for one in running if str(city.folder / "influx") in " ".join(one.info["cmdline"] or ())]
    database.send_signal(signal.SIGKILL)


async def compare(city):
    """Every write that was acknowledged is in the database."""
    store = Influx(city.settings.buckets().main.options, city.folder)
    counted = await store.counts("", 0, city.last + 1)
    await store.close()
    for name in ("disk", "mem"):
        assert counted[name, "n"] == counted[name, "used_percent"] == city.acknowledged * len(HOSTS)
