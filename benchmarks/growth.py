"""How the agent grows with its host, beside node_exporter: mounts, processes, interfaces by the thousand, all of them real.

    python benchmarks/growth.py [mounts|processes|interfaces ...] [--sizes 10,100,1000] [--rounds 30]

Both run in mount, network and process namespaces of their own (needs root, or a kernel that lets users have namespaces), in
which this script makes bind mounts, sleeping processes, or pairs of interfaces. Both observe once a second, so that a
minute shows many rounds; the agent has its default collectors, node_exporter its own, with that of processes where they grow.
CPU is per round, with all that a round costs: the agent packs, spools and sends it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import peers
from daemons import Sample, cpu, keep_polling, look, started

if TYPE_CHECKING:
    from collections.abc import Callable

WARM_UP = 5


class Crowd:
    """What grows: each kind is made up to a number, and goes with the namespaces."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def mounts(self, number: int) -> None:
        """Bind folders of this file system to themselves."""
        for at in range(self._count, number):
            place = self._folder / f"mount{at}"
            place.mkdir()
            _run("mount", "--bind", place, place)
        self._count = number

    def processes(self, number: int) -> None:
        """Start processes that sleep."""
        for _ in range(self._count, number):
            os.posix_spawn("/bin/sleep", ["sleep", "86400"], {})
        self._count = number

    def interfaces(self, number: int) -> None:
        """Add pairs of virtual ethernet, under names that the agent does not take for a container's, and bring them up."""
        pairs = range(self._count // 2, number // 2)
        batch = "".join(
            f"link add port{at} type veth peer name peer{at}\nlink set port{at} up\nlink set peer{at} up\n"
            for at in pairs
        )
        subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)
        self._count = number


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


def measure(folder: Path, rounds: int, *arguments: str) -> list[tuple[Sample, float]]:
    """Return for the agent and for node_exporter the last look and the CPU of a round (ms)."""
    with ExitStack() as stack:
        pair = [peers.pantau(folder, stack, 1), peers.node_exporter(folder, stack, *arguments)]
        leaders = [stack.enter_context(started(peer.command, folder / f"{peer.name}.log")) for peer in pair]
        end = keep_polling([peer.poll for peer in pair if peer.poll], 1)
        stack.callback(end.set)
        time.sleep(WARM_UP)
        before, sent = [cpu(leader) for leader in leaders], [peer.traffic.messages for peer in pair]
        time.sleep(rounds)
        after, went = [cpu(leader) for leader in leaders], [peer.traffic.messages for peer in pair]
        return [
            (look(leader), 1000 * (after[at] - before[at]) / max(1, went[at] - sent[at]))
            for at, leader in enumerate(leaders)
        ]


def grow(kind: str, sizes: list[int], rounds: int) -> None:
    """Print a table of one kind, from within the namespaces."""
    _run("ip", "link", "set", "lo", "up")
    _run("mount", "-t", "sysfs", "sysfs", "/sys")
    print(
        f"{kind:<12}{'agent ms':>10}{'RSS MB':>8}{'exporter ms':>13}{'RSS MB':>8}{'CPU x':>7}{'RSS x':>7}", flush=True
    )
    with tempfile.TemporaryDirectory() as folder:
        make: Callable[[int], None] = getattr(Crowd(Path(folder)), kind)
        for size in sizes:
            make(size)
            (Path(folder) / f"at{size}").mkdir()
            more = ["--collector.processes"] if kind == "processes" else []
            (mine, spent), (theirs, peer_spent) = measure(Path(folder) / f"at{size}", rounds, *more)
            print(
                f"{size:<12}{spent:>10.1f}{mine.rss:>8.1f}{peer_spent:>13.1f}{theirs.rss:>8.1f}"
                f"{spent / peer_spent:>7.2f}{mine.rss / theirs.rss:>7.2f}",
                flush=True,
            )
        _run("umount", "--recursive", "--lazy", "/sys")
        os._exit(0)  # what was made ends with the namespaces


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = ("mounts", "processes", "interfaces")
    parser.add_argument("kinds", nargs="*", choices=[*kinds, []], metavar="KIND")
    parser.add_argument(
        "--sizes", type=lambda text: [int(size) for size in text.split(",")], default=[0, 10, 100, 1000]
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--inside", choices=kinds, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        grow(chosen.inside, chosen.sizes, chosen.rounds)
    own = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    if os.geteuid():
        own += ["--user", "--map-root-user"]
    for kind in chosen.kinds or kinds:
        sizes = ",".join(map(str, chosen.sizes))
        again = [sys.executable, __file__, "--inside", kind, "--sizes", sizes, "--rounds", str(chosen.rounds)]
        if subprocess.run([*own, *again]).returncode:
            print(f"{kind}: not measured; it needs unshare (util-linux), ip (iproute2) and the right to namespaces")
    return 0


if __name__ == "__main__":
    sys.exit(main())
