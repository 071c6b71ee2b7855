"""The centre in this process: what happens between its parts when settings change."""

import socket
import subprocess
import sys
from importlib.metadata import version

import pytest
from aiohttp import ClientSession
from parts import free_port, wait_until
from sqlalchemy import select

from alerts.tables import audit, incident, state
from configs.clock import wall_ms
from server.app import running
from server.settings import read
from server.state.database import Database
from server.state.tables import monitor_run
from server.web.context import WEB
from server.web.routes import ROUTES
from server.web.security import MACHINES

SERVER = """
[server]
listen = "127.0.0.1:{port}"
data = "data"

[[check]]
id = "portal-http"
service = "portal"
interval = "2s"
timeout = "1s"
confirm = 1
"""

SERVICES = """
[[agency]]
id = "diskominfo"
name = "Dinas Kominfo"

[[service]]
id = "portal"
name = "Portal"
agency = "diskominfo"
url = "http://127.0.0.1:{closed}/"
"""


@pytest.fixture
def settings(tmp_path):
    def make(*, with_check):
        server = SERVER.format(port=free_port())
        services = SERVICES.format(closed=free_port())
        if not with_check:
            server, services = server.partition("[[check]]")[0], services.partition("[[service]]")[0]
        (tmp_path / "server.toml").write_text(server)
        (tmp_path / "services.toml").write_text(services)
        return read(tmp_path / "server.toml")

    return make


def rows(made, table):
    database = Database(made.state_url)
    try:
        with database.engine.connect() as connection:
            return connection.execute(select(table)).mappings().all()
    finally:
        database.close()


@pytest.mark.may_block
async def test_a_check_that_left_the_settings_is_retired_and_its_incident_closed_without_a_word_of_recovery(settings):
    before = settings(with_check=True)
    async with running(before):
        await wait_until(lambda: rows(before, incident), 10, "the incident")
    (opened,) = rows(before, incident)
    assert (opened["check_id"], opened["closed_ms"]) == ("portal-http", None)
    after = settings(with_check=False)
    async with running(after):
        pass
    (closed,) = rows(after, incident)
    assert closed["close_reason"] == "retired"
    assert "portal-http" not in {row["check_id"] for row in rows(after, state)}
    assert ("settings", "subject.retire") in {(row["actor"], row["action"]) for row in rows(after, audit)}


@pytest.mark.may_block
async def test_a_schedule_that_cannot_keep_up_opens_an_incident_of_its_own_and_is_written_to_the_store(
    tmp_path,
):
    server = SERVER.format(port=free_port()) + '\n[schedule]\ntotal = 1\nlate = "100ms"\n'
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        more = '[[check]]\nid = "again-{}"\nservice = "portal"\ninterval = "2s"\ntimeout = "1s"\n'
        (tmp_path / "server.toml").write_text(server + "".join(more.format(number) for number in range(4)))
        (tmp_path / "services.toml").write_text(SERVICES.replace("http://127.0.0.1:{closed}/", url))
        made = read(tmp_path / "server.toml", own_interval=0.5)
        async with running(made) as app:
            await wait_until(lambda: [row for row in rows(made, incident) if row["check_id"] == "pantau/schedule"], 15)
            store = app[WEB].parts.store
            await wait_until(lambda: store.latest("internal_schedule", ["late_ms"], since=0, where={"type": "http"}))
    (opened,) = [row for row in rows(made, incident) if row["check_id"] == "pantau/schedule"]
    assert (opened["status"], opened["reason"], opened["severity"]) == ("degraded", "late", "high")


@pytest.mark.may_block
async def test_a_stop_is_a_last_sign_of_life_so_that_nothing_before_it_counts_as_unobserved(settings):
    made = settings(with_check=False)
    async with running(made):
        await wait_until(lambda: any(row["beat_ms"] > row["start_ms"] for row in rows(made, monitor_run)), 10, "a beat")
        asked = wall_ms()
    (run,) = rows(made, monitor_run)
    assert asked <= run["beat_ms"] <= wall_ms()


@pytest.mark.may_block
async def test_every_address_of_the_centre_is_a_page_of_the_table_or_one_for_programs(settings):
    async with running(settings(with_check=False)) as app:
        others = {route.resource.canonical for route in app.router.routes()} - {
            route.definition().path.replace(":.+", "") for route in ROUTES
        }
    assert {path for path in others if not path.startswith(MACHINES)} == set()
    assert others >= {"/api/v2/write", "/write", "/ping"}


@pytest.mark.may_block
async def test_each_answer_to_a_write_tells_the_version_of_the_centre_and_no_page_does(settings):
    made = settings(with_check=False)
    async with running(made), ClientSession("http://{}:{}".format(*made.listen)) as client:
        for path, told in (("/api/v2/write", version("pantau")), ("/write", version("pantau")), ("/status", None)):
            async with client.request("GET" if told is None else "POST", path) as answer:
                assert answer.headers.get("X-Pantau-Version") == told


def test_a_centre_on_the_embedded_store_loads_nothing_of_an_influxdb():
    """Its client takes a quarter of a second at each start, in which nobody looks."""
    script = "import sys, server.app, server.store.embedded.store; print('influxdb_client' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
