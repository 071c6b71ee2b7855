"""``weblog``: what web servers' access logs tell of each virtual host: requests, answers, how long they took, visitors."""

import asyncio
import glob
import logging
import os
import re
import secrets
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from collectors.host.sources import kernelfile, logformat
from collectors.host.sources.follow import Follower, Place
from collectors.host.sources.kept_file import Kept
from collectors.host.sources.visitors import Sketch
from collectors.point import Point, Value
from configs.units import Size

if TYPE_CHECKING:
    from collectors.host import Roots

_log = logging.getLogger("pantau.host.weblog")

_FILES: Final = ("log/nginx/*access.log", "log/apache2/*access.log", "log/httpd/*access_log")
_NOT_LOGS: Final = re.compile(r".*(?:\.(?:gz|xz|bz2|zst)|[.-]\d+)")  # packed, or rotated away
_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,252}[a-z0-9_])?|\[[0-9a-f:.]+\]")
_OTHER: Final = "other"
_IDLE: Final = 3600 * 10**9
_PENDING: Final = 500
_LIMITS_MS: Final = (10, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)
_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``files``: paths or shell patterns, by default nginx's and Apache's usual ones; rotated and packed ones are left alone.

    ``format``: ``auto``, ``json``, ``combined``, ``main``, ``combined_time``, ``combined_host_time``, ``vhost_combined``,
    ``vhost_combined_time``, ``common``, or a format as nginx (``$host $status ...``) or Apache (``%v %>s ...``) has it.
    ``time_unit``: ``s``, ``ms``, ``us`` or ``ns`` of durations without a decimal point, which are not read by default, since no
    line tells their unit (Apache's formats do by themselves: %T, %D, %{ms}T).
    ``hosts``: shell pattern of a path -> virtual host, for logs that do not name it; otherwise the file's name is taken.
    Of more than ``max_hosts`` virtual hosts the others are added up as ``other``. ``ignore_agents``: shell patterns of
    programs (``User-Agent``) that are no visitors. ``max_bytes`` are read of all files at one reading; a file of which more
    than ``max_behind`` waits is skipped to there.
    """

    files: tuple[str, ...] = ()
    format: str = logformat.AUTO
    time_unit: Literal["", "s", "ms", "us", "ns"] = ""
    hosts: dict[str, str] = {}
    max_hosts: int = 50
    max_files: int = 50
    ignore_agents: tuple[str, ...] = ("Pantau/*",)
    max_bytes: Size = Size(16 << 20)
    max_behind: Size = Size(64 << 20)

    def __post_init__(self) -> None:
        """ValueError for a format that is none."""
        logformat.readers(self.format, self.time_unit)


class Totals(msgspec.Struct):
    """Of one virtual host: counts since the agent first looked; ``last`` is when it was last asked for something (ns)."""

    counts: dict[str, int] = {}
    seconds: float = 0.0
    visitors: bytes = b""
    last: int = 0


class FileTotals(msgspec.Struct):
    """Of one file: where reading goes on and what was read of it."""

    places: list[Place] = []
    lines: int = 0
    bad_lines: int = 0
    skipped: int = 0


class State(msgspec.Struct):
    """Everything that survives a restart. ``salt`` makes visitors' hashes worthless once ``day`` is over."""

    day: str = ""
    salt: bytes = b""
    hosts: dict[str, Totals] = {}
    files: dict[str, FileTotals] = {}


class Host:
    """Counts of one virtual host, as they are added to."""

    def __init__(self, totals: Totals) -> None:
        self.counts = Counter(totals.counts)
        self.seconds = totals.seconds
        self.sketch = Sketch(totals.visitors)
        self.last = totals.last

    def add(self, request: logformat.Request) -> None:
        """Count one request."""
        counts = self.counts
        counts["requests"] += 1
        counts["bytes"] += request.bytes
        counts[f"status_{request.status // 100}xx"] += 1
        if request.seconds is not None:
            self.seconds += request.seconds
            counts["request_time_count"] += 1
            for limit in _LIMITS_MS:
                if request.seconds * 1000 <= limit:
                    counts[f"request_time_le_{limit}ms"] += 1

    def totals(self) -> Totals:
        """Return the counts to be kept."""
        return Totals(dict(self.counts), self.seconds, self.sketch.packed(), self.last)

    def fields(self) -> dict[str, Value]:
        """Return the counts to be sent."""
        counts = self.counts
        names = ["requests", "bytes", *(f"status_{kind}" for kind in _CLASSES)]
        fields: dict[str, Value] = {"visitors": self.sketch.count()}
        if counts["request_time_count"]:
            names += ["request_time_count", *(f"request_time_le_{limit}ms" for limit in _LIMITS_MS)]
            fields["request_time_sum"] = self.seconds
        return {name: counts[name] for name in names} | fields


class Weblog:
    """Reads on in the logs, first from their ends. Counts go on where they were after a restart."""

    def __init__(self, options: Options, roots: "Roots") -> None:
        self._options = options
        self._patterns = options.files or tuple(f"{glob.escape(roots.var)}/{pattern}" for pattern in _FILES)
        self._readers = logformat.readers(options.format, options.time_unit)
        name = f"weblog-{zlib.crc32(repr((self._patterns, options.format)).encode()):08x}.state"
        self._kept = Kept(roots.state, name, State)
        self._state: State | None = None
        self._hosts: dict[str, Host] = {}
        self._followers: dict[str, Follower] = {}
        self._suited: dict[str, logformat.Reader] = {}
        self._pending: Counter[str] = Counter()
        self._wrong: dict[str, str] = {}
        self._first = True

    async def collect(self, now: int) -> list[Point]:
        """Return a ``weblog`` point a virtual host and a ``weblog_file`` point a file.

        FileNotFoundError without any log, PermissionError when none may be read.
        """
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        paths, refused = self._paths()
        state = self._begin(now)
        left = int(self._options.max_bytes)
        failures: dict[str, OSError] = {}
        for path in paths:
            try:
                left -= self._file(path, state, left, now)
            except OSError as error:
                failures[path] = error
        if len(failures) == len(paths):
            raise next(iter(failures.values()))
        self._tell(refused | failures)
        for path in set(self._followers) - set(paths):
            self._followers.pop(path).close()
        self._give_room(now)
        self._first = False
        state.hosts = {name: host.totals() for name, host in self._hosts.items()}
        state.files = {path: told for path, told in state.files.items() if path in self._followers}
        self._kept.put(state)
        return [*self._points(state, now)]

    def _paths(self) -> tuple[list[str], dict[str, OSError]]:
        """Return the logs, and the folders that may not be read, in which a pattern would just find nothing."""
        found: dict[str, None] = {}
        refused: dict[str, OSError] = {}
        for pattern in self._patterns:
            folder = os.path.dirname(pattern)  # noqa: PTH120
            if not glob.has_magic(folder.replace("[[]", "")):
                try:
                    os.listdir(glob.escape(folder) if glob.has_magic(folder) else folder)  # noqa: PTH208
                except PermissionError as error:
                    refused[folder] = error
                except OSError:
                    continue
            paths = sorted(glob.glob(pattern)) or ([] if glob.has_magic(pattern) else [pattern])  # noqa: PTH207
            found |= dict.fromkeys(path for path in paths if not _NOT_LOGS.fullmatch(path))
        found |= dict.fromkeys(path for path, follower in self._followers.items() if follower.is_open)
        if not found:
            raise next(iter(refused.values()), kernelfile.lacking(self._patterns[0], "no access log here"))
        return list(found)[: self._options.max_files], refused

    def _begin(self, now: int) -> State:
        if self._state is None:
            self._state = self._kept.load() or State()
            self._hosts = {name: Host(totals) for name, totals in self._state.hosts.items()}
        day = datetime.fromtimestamp(now / 10**9, UTC).astimezone().date().isoformat()
        if self._state.day != day:
            self._state.day, self._state.salt = day, secrets.token_bytes(16)
            for host in self._hosts.values():
                host.sketch = Sketch()
        return self._state

    def _file(self, path: str, state: State, most: int, now: int) -> int:
        """Read on in one file; return how many bytes were read."""
        told = state.files.setdefault(path, FileTotals())
        follower = self._followers.get(path)
        if follower is None:
            follower = Follower(path, told.places or None, from_start=not self._first)
            self._followers[path] = follower
        skipped, read = follower.skipped, 0
        for lines in follower.read(most, int(self._options.max_behind)):
            for line in lines:
                read += len(line) + 1
                told.lines += 1
                told.bad_lines += not self._line(path, line, state.salt, now)
        told.skipped += follower.skipped - skipped
        told.places = follower.places()
        return read

    def _line(self, path: str, line: bytes, salt: bytes, now: int) -> bool:
        text = line.strip(b"\0\r").decode("utf-8", "replace")
        suited = self._suited.get(path)
        request = suited(text) if suited else None
        if request is None:
            for reader in self._readers:
                if (request := reader(text)) is not None:
                    self._suited[path] = reader
                    break
            else:
                return False
        if kernelfile.matches(request.agent, self._options.ignore_agents):
            return True
        host = self._host(request.host or self._host_of(path))
        host.last = now
        host.add(request)
        if request.address:
            host.sketch.add(f"{request.address}\0{request.agent}", salt)
        return True

    def _host_of(self, path: str) -> str:
        for pattern, name in self._options.hosts.items():
            if kernelfile.matches(path, (pattern,)):
                return name
        return re.sub(r"[._-]?access[._-]log$", "", Path(path).name).strip("._-") or "default"

    def _host(self, written: str) -> Host:
        """Return where a virtual host is counted: by itself while there is room, else among the others."""
        name = re.sub(r":\d+$", "", written.lower()).rstrip(".")
        if name not in self._hosts:
            full = len(self._hosts) - (_OTHER in self._hosts) >= self._options.max_hosts
            if full and _HOST.fullmatch(name) and (name in self._pending or len(self._pending) < _PENDING):
                self._pending[name] += 1
            if full or not _HOST.fullmatch(name):
                name = _OTHER
        return self._hosts.setdefault(name, Host(Totals())) if name not in self._hosts else self._hosts[name]

    def _give_room(self, now: int) -> None:
        """Let the busiest that had no room take the places of those that nobody asked for within an hour."""
        idle = [name for name, host in self._hosts.items() if now - host.last > _IDLE and name != _OTHER]
        for (name, _), gone in zip(self._pending.most_common(), idle, strict=False):
            del self._hosts[gone]
            self._hosts[name] = Host(Totals(last=now))
        self._pending.clear()

    def _tell(self, failures: dict[str, OSError]) -> None:
        wrong = {path: str(error) for path, error in failures.items()}
        for path, why in wrong.items():
            if self._wrong.get(path) != why:
                _log.warning("%s is left out: %s", path, why)
        self._wrong = wrong

    def _points(self, state: State, now: int) -> Iterator[Point]:
        for name, host in self._hosts.items():
            yield Point("weblog", {"vhost": name}, host.fields(), now)
        for path, told in state.files.items():
            fields: dict[str, Value] = {
                "lines": told.lines,
                "bad_lines": told.bad_lines,
                "skipped_bytes": told.skipped,
                "behind_bytes": self._followers[path].behind,
            }
            yield Point("weblog_file", {"file": path}, fields, now)
