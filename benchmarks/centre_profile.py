"""Where the centre's CPU goes, by part: each thread's own CPU time, divided as py-spy saw its stacks.

CPU time is the kernel's (``/proc/PID/task/*/schedstat``), in a window in which nothing else looks at the centre; py-spy looks for
some seconds after it. A thread that it saw nothing of runs no Python: those are the store's database. A stack counts for the
innermost part that it is in, so a question of a rule to the store is the store's, and what a page asks of the ledger the pages'.
Waiting threads count nowhere: what the kernel takes for waking them is divided as all else.
"""

import re
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

NATIVE: Final = "store's own threads"
CHILDREN: Final = "child processes"
_REST: Final = "event loop, threads"
# a file of the program -> the part it is counted for; the first that fits
_PARTS: Final = (
    ("server/ingest/", "ingest"),
    ("server/store/", "store"),
    ("alerts/rules/", "rules"),
    ("server/watching/jobs.py", "rules"),
    ("server/watching/scheduler.py", "schedule"),
    ("server/watching/punctuality.py", "schedule"),
    ("alerts/courier.py", "courier"),
    ("alerts/outbox.py", "courier"),
    ("alerts/", "judge, ledger"),
    ("server/ledger/", "judge, ledger"),
    ("server/watching/", "judge, ledger"),
    ("server/heart.py", "judge, ledger"),
    ("server/state/", "judge, ledger"),
    ("collectors/checks/", "checks"),
    ("server/web/", "pages"),
    ("server/readmodel/", "pages"),
    ("server/report/", "pages"),
)
# what carries the parts, where no part is in the stack
_CARRIERS: Final = (("apscheduler/", "schedule"), ("aiohttp/", "http"), ("server/edge/", "http"))
PARTS: Final = (*dict.fromkeys(part for _, part in (*_PARTS, *_CARRIERS)), _REST, NATIVE, CHILDREN)
_FRAME: Final = re.compile(r"\((?P<file>[^()]*?)(?::\d+)?\)$")
_THREAD: Final = re.compile(r"thread \((?P<id>\d+)\)(?:: (?P<name>.*))?")
_IDLE: Final = ("EpollSelector.select (", "_worker (")  # where a thread waits; py-spy takes some of it for work
_RATE: Final = 100  # samples a second


def py_spy() -> str:
    """Return the path of py-spy, "" when this environment lacks it."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy") or ""


def thread_times(pid: int) -> dict[int, float]:
    """Return the CPU seconds of each thread of a process so far."""
    return {int(number): int(stat.split()[0]) / 1e9 for number, stat in _tasks(pid, "schedstat")}


def _tasks(pid: int, name: str) -> Iterator[tuple[str, str]]:
    for folder in Path("/proc", str(pid), "task").iterdir():
        try:
            yield folder.name, (folder / name).read_text()
        except OSError:  # it ended meanwhile
            continue


class Window:
    """The CPU of a process and its children between two moments."""

    def __init__(self, pid: int, total: float) -> None:
        self._pid = pid
        self._before = thread_times(pid)
        self._total = total
        self._begun = time.monotonic()
        self.threads: dict[int, float] = {}
        self.seconds = self.cpu = 0.0

    def end(self, total: float) -> None:
        """Close the window; ``total`` is the CPU seconds of all processes, as at its begin."""
        self.seconds = time.monotonic() - self._begun
        self.cpu = total - self._total
        now = thread_times(self._pid)
        self.threads = {number: spent - self._before.get(number, 0.0) for number, spent in now.items()}


def by_part(pid: int, window: Window, seconds: int, file: Path) -> Mapping[str, float]:
    """Return the CPU of a window by part, in seconds; looks for ``seconds`` at the process, and leaves its stacks in ``file``.

    Empty where py-spy is missing.
    """
    spy = py_spy()
    if not spy:
        return {}
    command = [spy, "record", "--pid", str(pid), "--duration", str(seconds), "--rate", str(_RATE)]
    done = subprocess.run(
        [*command, "--nonblocking", "--threads", "--format", "raw", "--output", str(file)],
        capture_output=True,
        text=True,
    )
    if done.returncode or not file.exists():
        print(f"py-spy: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return {}
    return _divided(window, file.read_text())


def _divided(window: Window, raw: str) -> Mapping[str, float]:
    crews: dict[int, str] = {}
    samples: dict[str, Counter[str]] = defaultdict(Counter)
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        known = _THREAD.match(thread)
        if known is None:
            continue
        crew = re.sub(r"_\d+$", "", known["name"] or known["id"])  # threads of one pool do the same work
        crews[int(known["id"])] = crew
        if frames and not frames[-1].startswith(_IDLE):
            samples[crew][_part(frames)] += int(count)
    spent: Counter[str] = Counter()
    for number, cpu in window.threads.items():
        shares = (samples[crews[number]] or Counter({_REST: 1})) if number in crews else Counter({NATIVE: 1})
        for part, count in shares.items():
            spent[part] += cpu * count / shares.total()
    spent[CHILDREN] = max(0.0, window.cpu - sum(window.threads.values()))
    return spent


def _part(frames: list[str]) -> str:
    files = [found["file"] for frame in reversed(frames) if (found := _FRAME.search(frame))]
    for places in (_PARTS, _CARRIERS):
        for file in files:
            for prefix, part in places:
                if file.startswith(prefix):
                    return part
    return _REST
