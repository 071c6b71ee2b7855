"""Receivers of messages, in threads of the test: a real SMTP server and a webhook."""

import json
import threading
import time
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiosmtpd.controller import Controller
from parts import free_port


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
