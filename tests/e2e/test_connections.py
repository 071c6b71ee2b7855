"""The centre as a process that may have few open files, beside hundreds of requests that are never finished."""

import socket
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from parts import daemon, free_port, wait_for

SERVER = """
[server]
listen = "127.0.0.1:{port}"
data = "data"

[server.connections]
head = "5s"
"""
LIMIT = 256
HALVES = 369
LINE = b"POST /api/v2/write?org=pantau&bucket=pantau HTTP/1.1\r\nHost: x\r\nX-More: "


def answered(port, path):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except OSError:
        return None


def is_over(sock):
    """Whether the centre has closed a connection, if only after a word."""
    try:
        return sock.recv(4096, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def descriptors(process):
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def test_half_sent_requests_close_the_door_for_nobody_and_fill_no_log(tmp_path):
    port, log = free_port(), tmp_path / "log"
    (tmp_path / "server.toml").write_text(SERVER.format(port=port))
    (tmp_path / "services.toml").write_text("")
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, {LIMIT}))"
    run = f"{limited}; from server.cli.main import main; raise SystemExit(main())"
    command = [sys.executable, "-c", run, "server", "--settings", tmp_path / "server.toml"]
    with daemon(command, port=port, log=log, seconds=120) as process, ExitStack() as stack:
        halves = []
        for _ in range(HALVES):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), 30))
            sock.sendall(LINE)
            halves.append(sock)
        wait_for(lambda: sum(map(is_over, halves)) >= HALVES - LIMIT // 4, 30, "the refusals")
        assert descriptors(process) < LIMIT
        wait_for(lambda: answered(port, "/health") == 200, 30, "an answer to a program")
        assert answered(port, "/status") == 200
        wait_for(lambda: all(map(is_over, halves)), 60, "the end of all that did not go on")
        assert process.poll() is None
    words = log.read_text()
    assert words.count("connections are refused: 127.0.0.1 has 64 connections") == 1
    assert "Too many open files" not in words
    assert len(words) < 5_000
