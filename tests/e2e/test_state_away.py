"""PostgreSQL, which holds the state, is stopped under a running centre: nothing seen is lost, one incident, no flood, honest pages."""

import asyncio
import contextlib
import html
import logging
import os
import socket
import time

import aiohttp
import pytest
from aiohttp import CookieJar
from parts import free_port, wait_until
from postgresql import Server
from sqlalchemy import select

from alerts.tables import incident
from server.app import running
from server.settings import read
from server.state.database import Database
from server.state.migrate import upgrade
from server.state.tables import span
from server.watching.observer import Observer
from server.web import accounts
from server.web.accounts import Passwords

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.may_block]

AWAY = float(os.environ.get("PANTAU_TEST_STATE_AWAY", "8"))  # seconds; 60 by hand
SERVER = """
[server]
listen = "127.0.0.1:{port}"
data = "data"
language = "en"
state = "postgresql://pantau@127.0.0.1:{postgresql}/pantau"
state_password = {{ file = "state-password" }}
[ingest]
tokens = [{{ name = "test", token = {{ file = "token" }} }}]
[[check]]
id = "web-tcp"
service = "web"
type = "tcp"
host = "127.0.0.1"
port = {web}
interval = "1s"
timeout = "900ms"
confirm = 1
[[check]]
id = "calm-tcp"
service = "calm"
type = "tcp"
host = "127.0.0.1"
port = {calm}
interval = "1s"
timeout = "900ms"
confirm = 1
[[rule]]
id = "disk-full"
name = "Disk"
measurement = "disk"
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
SERVICES = """
[[agency]]
id = "dinas"
name = "Dinas"
[[service]]
id = "web"
name = "Web"
agency = "dinas"
public = true
[[service]]
id = "calm"
name = "Calm"
agency = "dinas"
"""


class Listener:
    """A port that can be shut and opened again."""

    def __init__(self):
        self.port = free_port()
        self.open()

    def open(self):
        self.socket = socket.create_server(("127.0.0.1", self.port), backlog=200)

    def close(self):
        self.socket.close()


class City:
    """A centre in this process whose state is in a real PostgreSQL that comes and goes."""

    def __init__(self, folder, hook):
        self.server = Server(password="rahasia-basis-data")
        self.port, self.web, self.calm = free_port(), Listener(), Listener()
        (folder / "token").write_text("made-up")
        (folder / "state-password").write_text("rahasia-basis-data\n")
        text = SERVER.format(
            port=self.port, postgresql=self.server.port, hook=hook.url, web=self.web.port, calm=self.calm.port
        )
        (folder / "server.toml").write_text(text)
        (folder / "services.toml").write_text(SERVICES)
        self.settings = read(folder / "server.toml", own_interval=1.0)
        self.base = f"http://127.0.0.1:{self.port}"
        self.statuses = []

    def close(self):
        self.web.close()
        self.calm.close()

    @contextlib.asynccontextmanager
    async def database(self):
        held = self.server.running()
        await asyncio.to_thread(held.__enter__)
        try:
            yield
        finally:
            await asyncio.to_thread(held.__exit__, None, None, None)

    def prepare(self):
        self.server.make("pantau")
        with contextlib.closing(Database(self.settings.state)) as database:
            upgrade(database.engine)
            with database.engine.begin() as tx:
                accounts.add(
                    tx, name="sari", password=Passwords().make("rahasia-sekali"), role="operator", at=0, by="test"
                )

    async def rows(self, query):
        def ask():
            with contextlib.closing(Database(self.settings.state)) as database, database.engine.connect() as tx:
                return tx.execute(query).mappings().all()

        return await asyncio.to_thread(ask)

    async def write_on(self, session):
        """Write a point ten times a second."""
        while True:
            headers = {"Authorization": "Token made-up"}
            address = f"{self.base}/api/v2/write?org=pantau&bucket=pantau"
            line = f"disk,host=a used_percent=50 {time.time_ns()}"
            async with session.post(address, data=line, headers=headers) as answer:
                self.statuses.append(answer.status)
            await asyncio.sleep(0.1)

    async def page(self, session, path):
        async with session.get(f"{self.base}{path}") as answer:
            return answer.status, html.unescape(await answer.text())

    async def log_in(self, session):
        async with session.get(f"{self.base}/login"):
            form = next(cookie.value for cookie in session.cookie_jar if cookie.key == "form")
        answer = {"name": "sari", "password": "rahasia-sekali", "csrf": form, "next": "/"}
        async with session.post(f"{self.base}/login", data=answer) as welcome:
            assert welcome.status == 200


def lies_in(seen, spans):
    """Return whether the ledger says of a look's instant what the look saw."""
    return any(
        one["check_id"] == seen.check
        and one["subject"] == seen.subject
        and one["status"] == seen.status.value
        and one["start_ms"] <= seen.at <= one["last_ms"]
        for one in spans
    )


@pytest.mark.timeout(600)
async def test_a_postgresql_that_stops_costs_no_look_and_is_one_incident(tmp_path, hook, monkeypatch, caplog, request):
    caplog.set_level(logging.INFO, "pantau")
    looks, observe = [], Observer.observe

    async def noted(self, results, steady, schedule):
        looks.extend(results)
        await observe(self, results, steady, schedule)

    monkeypatch.setattr(Observer, "observe", noted)
    city = City(tmp_path, hook)
    request.addfinalizer(city.close)
    first = city.database()
    await first.__aenter__()
    await asyncio.to_thread(city.prepare)
    async with running(city.settings), aiohttp.ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        await city.log_in(session)
        writing = asyncio.create_task(city.write_on(session))
        for path in ("/", "/status"):
            assert (await city.page(session, path))[0] == 200
        await wait_until(lambda: {"web-tcp", "calm-tcp"} <= {one.check for one in looks}, 20, "looks")

        stopped = time.time_ns() // 1_000_000
        await asyncio.to_thread(city.server.stop_at_once)
        await first.__aexit__(None, None, None)

        async def unwell():
            return (await city.page(session, "/health"))[0] == 503

        await wait_until(unwell, 20, "an honest health")
        city.web.close()
        assert '"status": "fail"' in (await city.page(session, "/health"))[1]
        status, text = await city.page(session, "/")
        assert (status, "Pantau's database cannot be reached" in text, "Calm" in text) == (200, True, True)
        async with aiohttp.ClientSession() as stranger:
            status, text = await city.page(stranger, "/status")
            assert (status, "what you see is what was known last" in text) == (200, True)
            status, text = await city.page(stranger, "/login")
            assert status == 200
        status, text = await city.page(session, "/incidents")
        assert (status, "Monitoring goes on, and what it sees is recorded" in text) == (503, True)
        await asyncio.sleep(AWAY)
        city.web.open()
        await wait_until(lambda: looks[-1].at > stopped + AWAY * 1000 + 2000, 20, "more looks")

        async with city.database():
            started = time.time_ns() // 1_000_000

            async def over():
                found = [one for one in await city.rows(select(incident)) if one["closed_ms"] is not None]
                return {one["check_id"] for one in found} >= {"pantau/state", "web-tcp"}

            await wait_until(over, 60, "the incidents")
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            assert (await city.page(session, "/health"))[0] == 200
            assert "what you see is what was known last" not in (await city.page(session, "/incidents"))[1]
            last = looks[-1].at

            async def not_in_the_ledger():
                spans = await city.rows(select(span))
                return [
                    (one.check, one.subject, one.at, one.status)
                    for one in looks
                    # a look at the schedule that was in trouble once is told as what was believed
                    if one.at <= last and one.check != "pantau/schedule" and not lies_in(one, spans)
                ]

            async def whole():
                return not await not_in_the_ledger()

            with contextlib.suppress(pytest.fail.Exception):
                await wait_until(whole, 10, "the ledger")
            missing = await not_in_the_ledger()
            assert missing == [], [
                dict(one) for one in await city.rows(select(span)) if one["check_id"] == missing[0][0]
            ]
            await wait_until(lambda: len(hook.posts) >= 2, 30, "messages")
            found = {one["check_id"]: one for one in await city.rows(select(incident))}
    assert set(found) == {"pantau/state", "web-tcp"}
    assert found["pantau/state"]["reason"] == "state_away"
    assert stopped - 1000 <= found["pantau/state"]["opened_ms"] <= stopped + 20_000
    assert found["pantau/state"]["closed_ms"] >= started - 1000
    assert stopped <= found["web-tcp"]["opened_ms"] <= found["web-tcp"]["closed_ms"] <= started + 5000
    assert set(city.statuses) == {204}
    told = [record for record in caplog.records if record.name.startswith("pantau")]
    assert [record.getMessage() for record in told if record.exc_info] == []
    ends = [record.getMessage() for record in told if "the database of state is back" in record.getMessage()]
    assert len(ends) == 1
    assert sum("the database of state is away" in record.getMessage() for record in told) <= 2
    assert "rahasia-basis-data" not in caplog.text
