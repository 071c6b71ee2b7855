"""What the agent costs beside prometheus-node-exporter, measured side by side in one run.

    python benchmarks/agent.py [SECONDS]

The exporter is scraped every 10 s by this script; the agent runs its default collectors every 10 s, spools, compresses and
sends to a small HTTP server in this script. Figures are from /proc after both have warmed up; ratios are what counts.
"""

import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

INTERVAL = 10
WARM_UP = 15
EXPORTER = "127.0.0.1:19100"


class Sample(NamedTuple):
    """One look at a process: MB, MB, seconds of CPU, and counts."""

    rss: float
    pss: float
    cpu: float
    threads: int
    fds: int


class Sink(BaseHTTPRequestHandler):
    """Takes writes as the centre does."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read and acknowledge."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:  # type: ignore[override]
        """Say nothing."""


def look(pid: int) -> Sample:
    process = Path("/proc", str(pid))
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    memory = dict(line.split(":", 1) for line in (process / "smaps_rollup").read_text().splitlines()[1:])
    return Sample(
        rss=int(status["VmRSS"].split()[0]) / 1024,
        pss=int(memory["Pss"].split()[0]) / 1024,
        cpu=time.clock_gettime(
            (~pid << 3) | 2
        ),  # the process's CPU clock (clock_getcpuclockid(3)): ns where stat has ticks
        threads=int(status["Threads"]),
        fds=sum(1 for _ in (process / "fd").iterdir()),
    )


@contextmanager
def started(command: list[str]) -> Iterator[int]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)


def scrape(until: float) -> None:
    while time.monotonic() < until:
        time.sleep(INTERVAL)
        with urllib.request.urlopen(f"http://{EXPORTER}/metrics", timeout=5) as response:
            response.read()


def measure(pids: dict[str, int], seconds: int) -> dict[str, tuple[Sample, float]]:
    """Return for each process its last sample and the share of one core it used, in percent."""
    time.sleep(WARM_UP)
    began, before = time.monotonic(), {name: look(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    after = {name: look(pid) for name, pid in pids.items()}
    took = time.monotonic() - began
    return {name: (after[name], (after[name].cpu - before[name].cpu) / took * 100) for name in pids}


def main() -> int:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 120
    exporter = shutil.which("prometheus-node-exporter")
    agent = Path(sys.executable).with_name("pantau-agent")
    if exporter is None:
        print("prometheus-node-exporter is missing: apt-get install prometheus-node-exporter")
        return 1
    sink = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "agent.toml")
        file.write_text(
            f'[agent]\nstate_dir = "state"\n[output]\nurl = "http://127.0.0.1:{sink.server_port}"\n', encoding="utf-8"
        )
        with (
            started([exporter, f"--web.listen-address={EXPORTER}"]) as peer,
            started([str(agent), "--settings", str(file)]) as own,
        ):
            until = time.monotonic() + WARM_UP + seconds
            threading.Thread(target=scrape, args=(until,), daemon=True).start()
            found = measure({"pantau-agent": own, "node_exporter": peer}, seconds)
    print(f"{'':<16}{'RSS MB':>9}{'PSS MB':>9}{'CPU %':>9}{'threads':>9}{'fds':>6}   ({seconds} s, every {INTERVAL} s)")
    for name, (sample, cpu) in found.items():
        print(f"{name:<16}{sample.rss:>9.1f}{sample.pss:>9.1f}{cpu:>9.3f}{sample.threads:>9}{sample.fds:>6}")
    (mine, my_cpu), (theirs, their_cpu) = found["pantau-agent"], found["node_exporter"]
    ratio = my_cpu / their_cpu if their_cpu else float("nan")
    print(f"{'ratio':<16}{mine.rss / theirs.rss:>9.2f}{mine.pss / theirs.pss:>9.2f}{ratio:>9.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
