"""``procstat``: what chosen processes use; ``procstat_lookup``: how many of them there are, also when there are none."""

import asyncio
import glob
import os
import pwd
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import kernelfile, process
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_SELECTORS: Final = ("exe", "pattern", "user", "pid_file", "systemd_unit")
_LOOKUP_ERROR: Final = 1
# of several processes of one name, the oldest speaks for these; the others are added up
_OF_THE_OLDEST: Final = {
    "pid",
    "ppid",
    "created_at",
    "status",
    "nice_priority",
    "realtime_priority",
    "rlimit_num_fds_soft",
    "rlimit_num_fds_hard",
}
_YOUNG: Final = 2  # rounds after which a process is taken to have become the program that it will be
_ALL_AGAIN: Final = 6


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which processes; each entry of each list is a lookup of its own.

    ``exe``: a regular expression in the program's name; ``pattern``: one in its command line; ``user``: a name or number;
    ``pid_file``: a file that holds a number; ``systemd_unit``: all processes of a unit. ``pid_tag``: a series for each
    process; without it, processes of one name are added up, as equal series at one time would overwrite each other.
    ``solaris_mode``: 100 % is all processors instead of one.
    """

    exe: tuple[str, ...] = ()
    pattern: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    pid_file: tuple[str, ...] = ()
    systemd_unit: tuple[str, ...] = ()
    pid_tag: bool = False
    solaris_mode: bool = False

    def __post_init__(self) -> None:
        """ValueError when nothing is asked for, or by a pattern that is none."""
        if not any(getattr(self, selector) for selector in _SELECTORS):
            raise ValueError(f"expected at least one of {', '.join(_SELECTORS)}")
        for text in (*self.exe, *self.pattern):
            try:
                re.compile(text)
            except re.error as error:
                raise ValueError(f"{text!r} is no regular expression: {error}") from error


class Procstat:
    """Looks through names and command lines for the processes, and reads more of those that were found only."""

    def __init__(self, options: Options, roots: "Roots") -> None:
        self._options = options
        self._roots = roots
        self._round = 0
        self._known: dict[str, tuple[int, tuple[str, str]]] = {}
        self._spent: dict[tuple[int, int], int] = {}
        self._last_at = 0
        self._seconds = 0.0
        self._boot = 0
        self._memory = 0

    async def collect(self, now: int) -> list[Point]:
        """Return a ``procstat_lookup`` point for each lookup, ``procstat`` points for what was found.

        ``cpu_usage`` needs an earlier reading. PermissionError where /proc hides other users' processes.
        """
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        everyone = process.pids(self._roots.proc)
        self._learn(everyone)
        self._seconds = (now - self._last_at) / 1e9
        self._boot = kernelfile.counts(self._roots.proc, "stat").get("btime", 0)
        self._memory = kernelfile.counts(self._roots.proc, "meminfo").get("MemTotal", 0) * 1024
        seen: dict[str, process.Process | None] = {}
        points = []
        for selector in _SELECTORS:
            for wanted in getattr(self._options, selector):
                points += self._lookup(selector, wanted, everyone, seen, now)
        self._spent = {(one.pid, one.started): one.spent for one in seen.values() if one}
        self._last_at = now
        return points

    def _learn(self, everyone: list[str]) -> None:
        """Read names where they are not known. A process may turn into another program, mostly soon after its start."""
        if not (self._options.exe or self._options.pattern):
            return
        again = self._round % _ALL_AGAIN == 0
        self._round += 1
        before, self._known = self._known, {}
        for pid in everyone:
            rounds, names = before.get(pid, (0, ("", "")))
            if again or rounds < _YOUNG:
                names = process.names(self._roots.proc, pid)
            self._known[pid] = (rounds + 1, names)

    def _lookup(
        self, selector: str, wanted: str, everyone: list[str], seen: dict[str, process.Process | None], now: int
    ) -> list[Point]:
        found = self._find(selector, wanted, everyone)
        for pid in found or ():
            if pid not in seen:
                seen[pid] = process.look(self._roots.proc, pid)
        alive = [one for pid in found or () if (one := seen[pid])]
        failed = found is None
        tags = {selector: wanted, "pid_finder": "native", "result": "lookup_error" if failed else "success"}
        fields: dict[str, Value] = {
            "pid_count": len(found or ()),
            "running": len(alive),
            "result_code": _LOOKUP_ERROR if failed else 0,
        }
        points = [Point("procstat_lookup", tags, fields, now)]
        groups: dict[tuple[str, int], list[process.Process]] = {}
        for one in sorted(alive, key=lambda one: (one.started, one.pid)):
            groups.setdefault((one.name, one.pid if self._options.pid_tag else 0), []).append(one)
        for (name, number), members in groups.items():
            tags = {"process_name": name, "pidfile" if selector == "pid_file" else selector: wanted}
            used = self._sum(members)
            if number:
                tags["pid"] = str(used.pop("pid"))
            points.append(Point("procstat", tags, used, now))
        return points

    def _find(self, selector: str, wanted: str, everyone: list[str]) -> list[str] | None:
        """Return the numbers of the processes that are wanted; None when one cannot look for them."""
        match selector:
            case "exe" | "pattern":
                which, regex = _SELECTORS.index(selector), re.compile(wanted)
                return [pid for pid, (_, names) in self._known.items() if regex.search(names[which])]
            case "user":
                return self._of_user(wanted, everyone)
            case "pid_file":
                pid = kernelfile.number("/", wanted.lstrip("/"))
                return None if pid is None else [str(pid)]
        return self._of_unit(wanted)

    def _of_user(self, user: str, everyone: list[str]) -> list[str] | None:
        try:
            uid = int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
        except KeyError:
            return None
        found = []
        for pid in everyone:
            try:
                if os.stat(f"{self._roots.proc}/{pid}").st_uid == uid:  # noqa: PTH116 - cheaper for thousands
                    found.append(pid)
            except FileNotFoundError:
                continue  # ended since the folder was listed
        return found

    def _of_unit(self, unit: str) -> list[str]:
        """Return the processes in a unit's control group; none when the unit does not run and so has no group."""
        name = glob.escape(unit if "." in unit else f"{unit}.service")
        found: list[str] = []
        for root in ("", "systemd", "unified"):
            groups = Path(self._roots.sys, "fs/cgroup", root)
            folders = [folder for depth in (1, 2, 3) for folder in groups.glob(f"{'*.slice/' * depth}{name}")]
            for folder in folders:
                for file in (folder / "cgroup.procs", *folder.glob("**/*/cgroup.procs")):
                    found += (kernelfile.word(str(file.parent), file.name) or "").split()
            if found:
                break
        return found

    def _sum(self, members: list[process.Process]) -> dict[str, Value]:
        oldest = members[0]
        fields = dict(oldest.fields)
        for one in members[1:]:
            for name, value in one.fields.items():
                if name not in _OF_THE_OLDEST and isinstance(value, int | float):
                    fields[name] = fields.get(name, 0) + value  # type: ignore[operator]
        tick = os.sysconf("SC_CLK_TCK")
        fields["created_at"] = (self._boot * 1000 + oldest.started * 1000 // tick) * 10**6
        if self._memory:
            fields["memory_usage"] = 100 * int(fields["memory_rss"]) / self._memory
        since = [one.spent - self._spent[key] for one in members if (key := (one.pid, one.started)) in self._spent]
        if since and self._seconds > 0:
            cores = os.cpu_count() or 1 if self._options.solaris_mode else 1
            fields["cpu_usage"] = 100 * sum(since) / tick / self._seconds / cores
        return fields
