"""Receivers of messages, in threads of the test: a real SMTP server and a webhook; a centre with a data folder of another user."""

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import closing
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from house import CENTRE, HOUR, PANTAU, House, as_user, in_own_view, month_start
from parts import free_port

from alerts.tables import incident
from server.state.database import Database
from server.state.migrate import upgrade
from server.state.tables import monitor_run, span, user


class Mailbox:
    """What arrived, in order: ``(seconds since epoch, message)``; while it is ``busy`` it turns everybody away, counted."""

    def __init__(self):
        self.messages, self.busy, self.turned_away = [], False, 0

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        if self.busy:
            self.turned_away += 1
            return "451 try again later"
        self.messages.append((time.time(), message_from_bytes(envelope.content, policy=policy.default)))
        return "250 OK"

    def kinds(self):
        return [message["X-Pantau-Kind"] for _, message in self.messages]


@pytest.fixture
def mailbox():
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port(), ready_timeout=60)
    controller.start()
    box.port = controller.port
    yield box
    controller.stop()


class Hook:
    """What was posted: ``(seconds since epoch, headers, JSON)``; while it is ``busy`` it answers 503, counted."""

    def __init__(self):
        self.posts, self.busy, self.turned_away = [], False, 0

    def kinds(self):
        return [post["kind"] for _, _, post in self.posts]


@pytest.fixture
def hook():
    box = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if box.busy:
                box.turned_away += 1
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            box.posts.append((time.time(), dict(self.headers), json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    box.url = f"http://127.0.0.1:{server.server_port}/hook"
    yield box
    server.shutdown()
    server.server_close()


@pytest.fixture
def able():
    """Skip where this machine has no other users or mount namespaces for us."""
    if os.geteuid() != 0:
        pytest.skip("other users and mount namespaces need root")
    for command in ([*as_user(CENTRE), *PANTAU, "--version"], [*in_own_view("mount -t tmpfs none /tmp"), "true"]):
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            pytest.skip(f"this machine does not allow it: {ended.stderr.strip()[-200:]}")


@pytest.fixture
def folder(able):
    made = Path(tempfile.mkdtemp(prefix="pantau-test-", dir="/var/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def house(folder):
    """A house with a state that has a past: a month with an outage, users and an incident."""
    made = House(folder)
    made.make(CENTRE)
    start = month_start()
    fell = start + 100 * HOUR
    with closing(Database(f"sqlite:///{made.data / 'state.db'}")) as database:
        upgrade(database.engine)
        with database.engine.begin() as tx:
            tx.execute(monitor_run.insert().values(start_ms=start, beat_ms=start + 32 * 24 * HOUR))
            for status, begin, end in (
                ("up", start, fell),
                ("down", fell, fell + HOUR),
                ("up", fell + HOUR, start + 600 * HOUR),
            ):
                tx.execute(
                    span.insert().values(
                        check_id="portal-http",
                        subject="service/portal",
                        status=status,
                        counts=True,
                        looks=9,
                        reason="ok" if status == "up" else "timeout",
                        start_ms=begin,
                        last_ms=end,
                        end_ms=end,
                    )
                )
            for name in ("sari", "budi"):
                tx.execute(user.insert().values(name=name, password="x", role="admin", created_ms=1, disabled=False))
            tx.execute(
                incident.insert().values(
                    check_id="portal-tcp",
                    subject="service/portal",
                    status="down",
                    severity="high",
                    reason="timeout",
                    opened_ms=fell,
                    confirmed_ms=fell,
                    closed_ms=fell + HOUR,
                    close_reason="recovered",
                )
            )
    for file in made.data.iterdir():
        os.chown(file, CENTRE, CENTRE)
        file.chmod(0o600)
    return made
