"""A centre that can misbehave: a real HTTP server on a port of its own, which may vanish and come back."""

import socket
import struct
import subprocess
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from agents import Agent
from parts import free_port, require

from agent.clock import Clock
from agent.post import Options as Output


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    def do_POST(self):
        centre = self.server.centre
        body = self.rfile.read(int(self.headers["Content-Length"]))
        lines = zlib.decompress(body, wbits=31).splitlines()
        mood = centre.mood(lines) if callable(centre.mood) else centre.mood
        centre.requests.append((self.path, dict(self.headers), lines, self.client_address[1]))
        if not isinstance(mood, tuple) and mood in {"ok", 422, "lost_answer"}:
            centre.lines += lines
        getattr(self, f"_{mood}", lambda: self._status(mood))()

    def _status(self, mood):
        status, headers, text = mood if isinstance(mood, tuple) else (mood, {}, "")
        if self.server.centre.tells_time:
            self.send_response(status)
        else:
            self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _ok(self):
        self._status(204)

    def _hang(self):
        self.server.centre.released.wait(30)
        self.close_connection = True

    def _reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    _lost_answer = _reset

    def _drip(self):
        self.close_connection = True
        for byte in b"HTTP/1.1 204 No Content\r\nX-Slow: " + b"x" * 200:
            try:
                self.wfile.write(bytes([byte]))
            except OSError:
                return
            if self.server.centre.released.wait(0.05):
                return

    def date_time_string(self, timestamp=None):
        clock = self.server.centre.clock
        return super().date_time_string(clock.true_ms() / 1000 if clock else timestamp)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        pass  # the client went away, as some tests want

    def process_request(self, request, client_address):
        self.centre.open.append(request)
        super().process_request(request, client_address)


class Centre:
    """A server; ``clock``: whose true time it tells, else the machine's.

    ``mood``: "ok", a status, (status, headers, text), "hang", "reset", "lost_answer", "drip", or lines -> one of these.
    """

    def __init__(self):
        self.port = free_port()
        self.clock = None
        self.mood = "ok"
        self.tells_time = True
        self.requests = []
        self.lines = []
        self.open = []
        self.released = threading.Event()
        self._server = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def output(self, **more):
        return Output(url=self.url, **more)

    def start(self):
        self._server = Server(("127.0.0.1", self.port), Handler)
        self._server.centre = self
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def vanish(self):
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self.hang_up()

    def hang_up(self):
        """Close every connection, as a server does with idle ones."""
        while self.open:
            request = self.open.pop()
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


@pytest.fixture
def centre():
    found = Centre().start()
    yield found
    found.released.set()
    found.vanish()


class StillClock(Clock):
    """A clock that moves when told to; ``wall`` in ms, ``mono`` in s, ``error``: by how much the wall clock is ahead (ms).

    The centre has told its time unless ``told`` is False.
    """

    def __init__(self, wall=1_800_000_000_000, *, told=True):
        self.wall = wall
        self.mono = 1000.0
        self.error = 0
        self.asleep = 0
        super().__init__(lambda: int(self.wall) * 1_000_000, lambda: self.mono, lambda: self.mono + self.asleep)
        if told:
            self.compare(wall - 500, 0)

    def true_ms(self):
        return self.wall - self.error

    def pass_(self, seconds):
        self.wall += seconds * 1000
        self.mono += seconds

    def suspend(self, seconds):
        """Let the machine sleep: only the monotonic clock stands still."""
        self.wall += seconds * 1000
        self.asleep += seconds

    def jump(self, ms):
        """Let the wall clock be set wrong, or right again."""
        self.wall += ms
        self.error += ms


@pytest.fixture
def clock(centre):
    centre.clock = StillClock()
    return centre.clock


@pytest.fixture
def still_clock(centre):
    """Make the clock that the centre has too: ``still_clock(wall=..., told=False)``."""

    def build(**more):
        centre.clock = StillClock(**more)
        return centre.clock

    return build


@pytest.fixture
def some_lines():
    """Distinct lines: ``some_lines(count, start=0)``."""

    def build(count, start=0):
        return [b"cpu,host=a n=%di %d000000000" % (n, 1_800_000_000 + n) for n in range(start, start + count)]

    return build


@pytest.fixture
def agent(tmp_path, centre):
    found = Agent(tmp_path, centre)
    yield found
    if found.process is not None and found.process.poll() is None:
        found.process.kill()
        found.process.wait()


@pytest.fixture
def certificate(tmp_path):
    """Make the key and the certificate of a centre at localhost, signed by itself; return both files."""
    openssl = require("openssl", "openssl")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subprocess.run([*command, *subject, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return key, cert
