"""Hosts that push, and rules over them: CPU by part, memory, how late verdicts are and how long writes take.

With and without readers, and while backups are made.
"""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from centre_figures import Table, answers, lateness, percentile, wall
from centre_load import PAGES
from centre_process import TOKEN, Centre, load, postgresql
from centre_profile import PARTS, Window, by_part
from sqlalchemy import text

from server.state.place import Place

READERS: Final = 10
_SETTLED: Final = 15.0  # seconds of warming up, and the longest wait for the first verdicts of all
_LONGEST: Final = 60.0
_COMING: Final = 3.0  # seconds until all readers are there
_RULES: Final = (
    '[[rule]]\nid = "silent"\ntype = "absence"\nwindow = "5m"\n',
    '[[rule]]\nid = "cpu"\nmeasurement = "cpu"\nfield = "usage_user"\nwhere = { cpu = "cpu-total" }\nabove = 101\n',
    '[[rule]]\nid = "memory"\nmeasurement = "mem"\nfield = "used_percent"\nabove = 101\n',
    '[[rule]]\nid = "load"\nmeasurement = "system"\nfield = "load1"\nabove = 1000\n',
    '[[rule]]\nid = "disk"\nmeasurement = "disk"\nfield = "used_percent"\nwhere = { path = "/" }\nabove = 101\n',
    '[[rule]]\nid = "processes"\nmeasurement = "processes"\nfield = "total"\nabove = 100000\n',
)
_COLUMNS: Final = (
    "hosts",
    "state in",
    "CPU, % of a core",
    "PostgreSQL's",
    "RSS MB",
    "writes/s",
    "a write, ms p50 / p95 / max",
    "oldest verdict, s p50 / max",
    "rules, due to committed, ms p50 / p95 / max",
    f"with {READERS} readers: CPU",
    "a write, ms",
    "a page, ms",
    "oldest verdict, s",
    "with backups one after another: CPU",
    "a write, ms",
    "a backup, s",
    "oldest verdict, s",
    "",
)


class Verdicts:
    """Notes once a second how old the oldest verdict of a rule is, by the table of states."""

    def __init__(self, database: str) -> None:
        self._engine = Place.of(database).engine()
        self._ages: list[tuple[float, float, int]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @contextmanager
    def watching(self) -> Iterator["Verdicts"]:
        """Look until the block ends."""
        self._thread.start()
        try:
            yield self
        finally:
            self._end.set()
            self._thread.join()
            self._engine.dispose()

    def _watch(self) -> None:
        query = text("SELECT min(last_at_ms), count(*) FROM state WHERE check_id LIKE 'rule/%'")
        while not self._end.wait(1.0):
            with self._engine.connect() as connection:
                oldest, count = connection.execute(query).one()
            if count:
                self._ages.append((time.monotonic(), time.time() - oldest / 1000, count))

    def count(self) -> int:
        """Return how many verdicts there are."""
        return self._ages[-1][2] if self._ages else 0

    def ages(self, begun: float, end: float) -> str:
        """Return the age of the oldest verdict in a stretch, p50 and the most, s."""
        found = sorted(age for at, age, _ in self._ages if begun <= at <= end)
        return f"{percentile(found, 50):.1f} / {found[-1]:.1f}" if found else "-"


class Hosts:
    """The tables of hosts that push."""

    def __init__(self) -> None:
        self._hosts = Table("Hosts that push 100 fields each 10 s, six rule results a host each 15 s", _COLUMNS)
        self._parts = Table("CPU by part, ms a second", ("hosts", "state in", *PARTS))
        self._pages = Table(
            f"Pages for {READERS} readers, ms p50 / p95 / max", ("hosts", "state in", *(name for name, _ in PAGES))
        )

    def measure(self, folder: Path, hosts: int, database: str, seconds: int) -> None:
        """Measure one number of hosts on one kind of database."""
        folder.mkdir()
        settings = "".join(_RULES)
        if database == "sqlite":
            self._measure(Centre(folder, settings=settings), hosts, "SQLite", seconds, lambda: 0.0)
            return
        with postgresql(folder / "postgresql") as (url, spent):
            centre = Centre(folder, url, settings=settings)
            self._measure(centre, hosts, "PostgreSQL", seconds, spent)

    def _measure(self, centre: Centre, hosts: int, name: str, seconds: int, beside: Callable[[], float]) -> None:
        writes, pages = centre.folder / "writes.log", centre.folder / "pages.log"
        session = centre.enter()
        with ExitStack() as stack:
            stack.enter_context(centre.running())
            stack.enter_context(load("push", centre.url, TOKEN, str(hosts), log=writes))
            verdicts = stack.enter_context(Verdicts(centre.database).watching())
            remark = _warm(verdicts, hosts)
            quiet = _stretch(centre, seconds, beside)
            memory = centre.memory()
            parts = by_part(centre.pid, quiet.window, max(10, seconds // 3), centre.folder / "stacks")
            with load("read", centre.url, session, str(READERS), "host00000", log=pages):
                time.sleep(_COMING)
                busy = _stretch(centre, seconds, beside)
                memory = max(memory, centre.memory())
            with centre.backing_up() as backups:
                saving = _stretch(centre, seconds, beside)
                memory = max(memory, centre.memory())
        sent = answers(writes, quiet.begun, quiet.end, 204)
        late = lateness(centre.store, "rule", wall(quiet.begun), wall(quiet.end))
        first = (f"{hosts:,}", name)
        self._hosts.row(
            *first,
            f"{quiet.share:.0f}",
            f"{100 * quiet.beside / quiet.window.seconds:.0f}" if quiet.beside else "",
            f"{memory:.0f}",
            f"{len(sent.took) / quiet.window.seconds:.1f}",
            sent,
            verdicts.ages(quiet.begun, quiet.end),
            late,
            f"{busy.share:.0f}",
            answers(writes, busy.begun, busy.end, 204),
            answers(pages, busy.begun, busy.end, 200),
            verdicts.ages(busy.begun, busy.end),
            f"{saving.share:.0f}",
            answers(writes, saving.begun, saving.end, 204),
            f"{statistics.median(backups):.1f}",
            verdicts.ages(saving.begun, saving.end),
            remark,
        )
        if parts:
            self._parts.row(*first, *(f"{parts.get(part, 0.0) / quiet.window.seconds * 1000:.1f}" for part in PARTS))
        self._pages.row(*first, *(answers(pages, busy.begun, busy.end, 200, page) for page, _ in PAGES))

    def show(self) -> None:
        """Print the tables."""
        for table in (self._hosts, self._parts, self._pages):
            table.show()


class Stretch(NamedTuple):
    """A stretch of time in which CPU was counted: that of the centre and, in seconds, of the database beside it."""

    window: Window
    begun: float
    end: float
    beside: float

    @property
    def share(self) -> float:
        """The CPU of the centre in percent of a core."""
        return 100 * self.window.cpu / self.window.seconds


def _stretch(centre: Centre, seconds: float, beside: Callable[[], float]) -> Stretch:
    begun, elsewhere = time.monotonic(), beside()
    window = Window(centre.pid, centre.cpu())
    time.sleep(seconds)
    window.end(centre.cpu())
    return Stretch(window, begun, time.monotonic(), beside() - elsewhere)


def _warm(verdicts: Verdicts, hosts: int) -> str:
    """Wait until there is a verdict of each rule on each host; return a remark when that never comes."""
    time.sleep(_SETTLED)
    end = time.monotonic() + _LONGEST
    while verdicts.count() < hosts * len(_RULES) and time.monotonic() < end:
        time.sleep(0.5)
    count = verdicts.count()
    return "" if count >= hosts * len(_RULES) else f"{count:,} of {hosts * len(_RULES):,} verdicts after a minute"
