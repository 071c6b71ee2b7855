"""Whether the agent grows: rounds back to back, on a clock that jumps ten seconds each, beside a centre that comes and goes.

    python benchmarks/soak.py [ROUNDS]

The agent's own parts run in a process of their own: the default collectors on this machine, spool, sender, HTTP. The centre
changes every third of a second: takes data, answers 500, resets connections, is gone. Printed at each tenth of ROUNDS (default
10000): resident memory, open files, threads, lines that wait. Exit code 1 when something grew, or the books of the spool do
not balance.
"""

import asyncio
import itertools
import json
import logging
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOOD = 0.33
SLACK_KB = 1500  # an allocator's pages come and go
SETTINGS = """
[agent]
host = "soak"
state_dir = "state"
[output]
url = "http://127.0.0.1:{port}"
timeout = "500ms"
[spool]
min_free = "0B"
"""


class Server(ThreadingHTTPServer):
    """A centre that changes its ``mood``."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    mood = "ok"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of connections that were cut."""


class Handler(BaseHTTPRequestHandler):
    """Answers as the mood of its server is."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take a write, or not."""
        self.rfile.read(int(self.headers["Content-Length"]))
        mood = self.server.mood  # type: ignore[attr-defined]
        if mood == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        self.send_response_only(204 if mood == "ok" else 500)  # without a Date: this clock does not jump along
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def flap(port: int, over: threading.Event) -> None:
    """Be the centre on ``port`` until ``over``, then take everything."""
    server: Server | None = None
    for mood in itertools.cycle(("ok", "500", "gone", "ok", "reset", "gone")):
        wanted = "ok" if over.is_set() else mood
        if wanted == "gone" and server:
            server.mood = "reset"  # for connections that are still open
            server.shutdown()
            server.server_close()
            server = None
        elif wanted != "gone" and server is None:
            try:
                server = Server(("127.0.0.1", port), Handler)
            except OSError:  # for a moment it is the near end of somebody's connection
                time.sleep(MOOD)
                continue
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        if server:
            server.mood = wanted
        time.sleep(MOOD)


class Driven:
    """The parts of an agent; each ``turn`` is ten seconds later."""

    def __init__(self, file: Path) -> None:
        from agent.slim import without_heavy_modules  # noqa: PLC0415 - as the agent's own command does it

        with without_heavy_modules(os.environ):
            from agent import clock, gather, pace, post, send, settings, spool  # noqa: PLC0415 - the same
        self.ahead = 0.0
        self.clock = clock.Clock(lambda: time.time_ns() + int(self.ahead * 1e9), self.elapsed, self.elapsed)
        found = settings.read(file)
        found.state_dir.mkdir()
        self.spool, self.inbox = spool.Spool(found.state_dir / "spool.db", found.spool), gather.Inbox()
        self.sender = send.Sender(post.Endpoint(found.output), self.spool, self.clock, pace.Pace(10_000))
        self.runners = [gather.Runner(unit, found.tags, self.clock) for unit in found.units]
        self.due = 0.0

    def elapsed(self) -> float:
        """Return monotonic seconds, ahead."""
        return time.monotonic() + self.ahead

    async def look(self) -> None:
        """Let every collector read."""
        for lines in await asyncio.gather(*(one.look() for one in self.runners)):
            self.inbox.put(lines)

    def turn(self) -> None:
        """Keep what was collected and send what is due."""
        self.ahead += 10
        lines, lost = self.inbox.take()
        self.spool.put(lines, self.clock.ms(), lost=lost)
        for _ in range(5):
            if self.elapsed() >= self.due:
                self.due = self.elapsed() + self.sender.turn()


def drive(file: Path, rounds: int) -> None:
    """Be the agent; print a line of figures at each tenth, and one at the end when everything was sent."""
    logging.disable()
    agent = Driven(file)
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(4))
    for number in range(1, rounds + 1):
        loop.run_until_complete(agent.look())
        agent.turn()
        if number % max(1, rounds // 10) == 0:
            tell(number, agent.spool.tally.spooled)
    sys.stdin.readline()  # the centre stays from now on
    for _ in range(2000):
        agent.turn()
        if not agent.spool.tally.spooled:
            break
    tally = agent.spool.tally
    balanced = tally.collected == tally.delivered + tally.dropped + tally.quarantined + tally.rejected + tally.spooled
    sys.stdout.write(
        json.dumps({"collected": tally.collected, "delivered": tally.delivered, "balanced": balanced}) + "\n"
    )


def tell(number: int, waiting: int) -> None:
    """Print what this process uses now."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    told = {
        "round": number,
        "rss_kb": int(status["VmRSS"].split()[0]),
        "fds": len(os.listdir("/proc/self/fd")) - 1,  # noqa: PTH208 - iterdir() would count itself too
        "threads": int(status["Threads"]),
        "waiting": waiting,
    }
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def run(rounds: int, show: Callable[[dict[str, int]], None]) -> tuple[list[dict[str, int]], dict[str, int]]:
    """Run the soak; return the figures at each tenth and those of the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    over = threading.Event()
    threading.Thread(target=flap, args=(port, over), daemon=True).start()
    samples: list[dict[str, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "agent.toml")
        file.write_text(SETTINGS.format(port=port), encoding="ascii")
        command = [sys.executable, "-P", __file__, "--drive", str(file), str(rounds)]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process:
            assert process.stdin
            assert process.stdout
            while len(samples) < 10 and (line := process.stdout.readline()):
                samples.append(json.loads(line))
                show(samples[-1])
            over.set()
            time.sleep(2 * MOOD)
            process.stdin.write("\n")
            process.stdin.flush()
            end = json.loads(process.stdout.readline())
    return samples, end


def grown(samples: list[dict[str, int]]) -> list[str]:
    """Name what was more at the end than in the first three tenths."""
    slack = {"rss_kb": SLACK_KB, "fds": 1, "threads": 0}  # one connection comes and goes
    return [name for name, more in slack.items() if samples[-1][name] > max(one[name] for one in samples[:3]) + more]


def main(rounds: int) -> int:
    """Run, print, and return the exit code."""
    print("  round   RSS kB   files  threads  waiting")
    samples, end = run(
        rounds, lambda one: print("{round:7d} {rss_kb:8d} {fds:7d} {threads:8d} {waiting:8d}".format(**one), flush=True)
    )
    print(f"collected {end['collected']}, delivered {end['delivered']}, books balanced: {bool(end['balanced'])}")
    found = grown(samples)
    print(f"grown: {', '.join(found) or 'nothing'}")
    return int(bool(found) or not end["balanced"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--drive"]:
        drive(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 10_000))
