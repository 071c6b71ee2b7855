"""The whole chain with real processes: agent, centre, nginx, SMTP, webhook; an outage, a killed centre, the report."""

import asyncio
import contextlib
import datetime as dt
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from parts import daemon, free_port, influxdb1, nginx, snmpd, wait_for

from server.settings import read
from server.store import Aggregate, Range

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.may_block]

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

[[snmp.device]]
id = "sw-uji"
name = "Switch Uji"
agency = "diskominfo"
address = "127.0.0.1"
port = {snmp}
community = {{ file = "token" }}
interval = "2s"
timeout = "700ms"
retries = 1

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

[[contact]]
id = "jaringan"
channels = [{{ channel = "mail", to = "jaringan@kota.example" }}]

[[route]]
contacts = ["piket"]
services = ["portal"]

[[route]]
contacts = ["jaringan"]
subjects = ["device/sw-uji"]
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

PAGE = """log_format moment $msec;
server {{ listen 127.0.0.1:{port}; access_log {log} moment; location / {{ return 200 'selamat datang'; }} }}"""


class Chain:
    """One installation in a folder, driven by its commands."""

    def __init__(self, folder, store, mailbox, hook):
        self.folder, self.port, self.target, self.snmp = folder, free_port(), free_port(), free_port(socket.SOCK_DGRAM)
        folder.mkdir()
        (folder / "token").write_text(TOKEN)
        filled = {
            "port": self.port,
            "store": store,
            "smtp": mailbox.port,
            "hook": hook.url,
            "target": self.target,
            "snmp": self.snmp,
        }
        for name, text in {"server.toml": SERVER, "services.toml": SERVICES, "agent.toml": AGENT}.items():
            (folder / name).write_text(text.format(**filled))

    def centre(self):
        command = [sys.executable, "-m", "server.cli.main", "server", "--settings", self.folder / "server.toml"]
        return daemon(command, port=self.port, log=self.folder / "centre.log")

    def agent(self):
        command = [sys.executable, "-m", "agent.cli", "--settings", self.folder / "agent.toml"]
        return daemon(command, log=self.folder / "agent.log")

    def nginx(self):
        page = PAGE.format(port=self.target, log=self.folder / "nginx/access.log")
        return nginx(self.folder / "nginx", page, self.target)

    def snmpd(self):
        return snmpd(self.folder / "snmpd", self.snmp, TOKEN)

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


def flips(chain, check="portal-http"):
    """Changes of state by one check: from, to, onset and confirmation in ms."""
    with contextlib.closing(sqlite3.connect(chain.folder / "data/state.db")) as db:
        asked = "select from_status, to_status, at_ms, confirmed_ms from flip where check_id = ? order by id"
        return db.execute(asked, [check]).fetchall()


def is_up(chain, check="portal-http"):
    with contextlib.suppress(sqlite3.OperationalError):  # the centre has just begun to make its tables
        return flips(chain, check)[-1:] and flips(chain, check)[-1][1] == "up"
    return False


def ask(chain, question):
    """Ask the store as the centre itself would; ``question`` takes the store and is awaited."""

    async def asked():
        store = read(chain.folder / "server.toml").buckets().main
        await store.open()
        try:
            return await question(store)
        finally:
            await store.close()

    return asyncio.run(asked())


def stored_seconds(chain):
    """The whole seconds of which the store has a point of the agent."""
    now = time.time_ns()
    query = Range(
        "mem", "used_percent", now - 300 * SECOND, now, SECOND, Aggregate.COUNT, {"host": "srv-uji"}, ("host",)
    )
    (series,) = ask(chain, lambda store: store.range(query))
    return {time // SECOND for time, count in zip(series.times, series.values, strict=True) if count}


def report_of(chain, start, end):
    moments = [dt.datetime.fromtimestamp(moment, dt.UTC).isoformat() for moment in (start, end)]
    text = chain.pantau("report", "--from", moments[0], "--to", moments[1], "--service", "portal", "--format", "json")
    return json.loads(text)


def mails_to(mailbox, address):
    return [message["X-Pantau-Kind"] for _, message in mailbox.messages if message["To"] == address]


def test_an_outage_is_told_once_closed_once_and_reported_to_the_second_through_a_kill(
    tmp_path, store_table, mailbox, hook
):
    chain = Chain(tmp_path / "kota", store_table, mailbox, hook)
    with chain.agent(), chain.snmpd():
        with chain.centre() as centre:
            with chain.nginx():
                wait_for(lambda: is_up(chain), 30, "the first good look")
                began, at_first = time.time(), machine_waited()
                time.sleep(4)
                stopping, before = time.time(), machine_waited()
            stopped = time.time()
            wait_for(lambda: mailbox.messages and hook.posts, 60, "the problem message")
            waited = machine_waited() - before
            wait_for(lambda: noted(chain), 10, "the note that both were sent")
            os.killpg(centre.pid, signal.SIGKILL)
            centre.wait()
            killed = time.time()
        last_beat = beats(chain)[-1][1]
        time.sleep(6)
        restarted = time.time()
        with chain.centre():
            running = time.time()
            time.sleep(5)
            assert (len(mailbox.messages), len(hook.posts)) == (1, 1), "told again after the restart"
            starting = time.time()
            with chain.nginx():
                wait_for(lambda: len(mailbox.messages) > 1 and len(hook.posts) > 1, 60, "the closing message")
                time.sleep(4)
                ended = time.time()
                wait_for(lambda: sent_until(chain, ended), 10, "the agent's last points")
                time.sleep(1)
    assert mailbox.kinds() == hook.kinds() == ["problem", "recovery"]
    assert mails_to(mailbox, "piket@kota.example") == ["problem", "recovery"]
    for told in (mailbox.messages[0][0], hook.posts[0][0]):
        assert told - stopped <= CONFIRMATION + 2 + waited, "the first message came late"
    down, up = [flip for flip in flips(chain) if "down" in flip[:2]]
    failed, good = looks(chain, began, ended)
    assert (down[2] // 1000, up[2] // 1000) == (failed, good), (
        "the flips stand at the first failed and the first good look"
    )
    assert stopping <= down[2] / 1000 <= stopped + INTERVAL + 1 + waited, "the onset is the first failed look"
    served = first_served(chain, starting)
    assert starting <= up[2] / 1000 <= served + 0.001, "the end is the first look that nginx answered"
    check_report(report_of(chain, began, ended), down[2], up[2], (killed, restarted), (last_beat, running))
    check_points(chain, began, ended, machine_waited() - at_first)


def noted(chain):
    """Whether the centre has noted of its messages that they were sent."""
    with contextlib.closing(sqlite3.connect(chain.folder / "data/state.db")) as db:
        return db.execute("select count(*), sum(status = 'sent') from outbox").fetchone() == (2, 2)


def sent_until(chain, moment):
    """Whether the agent has a later point in its spool than of a moment, or none at all, once it has gone on for a while."""
    with contextlib.closing(sqlite3.connect(chain.folder / "agent/spool.db")) as db:
        (oldest,) = db.execute("select min(made) from batch").fetchone()
    return time.time() > moment + 4 and (oldest is None or oldest > moment * 1000)


def machine_waited():
    """Seconds in which something on this machine waited for a processor: no fault of ours on a busy one; 0 if Linux does not tell."""
    with contextlib.suppress(OSError):
        some = Path("/proc/pressure/cpu").read_text().splitlines()[0]
        return int(some.rpartition("total=")[2]) / 1e6
    with contextlib.suppress(OSError):  # at least those in which it was this process
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    return 0.0


def beats(chain):
    """The centre's own running times in ms, oldest first: from, last sign of life."""
    with contextlib.closing(sqlite3.connect(chain.folder / "data/state.db")) as db:
        return db.execute("select start_ms, beat_ms from monitor_run order by id").fetchall()


def looks(chain, began, ended):
    """The seconds of the first failed look and of the first good one after it, as the points in the store have them."""
    frame = ("pantau_check", "up", int(began) * SECOND, int(ended) * SECOND, SECOND, Aggregate.LAST)
    query = Range(*frame, {"check": "portal-http"}, ("check",))
    (series,) = ask(chain, lambda store: store.range(query))
    seen = [(time // SECOND, up) for time, up in zip(series.times, series.values, strict=True)]
    failed = next(second for second, up in seen if not up)
    return failed, next(second for second, up in seen if up and second > failed)


def first_served(chain, since):
    """When nginx finished its first answer after a moment, by its own log."""
    lines = (chain.folder / "nginx/access.log").read_text().split()
    return next(moment for moment in map(float, lines) if moment >= since)


def ms(moment):
    return round(dt.datetime.fromisoformat(moment).timestamp() * 1000)


def check_report(report, onset, recovery, away, alive):
    (service,) = report["services"]
    (outage,) = service["outages"]
    assert (ms(outage["start"]), ms(outage["end"]), outage["end_observed"]) == (onset, recovery, True)
    unobserved = [(ms(start), ms(end)) for start, end in service["unobserved"]]
    killed, restarted = (round(moment * 1000) for moment in away)
    (gap,) = [(start, end) for start, end in unobserved if start <= killed and end >= restarted]
    last_beat, running = alive
    assert gap[0] == last_beat, "unobserved from the last sign of life on"
    assert restarted <= gap[1] <= running * 1000 + 10_000, "seen again soon after the start"
    figures = service["figures"]
    assert figures["unobserved_ms"] == sum(end - start for start, end in unobserved)
    hidden = sum(max(min(end, recovery) - max(start, onset), 0) for start, end in unobserved)
    assert figures["down_ms"] == recovery - onset - hidden, "unseen is not down"


def check_points(chain, began, ended, waited):
    missing = sorted(set(range(int(began) + 1, int(ended))) - stored_seconds(chain))
    assert len(missing) <= waited, f"points of the agent are lost: {missing}"
    # a turn that a busy machine made late may miss its second; a batch of the kill would be two in a row
    assert not any(second + 1 in missing for second in missing), f"points of the agent are lost: {missing}"
    with contextlib.closing(sqlite3.connect(chain.folder / "agent/spool.db")) as db:
        assert db.execute("select dropped, quarantined, rejected from tally").fetchone() == (0, 0, 0)


def test_messages_that_nobody_took_before_a_kill_are_told_once_after_it(tmp_path, mailbox, hook):
    chain = Chain(tmp_path / "kota", 'type = "embedded"', mailbox, hook)
    mailbox.busy = hook.busy = True
    with chain.snmpd():
        with chain.centre() as centre:
            with chain.nginx():
                wait_for(lambda: is_up(chain), 30, "the first good look")
            wait_for(lambda: mailbox.turned_away and hook.turned_away, 60, "the first try of the problem message")
            os.killpg(centre.pid, signal.SIGKILL)
            centre.wait()
        mailbox.busy = hook.busy = False
        with chain.centre():
            wait_for(lambda: mailbox.messages and hook.posts, 60, "the problem message")
            with chain.nginx():
                wait_for(lambda: len(mailbox.messages) > 1 and len(hook.posts) > 1, 60, "the closing message")
                time.sleep(3)
    assert mailbox.kinds() == hook.kinds() == ["problem", "recovery"]


def test_a_network_device_gives_points_and_its_silence_is_an_incident_like_any_other(
    tmp_path, store_table, mailbox, hook
):
    chain = Chain(tmp_path / "kota", store_table, mailbox, hook)
    with chain.nginx(), chain.centre():
        with chain.snmpd():
            wait_for(lambda: is_up(chain, "snmp/sw-uji"), 30, "the first answer of the device")
            time.sleep(3)
        wait_for(lambda: mailbox.messages, 60, "the message of its silence")
        with chain.snmpd():
            wait_for(lambda: len(mailbox.messages) > 1, 60, "the closing message")
        time.sleep(1.5)
    assert mails_to(mailbox, "jaringan@kota.example") == ["problem", "recovery"]
    assert hook.posts == [], "a message went to somebody whom no route names"
    since = time.time_ns() - 300 * SECOND
    (device,) = ask(chain, lambda store: store.latest("device", ["sysName", "sysUpTime"], since=since))
    assert (device.tags["source"], device.fields["sysName"]) == ("sw-uji", "sw-uji")
    ports = ask(chain, lambda store: store.latest("interface", ["ifHCInOctets"], since=since))
    assert "lo" in {port.tags["ifName"] for port in ports}
