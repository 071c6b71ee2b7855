"""The centre in this process: what happens between its parts when settings change."""

import pytest
from parts import free_port, wait_until
from sqlalchemy import select

from alerts.tables import audit, incident, state
from server.app import running
from server.settings import read
from server.state.database import Database

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
