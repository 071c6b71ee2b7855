"""A centre that is stopped like a machine that sleeps: what it did not see is unobserved, and nothing flips."""

import contextlib
import datetime as dt
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from parts import daemon, free_port, wait_for

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.may_block]

STOP = 12.0  # seconds: longer than every patience below
TOKEN = "e2e-token"  # made up
CHECKS = 6

SERVER = """
[server]
listen = "127.0.0.1:{port}"
data = "data"

[ingest]
tokens = [{{ name = "agent", token = {{ file = "token" }} }}]

[[rule]]
id = "host-silent"
name = "Agen tidak mengirim data"
type = "absence"
window = "9s"
interval = "1s"
"""
CHECK = """
[[check]]
id = "portal-{number}"
service = "portal"
type = "http"
url = "http://127.0.0.1:{target}/{number}"
interval = "6s"
timeout = "5s"
confirm = 1
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


class Portal:
    """Answers at once while its gate is ``open``; ``held`` counts those that wait before it."""

    def __init__(self):
        self.open, self.held = threading.Event(), 0
        self.open.set()
        portal = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if not portal.open.is_set():
                    portal.held += 1
                    portal.open.wait()
                with contextlib.suppress(OSError):  # who asked has given up
                    self.send_response(200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def portal():
    made = Portal()
    yield made
    made.open.set()
    made.server.shutdown()
    made.server.server_close()


@contextlib.contextmanager
def host_that_writes(port):
    """Write a point of a host each half second until the block ends, as an agent does that tries again what was not taken."""
    end = threading.Event()

    def write():
        while not end.wait(0.5):
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/api/v2/write?org=pantau&bucket=pantau",
                b"m,host=srv-uji f=1",
                {"Authorization": f"Token {TOKEN}"},
            )
            with contextlib.suppress(OSError):
                urllib.request.urlopen(request, timeout=2).close()

    writing = threading.Thread(target=write)
    writing.start()
    try:
        yield
    finally:
        end.set()
        writing.join()


def rows(folder, query):
    try:
        with contextlib.closing(sqlite3.connect(folder / "data/state.db")) as db:
            return db.execute(query).fetchall()
    except sqlite3.OperationalError:  # the centre has just begun to make its tables
        return []


def watched(folder):
    """What is believed of the portal and the host, by (check, subject)."""
    query = "select check_id, subject, status, last_at_ms from state where check_id not like 'pantau/%'"
    return {(check, subject): (status, at) for check, subject, status, at in rows(folder, query)}


def moment(seconds):
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()


def unobserved(folder, start, end):
    command = [sys.executable, "-m", "server.cli.main", "report", "--settings", "server.toml", "--format", "json"]
    command += ["--service", "portal", "--from", moment(start), "--to", moment(end)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)["services"][0]["unobserved"]


def test_a_stop_makes_no_flip_and_is_unobserved(tmp_path, portal):
    port = free_port()
    checks = [CHECK.format(number=number, target=portal.server.server_port) for number in range(CHECKS)]
    (tmp_path / "server.toml").write_text(SERVER.format(port=port) + "".join(checks))
    (tmp_path / "services.toml").write_text(SERVICES)
    (tmp_path / "token").write_text(TOKEN)
    log = tmp_path / "centre.log"
    command = [sys.executable, "-m", "server.cli.main", "server", "--settings", tmp_path / "server.toml"]
    with daemon(command, port=port, log=log) as centre, host_that_writes(port):

        def all_seen_since(seconds):
            states = watched(tmp_path).values()
            return len(states) == CHECKS + 1 and all(at > seconds * 1000 for _, at in states)

        wait_for(lambda: all_seen_since(0), 30, "a first look at everything")
        before = watched(tmp_path)
        assert {status for status, _ in before.values()} == {"up"}
        portal.open.clear()
        wait_for(lambda: portal.held, 30, "a look that is under way")
        stopped = time.time()
        os.kill(centre.pid, signal.SIGSTOP)
        time.sleep(STOP)
        os.kill(centre.pid, signal.SIGCONT)
        resumed = time.time()
        time.sleep(1.0)  # the look that was under way is over; the one that repeats it may wait that long
        portal.open.set()
        wait_for(lambda: all_seen_since(resumed + 7), 60, "looks after the stop")
        runs = wait_for(lambda: rows(tmp_path, "select start_ms, beat_ms from monitor_run order by id")[1:], 30)
    states = watched(tmp_path)
    assert {status for status, _ in states.values()} == {"up"}
    bad = "select check_id, to_status from flip where check_id not like 'pantau/%' and to_status <> 'up'"
    assert rows(tmp_path, bad) == []
    seen = "select distinct status from span where check_id not like 'pantau/%'"
    assert rows(tmp_path, seen) == [("up",)]  # what did not answer while nobody listened is not even unknown
    (first, *_) = rows(tmp_path, "select start_ms, beat_ms from monitor_run order by id")
    assert first[1] <= stopped * 1000 + 2000
    assert all(start >= (resumed - 1) * 1000 for start, _ in runs)
    assert "nobody watched for" in log.read_text()
    gaps = [
        (dt.datetime.fromisoformat(start).timestamp(), dt.datetime.fromisoformat(end).timestamp())
        for start, end in unobserved(tmp_path, stopped - 1, resumed + 6)
    ]
    assert any(start <= stopped + 2 and end >= resumed - 1 for start, end in gaps), gaps
