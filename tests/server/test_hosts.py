"""The list of hosts: who joined is always on it, who is gone can be forgotten, also while the centre runs."""

import asyncio

import pytest
from aiohttp import ClientSession
from parts import free_port, wait_until
from sqlalchemy import select

from alerts.tables import audit, incident, outbox, state
from collectors.result import Status
from server.app import running
from server.cli.main import main
from server.enrolment.fingerprints import HEADER
from server.enrolment.invitations import invite, revoke
from server.readmodel.overview import Overview
from server.settings import read
from server.state.database import Database
from server.state.tables import host
from server.web.context import WEB

SERVER = """
[server]
listen = "127.0.0.1:{port}"
data = "data"
[ingest]
tokens = [{{ name = "telegraf", token = {{ file = "token" }} }}]
hosts = 2
[[rule]]
id = "silent"
type = "absence"
window = "{window}"
interval = "1s"
[[channel]]
name = "hook"
type = "webhook"
url = "http://127.0.0.1:{closed}/"
[[contact]]
id = "sari"
channels = [{{ channel = "hook", to = "sari" }}]
"""
MACHINE = "aaaaaaaaaaaa 111111111111"


@pytest.fixture
def settings(tmp_path):
    def make(window="1s"):
        (tmp_path / "token").write_text("shared-token")
        (tmp_path / "server.toml").write_text(SERVER.format(port=free_port(), closed=free_port(), window=window))
        (tmp_path / "services.toml").write_text("")
        return read(tmp_path / "server.toml")

    return make


@pytest.fixture
def pantau(tmp_path, capsys):
    """Run a command on the same settings; return its exit code, what it said and what it complained of."""

    async def run(*words):
        code = await asyncio.to_thread(main, [*words, "--settings", str(tmp_path / "server.toml")])
        said = capsys.readouterr()
        return code, said.out.strip(), said.err.strip()

    return run


def table(made, which):
    database = Database(made.state_url)
    try:
        with database.engine.connect() as connection:
            return connection.execute(select(which)).mappings().all()
    finally:
        database.close()


async def write(made, body, token="shared-token"):
    headers = {"Authorization": f"Token {token}", HEADER: MACHINE}
    base = "http://{}:{}".format(*made.listen)
    async with ClientSession(base) as client, client.post("/write?db=pantau", data=body, headers=headers) as answer:
        return answer.status


async def join(app, made, name):
    parts = app[WEB].parts
    now = parts.clock()
    token = await parts.database.write(lambda tx: invite(tx, hosts=1, until=now + 60_000, by="sari", at=now))
    body = {"token": token, "host": name, "machine": MACHINE}
    async with (
        ClientSession("http://{}:{}".format(*made.listen)) as client,
        client.post("/api/pantau/join", json=body) as answer,
    ):
        return (await answer.json())["token"]


def pages(app) -> Overview:
    return app[WEB].overview


@pytest.mark.may_block
async def test_a_host_that_joined_has_its_page_before_it_writes_and_when_the_list_is_full(settings, pantau):
    made = settings(window="1h")
    async with running(made) as app:
        await write(made, b"m,host=pod-1 f=1\nm,host=pod-2 f=1\nm,host=pod-3 f=1")
        own = await join(app, made, "srv-1")
        row, _ = await pages(app).host("srv-1")
        assert (row.seen, row.address, row.now.status) == (None, "127.0.0.1", Status.UNKNOWN)
        code, said, _ = await pantau("host", "list")
        assert code == 0
        assert "srv-1" in said
        assert "never wrote  from 127.0.0.1  token of its own" in said
        assert await write(made, b"m,host=srv-1 f=1", own) == 204
        await wait_until(lambda: {row["name"] for row in table(made, host)} == {"pod-1", "pod-2", "srv-1"})
        row, _ = await pages(app).host("srv-1")
        assert row.seen is not None
        assert row.now.status is Status.UP
        code, _, complaint = await pantau("host", "forget", "srv-1")
        assert (code, complaint) == (2, "pantau: srv-1 has joined; end its token first: pantau enrol revoke srv-1")
        assert await write(made, b"m,host=srv-1 f=1", own) == 204
        assert await pages(app).host("srv-1")


@pytest.mark.may_block
async def test_a_host_that_is_gone_is_forgotten_while_the_centre_runs(settings, pantau):
    made = settings()
    async with running(made) as app:
        await write(made, b"m,host=pod-1 f=1")
        await wait_until(lambda: table(made, incident), 20, "the incident")
        await wait_until(lambda: table(made, host), 20, "the row")
        code, said, _ = await pantau("host", "forget", "pod-1")
        assert (code, said) == (0, "pod-1 is forgotten; incidents closed: 1")
        assert await pages(app).host("pod-1") is None
        await asyncio.sleep(3)  # some looks of the rule
        (closed,) = table(made, incident)
        assert closed["close_reason"] == "retired"
        assert not [row for row in table(made, state) if row["subject"].startswith("host/")]
        assert not table(made, host)
        assert "host.forget" in {row["action"] for row in table(made, audit)}
        code, _, complaint = await pantau("host", "forget", "pod-1", "pod-2")
        assert (code, complaint) == (2, "pantau: no host 'pod-1' is known\npantau: no host 'pod-2' is known")
        await write(made, b"m,host=pod-1 f=1")
        await wait_until(lambda: table(made, host), 20, "the row of the host that is back")


@pytest.mark.may_block
async def test_a_host_is_forgotten_without_a_centre_and_not_told_of_by_the_next_one(settings, pantau):
    made = settings()
    async with running(made):
        await write(made, b"m,host=pod-1 f=1")
        await wait_until(lambda: table(made, incident), 20, "the incident")
    assert (await pantau("host", "forget", "pod-1"))[:2] == (0, "pod-1 is forgotten; incidents closed: 1")
    assert (await pantau("host", "list"))[1] == "no host has written or joined yet"
    async with running(made):
        await asyncio.sleep(3)
    (closed,) = table(made, incident)
    assert closed["close_reason"] == "retired"
    assert [row["kind"] for row in table(made, outbox)].count("problem") == 1


@pytest.mark.may_block
async def test_a_host_whose_token_ended_can_be_forgotten(settings, pantau):
    made = settings(window="1h")
    async with running(made) as app:
        own = await join(app, made, "srv-1")
        assert await write(made, b"m,host=srv-1 f=1", own) == 204
        database = app[WEB].parts.database
        await database.write(lambda tx: revoke(tx, "srv-1", by="sari", at=app[WEB].parts.clock()))
        assert (await pantau("host", "forget", "srv-1"))[0] == 0
        assert await pages(app).host("srv-1") is None
