"""A centre that is stopped while everything that it looks at hangs: it ends soon, with code 0, and has nothing to complain of."""

import re
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack

import pytest
from parts import daemon, free_port, wait_for

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(300)]

HANGING = {
    "http": 'type = "http"\nurl = "http://127.0.0.1:{silent}/"',
    "tls": 'type = "tls"\nhost = "127.0.0.1"\nport = {silent}',
    "tcp": 'type = "tcp"\nhost = "127.0.0.1"\nport = {silent}\ndialogue = [{{ expect = "220" }}]',
    "dns": 'type = "dns"\nname = "portal.kota.example"\nserver = "127.0.0.1"\nport = {mute}',
}
SERVER = """
[server]
listen = "127.0.0.1:{port}"
data = "data"

[schedule]
per_target = 50

[[snmp.device]]
id = "switch"
address = "127.0.0.1"
port = {mute}
community = {{ file = "community" }}
interval = "5s"
timeout = "4s"

[[rule]]
id = "host-silent"
name = "Agen tidak mengirim data"
type = "absence"
window = "1m"
interval = "1s"
"""
CHECK = """
[[check]]
id = "{name}-{number}"
service = "portal"
interval = "20s"
timeout = "15s"
{how}
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
# the lines of a log that a clean stop does not have
COMPLAINT = re.compile(r"^.* (?:WARNING|ERROR|CRITICAL) .*$|^Traceback.*$|^\w*(?:Error|Exception)\b.*$", re.MULTILINE)


class Silent:
    """Takes every connection and every datagram and never answers; ``asked`` counts them."""

    def __init__(self, stack):
        self.tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
        self.udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.udp.bind(("127.0.0.1", 0))
        self.kept = []
        self.datagrams = 0
        for work in (self._accept, self._receive):
            threading.Thread(target=work, daemon=True).start()

    def _accept(self):
        try:
            while True:
                self.kept.append(self.tcp.accept()[0])
        except OSError:
            for each in self.kept:
                each.close()

    def _receive(self):
        try:
            while self.udp.recv(2000):
                self.datagrams += 1
        except OSError:
            return


@pytest.fixture
def silent():
    with ExitStack() as stack:
        made = Silent(stack)
        yield made
        # else the threads would wait in their calls for ever
        made.tcp.shutdown(socket.SHUT_RDWR)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", made.udp.getsockname())


@pytest.fixture
def centre(tmp_path, silent):
    """Write settings; ``command`` runs the centre."""
    ports = {"silent": silent.tcp.getsockname()[1], "mute": silent.udp.getsockname()[1]}
    port = free_port()
    checks = [
        CHECK.format(name=name, number=number, how=how.format(**ports))
        for name, how in HANGING.items()
        for number in range(3)
    ]
    (tmp_path / "server.toml").write_text(SERVER.format(port=port, **ports) + "".join(checks))
    (tmp_path / "community").write_text("kota")
    (tmp_path / "services.toml").write_text(SERVICES)
    command = [sys.executable, "-m", "server.cli.main", "server", "--settings", tmp_path / "server.toml"]
    return command, port, tmp_path / "server.log"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_every_check_hangs_ends_soon_and_logs_no_error(centre, silent, number):
    command, port, log = centre
    with daemon(command, port=port, log=log) as process, ExitStack() as stack:
        wait_for(lambda: len(silent.kept) >= 9 and silent.datagrams >= 4, 30, "looks that hang")
        visitor = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        visitor.sendall(
            b"POST /api/v2/write?org=pantau&bucket=pantau HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nm"
        )
        started = time.monotonic()
        process.send_signal(number)
        assert process.wait(60) == 0
        took = time.monotonic() - started
    told = log.read_text()
    assert COMPLAINT.findall(told) == []
    assert told.rstrip().endswith("stopping")
    assert took < 30


def test_a_stop_that_comes_at_once_after_the_start_logs_no_error(centre):
    command, port, log = centre
    with daemon(command, port=port, log=log) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert COMPLAINT.findall(log.read_text()) == []
