"""How long a restart leaves a city unobserved: SIGTERM to the centre, then the next one at once, as ``systemctl restart`` does.

    python benchmarks/restart.py [--services 100] [--times 7] [--source FOLDER]

``--source`` is a checkout of another version to compare with. Printed are medians in seconds, by the clock and in processor time:
the stop, the start until writes are taken, the gap between the last sign of life and the next start (what reports count as not
observed), and between the last look of before and the first one after.
"""

import argparse
import itertools
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import psutil

SERVER = """
[server]
listen = "127.0.0.1:{port}"
data = "data"
[ingest]
tokens = [{{ name = "bench", token = {{ file = "token" }} }}]
"""
SERVICE = """
[[service]]
id = "s{0}"
name = "Service {0}"
agency = "a"
url = "http://127.0.0.1:{1}/ping"
"""
CHECK = '[[check]]\nid = "c{0}"\nservice = "s{0}"\ninterval = "10s"\ntimeout = "5s"\n'


def set_up(folder: Path, services: int, port: int) -> None:
    (folder / "token").write_text("made-up")
    checks = "".join(CHECK.format(number) for number in range(services))
    (folder / "server.toml").write_text(SERVER.format(port=port) + checks)
    register = "".join(SERVICE.format(number, port) for number in range(services))
    (folder / "services.toml").write_text('[[agency]]\nid = "a"\nname = "A"\n' + register)


def writes(port: int) -> bool:
    """Return whether a write is taken."""
    target = f"http://127.0.0.1:{port}/api/v2/write?org=pantau&bucket=pantau"
    headers = {"Authorization": "Token made-up"}
    request = urllib.request.Request(target, data=f"cpu,host=a usage=1 {time.time_ns()}".encode(), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=2):
            return True
    except OSError:
        return False


def start(folder: Path, source: Path, port: int) -> tuple[subprocess.Popen[bytes], float, float]:
    """Start a centre; return it, and what that took until it takes writes, by the clock and of the processor."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "server.cli.main", "server", "--settings", str(folder / "server.toml")]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=source, stdout=log, stderr=log, start_new_session=True)
    while not writes(port):
        if process.poll() is not None:
            raise SystemExit((folder / "log").read_text())
        time.sleep(0.005)
    took = time.monotonic() - begun
    times = psutil.Process(process.pid).cpu_times()
    return process, took, times.user + times.system


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--port", type=int, default=18420)
    parser.add_argument("--source", type=Path, default=Path(__file__).parents[1])
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in ("stop", "start", "start, processor", "looks")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        set_up(folder, arguments.services, arguments.port)
        process, _, _ = start(folder, arguments.source, arguments.port)
        for _ in range(arguments.times):
            time.sleep(6)
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            found["stop"].append(time.monotonic() - begun)
            stopped = looks(folder)[1]
            process, took, cpu = start(folder, arguments.source, arguments.port)
            found["start"].append(took)
            found["start, processor"].append(cpu)
            time.sleep(2)
            found["looks"].append((looks(folder, after=stopped)[0] - stopped) / 1000)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
        with closing(sqlite3.connect(folder / "data/state.db")) as database:
            runs = database.execute("SELECT start_ms, beat_ms FROM monitor_run ORDER BY id").fetchall()
    found["not observed"] = [(later[0] - former[1]) / 1000 for former, later in itertools.pairwise(runs)]
    print(
        f"{arguments.services} services, {arguments.times} restarts, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    for what, values in found.items():
        print(
            f"{what:18} median {statistics.median(values):5.2f} s   least {min(values):5.2f}   most {max(values):5.2f}"
        )


def looks(folder: Path, after: int = 0) -> tuple[int, int]:
    """Return when the first and the last look after a moment were, as the state remembers them, ms."""
    with closing(sqlite3.connect(folder / "data/state.db")) as database:
        first, last = database.execute(
            "SELECT min(last_at_ms), max(last_at_ms) FROM state WHERE check_id LIKE 'c%' AND last_at_ms > ?", (after,)
        ).fetchone()
    return first, last


if __name__ == "__main__":
    main()
