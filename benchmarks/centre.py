"""What the centre costs: looks, the judge alone, hosts that push, and a start with many checks. About half an hour.

    python benchmarks/centre.py [looks] [judge] [hosts] [start]     all four unless some are named
        [--rates 20,100,200,500] [--hosts 100,400,1000,3000] [--checks 10000] [--database sqlite,postgresql] [--seconds 30]

looks  http looks at a local nginx by a whole centre, beside prometheus-blackbox-exporter that is asked at the same pace
judge  judge and ledger alone, in this process, on files and databases as they are: no look is made
hosts  a whole centre; hosts push 100 fields each 10 s, an absence and five threshold rules look each 15 s; then readers come, then backups
start  a start with many checks, ten minutes apart

CPU is that of all processes of the centre, in windows of ``--seconds`` (multiples of 30 hold whole rounds). Ratios within one run
count. Each row is printed as it is measured, and tables for docs/figures.md at the end: what was broken off is done again by naming
what is missing. CPU by part needs py-spy (``pip install py-spy``); PostgreSQL, nginx and the exporter are Debian's packages.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

from centre_hosts import Hosts
from centre_judge import Judging
from centre_looks import Looks, Start
from centre_profile import py_spy
from daemons import Missing

PARTS: Final = ("looks", "judge", "hosts", "start")


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="centre.py [PART ...] [options]",
    )
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--rates", type=_numbers, default=[20, 100, 200, 500])
    parser.add_argument("--hosts", type=_numbers, default=[100, 400, 1000, 3000])
    parser.add_argument("--checks", type=_numbers, default=[10_000])
    parser.add_argument("--database", type=lambda text: text.split(","), default=["sqlite", "postgresql"])
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--folder", type=Path, help="where the centre and its databases lie meanwhile, instead of /tmp")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return arguments


def _work(given: argparse.Namespace, place: Path) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """Yield what is to be measured: its name, the work, and what prints the tables that it fills."""
    looks, judging, hosts, start = Looks(), Judging(), Hosts(), Start()
    for part in given.parts or PARTS:
        match part:
            case "looks":
                for rate in given.rates:
                    work = partial(looks.measure, place / f"looks-{rate}", rate, given.seconds)
                    yield f"{rate} looks/s", work, looks.show
            case "judge":
                for database in given.database:
                    work = partial(judging.measure, place / f"judge-{database}", database, given.seconds)
                    yield f"judge on {database}", work, judging.show
            case "hosts":
                for database, number in product(given.database, given.hosts):
                    work = partial(hosts.measure, place / f"hosts-{database}-{number}", number, database, given.seconds)
                    yield f"{number} hosts on {database}", work, hosts.show
            case _:
                for checks in given.checks:
                    yield f"{checks} checks", partial(start.measure, place / f"start-{checks}", checks), start.show


def main() -> int:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the first", flush=True)
    if not py_spy():
        print("no CPU by part: pip install py-spy", flush=True)
    shows: dict[Callable[[], None], None] = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder, ignore_cleanup_errors=True) as name:
        place = Path(name)
        place.chmod(0o755)  # PostgreSQL runs as another user
        try:
            for what, work, show in _work(arguments, place):
                shows[show] = None
                print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)
                try:
                    work()
                except Missing as missing:
                    print(f"  left out: {missing}", flush=True)
        finally:
            for show in shows:
                show()
    return 0


if __name__ == "__main__":
    sys.exit(main())
