"""What the agent costs beside its peers, measured side by side in one run.

    python benchmarks/agent.py [SECONDS]

Every daemon observes this machine every 10 s: the agent with its default collectors, which it also spools, compresses and sends
to a small server in this script; its peers set up for the same (see ``peers``), sending to such a server too, or asked by this
script as their centre would. SECONDS (default 120) are cut into windows of a minute: the CPU is the median of the windows with
the least and the most, and so are the ratios to node_exporter, whose answer is plain; with gzip, as a Prometheus asks for it,
it costs more. Memory, threads and files are as of the end, of all processes of a daemon. Peers that are missing are left out.
"""

import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from daemons import Missing, Peer, Sample, cpu, keep_polling, look, started
from peers import ALL, INTERVAL

WARM_UP = 30
WINDOW = 60
BASE = "node_exporter"


class Found(NamedTuple):
    """What was measured of one daemon: the last look, the share of a core in each window (%), kB a round on the wire."""

    last: Sample
    cpu: list[float]
    sent: float


def measure(running: dict[int, Peer], seconds: int) -> dict[str, Found]:
    """Look at the daemons (by session) at the end of each window."""
    windows = max(1, round(seconds / WINDOW))
    sent = {leader: peer.traffic.bytes for leader, peer in running.items()}
    shares: dict[int, list[float]] = {leader: [] for leader in running}
    at, before = time.monotonic(), {leader: cpu(leader) for leader in running}
    for _ in range(windows):
        time.sleep(at + seconds / windows - time.monotonic())
        now, after = time.monotonic(), {leader: cpu(leader) for leader in running}
        for leader, share in shares.items():
            share.append((after[leader] - before[leader]) / (now - at) * 100)
        at, before = now, after
    return {
        peer.name: Found(
            look(leader), shares[leader], (peer.traffic.bytes - sent[leader]) / (seconds / INTERVAL) / 1000
        )
        for leader, peer in running.items()
    }


def run(seconds: int) -> dict[str, Found]:
    """Start all peers that are there and measure them."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        running: dict[int, Peer] = {}
        logs: dict[int, Path] = {}
        for make in ALL:
            folder = root / make.__name__
            folder.mkdir()
            try:
                peer = make(folder, stack)
            except Missing as missing:
                print(f"left out, {missing}")
                continue
            leader = stack.enter_context(started(peer.command, folder / "log"))
            running[leader], logs[leader] = peer, folder / "log"
        end = keep_polling([peer.poll for peer in running.values() if peer.poll], INTERVAL)
        stack.callback(end.set)
        time.sleep(WARM_UP)
        for leader in [leader for leader in running if not cpu(leader)]:
            print(f"left out, {running.pop(leader).name} ended: {logs[leader].read_text()[-300:]}")
        return measure(running, seconds)


def spread(values: list[float], digits: int) -> str:
    """Write a median, with the least and the most when there are several."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def show(found: dict[str, Found], seconds: int) -> None:
    """Print the table."""
    base = found.get(BASE)
    print(f"{seconds} s, every {INTERVAL} s; x: times {BASE}")
    print(
        f"{'':<20}{'RSS MB':>8}{'PSS MB':>8}{'CPU % of a core':>22}{'threads':>9}{'fds':>5}{'kB/round':>10}"
        f"{'RSS x':>8}{'PSS x':>7}{'CPU x':>18}"
    )
    for name, one in found.items():
        last = one.last
        line = f"{name:<20}{last.rss:>8.1f}{last.pss:>8.1f}{spread(one.cpu, 3):>22}{last.threads:>9}{last.fds:>5}{one.sent:>10.1f}"
        if base:
            ratios = [mine / theirs for mine, theirs in zip(one.cpu, base.cpu, strict=True)]
            line += f"{last.rss / base.last.rss:>8.2f}{last.pss / base.last.pss:>7.2f}{spread(ratios, 2):>18}"
        print(line + ("" if one.sent else "   delivered nothing"))


def main() -> int:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 120
    show(run(seconds), seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
