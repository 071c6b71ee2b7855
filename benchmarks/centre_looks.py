"""Looks at a web server: what they cost beside blackbox_exporter, and how many checks start without a crowd."""

import time
from pathlib import Path
from typing import Final

import daemons
from centre_figures import Table, lateness
from centre_process import Centre, Web, blackbox, load, web_server
from centre_profile import PARTS, Window, by_part

_INTERVAL: Final = 10  # seconds between the looks of a check
_WARM: Final = 13.0
_PEER_WARM: Final = 3.0
_FIRST: Final = 10  # seconds after the start that are told one by one
_BEATS: Final = 40.0  # seconds until the centre has twice written down how late it was
_SERVICE: Final = '[[service]]\nid = "s{0}"\nname = "Service {0}"\nagency = "a"\nurl = "{1}"\n'
_CHECK: Final = '[[check]]\nid = "c{0}"\nservice = "s{0}"\ninterval = "{1}s"\ntimeout = "5s"\n'
_COSTS: Final = (
    "looks/s",
    "looked/s",
    "CPU, ms a second",
    "ms a look",
    "due to committed, ms p50 / p95 / max",
    "blackbox_exporter: looked/s",
    "CPU, ms a second",
    "ms a look",
    "Pantau : blackbox_exporter",
)
_STARTS: Final = (
    "checks",
    "listens after, s",
    "CPU until then, s",
    f"looks in each of the first {_FIRST} s",
    "due a second",
    "due to committed, ms p50 / p95 / max",
    "RSS MB",
)


class Looks:
    """The tables of looks."""

    def __init__(self) -> None:
        self._costs = Table("http looks at a local nginx, a new connection each", _COSTS)
        self._parts = Table("CPU by part, ms a second", ("looks/s", *PARTS))

    def measure(self, folder: Path, rate: int, seconds: int) -> None:
        """Measure one rate of looks, of the centre and then of the exporter."""
        folder.mkdir()
        with web_server(folder / "nginx") as web:
            centre = _centre(folder, rate * _INTERVAL, _INTERVAL, web)
            with centre.running():
                time.sleep(_WARM)
                window, looked, stretch = _centre_window(centre, web, seconds)
                parts = by_part(centre.pid, window, max(8, seconds // 3), folder / "stacks")
            late = lateness(centre.store, "http", *stretch)
            asked, cpu = _peer(folder, web, rate, seconds)
        own, peer = window.cpu / window.seconds * 1000, cpu * 1000
        each, other = own / looked, peer / asked
        cells = (
            f"{own:.0f}",
            f"{each:.2f}",
            late,
            f"{asked:.0f}",
            f"{peer:.0f}",
            f"{other:.2f}",
            f"{each / other:.2f}",
        )
        self._costs.row(rate, f"{looked:.0f}", *cells)
        if parts:
            self._parts.row(rate, *(f"{parts.get(part, 0.0) / window.seconds * 1000:.1f}" for part in PARTS))

    def show(self) -> None:
        """Print the tables."""
        self._costs.show()
        self._parts.show()


class Start:
    """The table of starts with many checks."""

    def __init__(self) -> None:
        self._table = Table("A start with many checks, ten minutes between looks", _STARTS)

    def measure(self, folder: Path, checks: int) -> None:
        """Measure one number of checks."""
        folder.mkdir()
        with web_server(folder / "nginx") as web:
            centre = _centre(folder, checks, 600, web)
            begun = time.time()
            with centre.running() as took:
                cpu, listens = centre.cpu(), time.time()
                time.sleep(_BEATS)
                memory, end = centre.memory(), time.time()
            counts = [0] * _FIRST
            for answered in web.answered():
                if 0 <= answered - listens < _FIRST:
                    counts[int(answered - listens)] += 1
            late = lateness(centre.store, "http", begun, end)
        told = " ".join(map(str, counts))
        self._table.row(f"{checks:,}", f"{took:.1f}", f"{cpu:.1f}", told, f"{checks / 600:.1f}", late, f"{memory:.0f}")

    def show(self) -> None:
        """Print the table."""
        self._table.show()


def _centre(folder: Path, checks: int, interval: int, web: Web) -> Centre:
    settings = "".join(_CHECK.format(number, interval) for number in range(checks))
    register = "".join(_SERVICE.format(number, web.url) for number in range(checks))
    return Centre(folder, settings=settings, register=register)


def _centre_window(centre: Centre, web: Web, seconds: float) -> tuple[Window, float, tuple[float, float]]:
    """Return the CPU of a stretch, the looks a second that it had, and its begin and end, s since epoch."""
    before, begun = len(web.answered()), time.time()
    window = Window(centre.pid, centre.cpu())
    time.sleep(seconds)
    window.end(centre.cpu())
    return window, (len(web.answered()) - before) / window.seconds, (begun, time.time())


def _peer(folder: Path, web: Web, rate: int, seconds: float) -> tuple[float, float]:
    """Return the looks of blackbox_exporter a second, and its CPU seconds a second."""
    with blackbox(folder) as (address, session), load("ask", address + web.url, str(rate), log=folder / "ask.log"):
        time.sleep(_PEER_WARM)
        before, cpu, begun = len(web.answered()), daemons.cpu(session), time.monotonic()
        time.sleep(seconds)
        cpu, took = daemons.cpu(session) - cpu, time.monotonic() - begun
        return (len(web.answered()) - before) / took, cpu / took
