"""Parts that several tests of the host collectors need."""

import asyncio
import contextlib
import itertools
import socket
import sys
import threading
import tomllib

import pytest
from parts import wait_until

from collectors.host import COLLECTORS, Roots
from collectors.host.sources import program
from collectors.host.sources.program import Ended
from configs.plugin import find

# what a collector that has nothing to do by itself is told
LEAST = {"exec": {"commands": {"benar": ("true",)}}, "procstat": {"exe": ("python",)}}


@pytest.fixture(autouse=True)
def _known_salts(monkeypatch):
    """Sketches of visitors are the same in each run of the tests."""
    numbers = itertools.count(1)
    monkeypatch.setattr("secrets.token_bytes", lambda size: next(numbers).to_bytes(size, "big"))


@pytest.fixture
def collector():
    """Build a collector by name: ``collector("cpu", Roots(...), percpu=False)``; without roots it reads this host."""

    def build(name, roots=None, *parts, **options):
        plugin, shape = find("collector", name, COLLECTORS)
        options = {**LEAST.get(name, {}), **options}
        return plugin(shape(**options), roots or Roots(), *parts)

    return build


@pytest.fixture
def linux():
    """Skip where there is no Linux to read."""
    if sys.platform != "linux":
        pytest.skip("reads this host's own /proc")


@pytest.fixture(autouse=True)
async def nothing_dies_later():
    """Wait, while the loop still runs, for programs that a busy machine was slow to end: nobody is to hear of them in another test."""
    yield
    await wait_until(lambda: not program._dying, 30, "programs to end")


@pytest.fixture
def until():
    """Wait until something holds: ``await until(lambda: ...)``."""
    return wait_until


@pytest.fixture
def programs():
    """Stand in for ``program.run``: ``programs(file)`` answers as the file says, ``"command line" = {code, out, err}``."""

    def answering(file):
        async def run(command, *, seconds, **_):
            known = tomllib.loads(await asyncio.to_thread(file.read_text))
            line = " ".join(command)
            if line not in known:
                raise FileNotFoundError(2, f"No such file or directory ({line})", command[0])
            return Ended(**{"code": 0, "out": "", **known[line]})

        return run

    return answering


@pytest.fixture
def speaking():
    """A server that hears something, says ``answer`` and hangs up: ``speaking(b"...")`` gives its port."""
    with contextlib.ExitStack() as servers:

        def speak(server, answer):
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer)

        def start(answer):
            server = servers.enter_context(socket.create_server(("127.0.0.1", 0)))
            servers.callback(server.shutdown, socket.SHUT_RDWR)
            threading.Thread(target=speak, args=(server, answer), daemon=True).start()
            return server.getsockname()[1]

        yield start
