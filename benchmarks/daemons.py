"""Daemons under measurement: each in a session of its own, looked at through /proc, with a sink for what it sends."""

import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")


class Missing(Exception):
    """A peer that is not installed; the message says how to get it."""


class Sample(NamedTuple):
    """One look at a daemon with all its processes: MB, MB, seconds of CPU since its start, and counts."""

    rss: float = 0.0
    pss: float = 0.0
    cpu: float = 0.0
    threads: int = 0
    fds: int = 0


class Traffic:
    """What a daemon said so far, wherever it went: messages and bytes, as they were on the wire."""

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0

    def add(self, size: int) -> None:
        """Count one message."""
        self.messages += 1
        self.bytes += size


class Peer(NamedTuple):
    """A daemon to start. ``poll`` asks one round of questions, for those that do not push by themselves."""

    name: str
    command: list[str]
    traffic: Traffic
    poll: Callable[[], None] | None = None


def look(leader: int) -> Sample:
    """Sum up the processes of a session; the clock of a process (clock_getcpuclockid(3)) has ns where its stat has ticks."""
    total = Sample()
    for pid, stat in _members(leader):
        process = Path("/proc", str(pid))
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        memory = dict(line.split(":", 1) for line in (process / "smaps_rollup").read_text().splitlines()[1:])
        total = Sample(
            total.rss + int(status["VmRSS"].split()[0]) / 1024,
            total.pss + int(memory["Pss"].split()[0]) / 1024,
            total.cpu + time.clock_gettime((~pid << 3) | 2) + (int(stat[13]) + int(stat[14])) / TICKS,  # ended children
            total.threads + int(status["Threads"]),
            total.fds + sum(1 for _ in (process / "fd").iterdir()),
        )
    return total


def cpu(leader: int) -> float:
    """Return the CPU seconds of a session's processes, at less cost than ``look``."""
    return sum(time.clock_gettime((~pid << 3) | 2) + (int(s[13]) + int(s[14])) / TICKS for pid, s in _members(leader))


def _members(leader: int) -> Iterator[tuple[int, list[str]]]:
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            stat = file.read_text().rpartition(")")[2].split()
            if int(stat[3]) == leader and stat[0] != "Z":
                yield int(file.parent.name), stat


@contextmanager
def started(command: list[str], log: Path, cwd: Path | None = None, patience: float = 5.0) -> Iterator[int]:
    """Run a daemon until the block ends, then give it ``patience`` seconds to stop; yields the number of its session."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process.pid
    finally:
        for kill in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, kill)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience)
                break


def program(name: str, package: str) -> str:
    """Return the path of a program; Missing says which Debian package has it."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise Missing(f"{name}: apt-get install {package}")
    return path


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listened on a moment ago, below those that the kernel gives away itself."""
    while True:
        port = random.randrange(10000, 32768)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def http_sink() -> Iterator[tuple[int, Traffic]]:
    """Receive writes as InfluxDB 2 does and throw them away; yields the port and what came."""
    traffic = Traffic()

    class Sink(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = self.headers["Content-Length"]
            traffic.add(sum(self.chunks()) if length is None else len(self.rfile.read(int(length))))
            self.send_response(204)
            self.end_headers()

        def chunks(self) -> Iterator[int]:
            """Read a body of chunks (RFC 9112, 7.1) and yield their sizes."""
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
                yield size
            self.rfile.readline()

        def do_GET(self) -> None:
            """Answer clients that ask for the health of an InfluxDB."""
            body = b'{"name":"influxdb","status":"pass","version":"2.7.0"}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:  # type: ignore[override]
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Sink) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, traffic
        server.shutdown()


@contextmanager
def udp_sink() -> Iterator[tuple[int, Traffic]]:
    """Receive datagrams and throw them away; yields the port and what came."""
    traffic = Traffic()

    def take() -> None:
        with suppress(OSError):
            while True:
                traffic.add(len(sock.recv(65536)))

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        threading.Thread(target=take, daemon=True).start()
        yield int(sock.getsockname()[1]), traffic


def scraper(port: int, traffic: Traffic, *, compressed: bool) -> Callable[[], None]:
    """Return what asks an exporter for its metrics over one lasting connection, as Prometheus does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "gzip" if compressed else "identity"}

    def scrape() -> None:
        connection.request("GET", "/metrics", headers=headers)
        traffic.add(len(connection.getresponse().read()))

    return scrape


def keep_polling(polls: list[Callable[[], None]], interval: float) -> threading.Event:
    """Poll in a thread every ``interval`` seconds until the returned event is set."""
    end = threading.Event()

    def go_round() -> None:
        while not end.wait(interval):
            for poll in polls:
                with suppress(OSError, http.client.HTTPException):  # whoever says nothing is told by its traffic
                    poll()

    threading.Thread(target=go_round, daemon=True).start()
    return end
