"""The centre in this process on a machine whose clock is set forward and back, and which sleeps: nothing flips, nothing stands still."""

import asyncio
import socket
import time
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession
from msgspec.structs import replace
from parts import free_port, wait_until
from sqlalchemy import select

from alerts.tables import flip, state
from configs.clock import Clock
from server.app import running
from server.outside import real
from server.settings import read
from server.state.database import Database
from server.state.tables import monitor_run
from server.web.context import WEB

TOKEN = "made-up"
CHECKS = {"portal-tcp", "rule/silent", "rule/warm"}
SERVER = """
[server]
listen = "127.0.0.1:{port}"
data = "data"

[ingest]
tokens = [{{ name = "agent", token = {{ file = "token" }} }}]

[[check]]
id = "portal-tcp"
service = "portal"
type = "tcp"
host = "127.0.0.1"
port = {target}
interval = "1s"
timeout = "900ms"
confirm = 2

[[rule]]
id = "silent"
type = "absence"
window = "2m"
interval = "1s"

[[rule]]
id = "warm"
measurement = "room"
field = "celsius"
above = 30
for = "5m"
interval = "1s"
"""
SERVICES = """
[[agency]]
id = "kominfo"
name = "Dinas Kominfo"

[[service]]
id = "portal"
name = "Portal"
agency = "kominfo"
"""


class Machine:
    """The clocks of a machine that was set by ``stepped`` seconds and ``slept`` so many."""

    def __init__(self):
        self.stepped = self.slept = 0.0

    def monotonic(self):
        return time.monotonic() + self.slept

    def wall(self):
        return round((time.time() + self.slept + self.stepped) * 1000)


@asynccontextmanager
async def writing(settings, machine):
    """Write how warm it is, each half second, as a host does."""
    address = "http://{}:{}".format(*settings.listen)

    async def write():
        async with ClientSession(headers={"Authorization": f"Token {TOKEN}"}) as client:
            while True:
                body = f"room,host=srv-uji celsius=40 {machine.wall()}000000"
                async with client.post(f"{address}/api/v2/write?org=pantau&bucket=pantau", data=body):
                    pass
                await asyncio.sleep(0.5)

    task = asyncio.create_task(write())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def rows(settings, table):
    database = Database(settings.state_url)
    try:
        with database.engine.connect() as connection:
            return connection.execute(select(table)).mappings().all()
    finally:
        database.close()


@pytest.mark.may_block
async def test_nothing_flips_when_the_clock_is_set_or_the_machine_sleeps_and_looks_go_on(tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=50) as portal:
        (tmp_path / "server.toml").write_text(SERVER.format(port=free_port(), target=portal.getsockname()[1]))
        (tmp_path / "services.toml").write_text(SERVICES)
        (tmp_path / "token").write_text(TOKEN)
        settings, machine = read(tmp_path / "server.toml"), Machine()
        outside = replace(real(), clock=Clock(machine.wall, machine.monotonic))
        async with running(settings, outside=outside) as app, writing(settings, machine):

            def looks_since(moment):
                watched = [row for row in rows(settings, state) if row["check_id"] in CHECKS]
                now = machine.wall()
                return len(watched) == len(CHECKS) and all(moment < row["last_at_ms"] <= now for row in watched)

            await wait_until(lambda: looks_since(0), 20, "a look by each check")
            for stepped, slept in ((600, 0), (-1200, 0), (0, 36_000), (3600, 0)):
                machine.stepped += stepped
                machine.slept += slept
                moment = machine.wall()
                await wait_until(lambda moment=moment: looks_since(moment + 2500), 20, f"looks after {stepped, slept}")
            causes = [stretch.cause for stretch in await app[WEB].unobserved.latest(9)]
        now = machine.wall()
    assert causes == ["asleep or set forward", "stopped", "set back", "asleep or set forward"]
    flips = [row["to_status"] for row in rows(settings, flip) if row["check_id"] in CHECKS]
    assert flips == ["up", "up"]  # it was not warm for five minutes that anybody lived through
    runs = rows(settings, monitor_run)
    assert len(runs) == 5
    assert all(row["start_ms"] <= row["beat_ms"] <= now for row in runs)
