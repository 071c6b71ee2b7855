"""The whole chain with real processes: agent, centre, nginx, SMTP, webhook; an outage, a killed centre, the report."""

import asyncio
import contextlib
import datetime as dt
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from parts import daemon, free_port, influxdb1, nginx, wait_for

from server.settings import read
from server.store import Aggregate, Range

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(150), pytest.mark.may_block]

INTERVAL, RECHECK, CONFIRM = 2.0, 1.0, 2
CONFIRMATION = INTERVAL + RECHECK * (CONFIRM - 1) + 0.5  # the first failed look comes within one interval
SECOND = 1_000_000_000
TOKEN = "e2e-token"  # made up

SERVER = """
[server]
listen = "127.0.0.1:{port}"
data = "data"
title = "Kota Uji"

[store]
{store}

[ingest]
tokens = [{{ name = "agent", token = {{ file = "token" }} }}]

[[check]]
id = "portal-http"
service = "portal"
interval = "2s"
timeout = "1s"
confirm = 2
recheck = "1s"

[[rule]]
id = "host-silent"
name = "Agen tidak mengirim data"
type = "absence"
window = "1m"

[[channel]]
name = "mail"
type = "email"
host = "127.0.0.1"
port = {smtp}
security = "none"
from = "pantau@kota.example"

[[channel]]
name = "hook"
type = "webhook"
url = "{hook}"

[[contact]]
id = "piket"
channels = [{{ channel = "mail", to = "piket@kota.example" }}, {{ channel = "hook" }}]
"""

SERVICES = """
[[agency]]
id = "diskominfo"
name = "Dinas Kominfo"

[[service]]
id = "portal"
name = "Portal Kota"
agency = "diskominfo"
url = "http://127.0.0.1:{target}/"
criticality = 5
"""

AGENT = """
[agent]
interval = "1s"
host = "srv-uji"
state_dir = "agent"

[output]
url = "http://127.0.0.1:{port}"
org = "pantau"
bucket = "pantau"
token = {{ file = "token" }}
interval = "2s"

[collectors.mem]
[collectors.system]
"""

PAGE = "server {{ listen 127.0.0.1:{port}; location / {{ return 200 'selamat datang'; }} }}"


class Chain:
    """One installation in a folder, driven by its commands."""

    def __init__(self, folder, store, mailbox, hook):
        self.folder, self.port, self.target = folder, free_port(), free_port()
        folder.mkdir()
        (folder / "token").write_text(TOKEN)
        filled = {"port": self.port, "store": store, "smtp": mailbox.port, "hook": hook.url, "target": self.target}
        for name, text in {"server.toml": SERVER, "services.toml": SERVICES, "agent.toml": AGENT}.items():
            (folder / name).write_text(text.format(**filled))

    def centre(self):
        command = [sys.executable, "-m", "server.cli.main", "server", "--settings", self.folder / "server.toml"]
        return daemon(command, port=self.port, log=self.folder / "centre.log")

    def agent(self):
        command = [sys.executable, "-m", "agent.cli", "--settings", self.folder / "agent.toml"]
        return daemon(command, log=self.folder / "agent.log")

    def nginx(self):
        return nginx(self.folder / "nginx", PAGE.format(port=self.target), self.target)

    def pantau(self, *arguments):
        command = [sys.executable, "-m", "server.cli.main", *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log(self):
        return (self.folder / "centre.log").read_text()


@pytest.fixture(params=["embedded", "influxdb-1.6"])
def store_table(request, tmp_path):
    """The table [store] of the settings; it is all that changes between the two."""
    if request.param == "embedded":
        yield 'type = "embedded"'
        return
    with influxdb1(tmp_path / "influx") as url:
        yield f'type = "influx"\nurl = "{url}"\nbucket = "pantau"'


def flips(chain):
    """Changes of the portal's state: from, to, onset and confirmation in ms."""
    with contextlib.closing(sqlite3.connect(chain.folder / "data/state.db")) as db:
        asked = (
            "select from_status, to_status, at_ms, confirmed_ms from flip where check_id = 'portal-http' order by id"
        )
        return db.execute(asked).fetchall()


def is_up(chain):
    with contextlib.suppress(sqlite3.OperationalError):  # the centre has just begun to make its tables
        return flips(chain)[-1:] and flips(chain)[-1][1] == "up"


def stored_seconds(chain):
    """The whole seconds of which the store has a point of the agent, asked as the centre itself would ask."""

    async def ask():
        store = read(chain.folder / "server.toml").store()
        await store.open()
        try:
            now = time.time_ns()
            query = Range(
                "mem", "used_percent", now - 300 * SECOND, now, SECOND, Aggregate.COUNT, {"host": "srv-uji"}, ("host",)
            )
            (series,) = await store.range(query)
        finally:
            await store.close()
        return {time // SECOND for time, count in zip(series.times, series.values, strict=True) if count}

    return asyncio.run(ask())


def report_of(chain, start, end):
    moments = [dt.datetime.fromtimestamp(moment, dt.UTC).isoformat() for moment in (start, end)]
    text = chain.pantau("report", "--from", moments[0], "--to", moments[1], "--service", "portal", "--format", "json")
    return json.loads(text)


def test_an_outage_is_told_once_closed_once_and_reported_to_the_second_through_a_kill(
    tmp_path, store_table, mailbox, hook
):
    chain = Chain(tmp_path / "kota", store_table, mailbox, hook)
    with chain.agent():
        with chain.centre() as centre:
            with chain.nginx():
                wait_for(lambda: is_up(chain), 15, "the first good look")
                began = time.time()
                time.sleep(4)
            stopped = time.time()
            wait_for(lambda: mailbox.messages and hook.posts, CONFIRMATION + 2, "the problem message")
            time.sleep(1)
            killed = time.time()
            os.killpg(centre.pid, signal.SIGKILL)
            centre.wait()
        time.sleep(6)
        restarted = time.time()
        with chain.centre():
            time.sleep(5)
            assert (len(mailbox.messages), len(hook.posts)) == (1, 1), "told again after the restart"
            back = time.time()
            with chain.nginx():
                wait_for(lambda: len(mailbox.messages) > 1 and len(hook.posts) > 1, INTERVAL + 2, "the closing message")
                time.sleep(4)
                ended = time.time()
                time.sleep(5)
    assert mailbox.kinds() == hook.kinds() == ["problem", "recovery"]
    assert {message["To"] for _, message in mailbox.messages} == {"piket@kota.example"}
    down, up = [flip for flip in flips(chain) if "down" in flip[:2]]
    assert 0 <= down[2] / 1000 - stopped <= INTERVAL + 1, "onset is the first failed look"
    assert 0 <= up[2] / 1000 - back <= INTERVAL + 2, "the end is the first good look"
    check_report(report_of(chain, began, ended), down[2], up[2], killed, restarted)
    check_points(chain, began, ended)


def ms(moment):
    return round(dt.datetime.fromisoformat(moment).timestamp() * 1000)


def check_report(report, onset, recovery, killed, restarted):
    (service,) = report["services"]
    (outage,) = service["outages"]
    assert (ms(outage["start"]), ms(outage["end"]), outage["end_observed"]) == (onset, recovery, True)
    (away,) = service["unobserved"]  # the time without a centre
    assert killed * 1000 - 3500 <= ms(away[0]) <= killed * 1000
    assert restarted * 1000 <= ms(away[1]) <= restarted * 1000 + 5000
    figures = service["figures"]
    assert figures["unobserved_ms"] == ms(away[1]) - ms(away[0])
    assert figures["down_ms"] == recovery - onset - figures["unobserved_ms"], "unseen is not down"


def check_points(chain, began, ended):
    expected = set(range(int(began) + 1, int(ended)))
    assert expected - stored_seconds(chain) == set(), "every point of the agent arrived, through the kill"
