"""``journald`` and ``journald_unit``: how many errors and warnings the journal gets, in all and from each unit."""

import asyncio
import errno
import re
import signal
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import msgspec

from collectors.host.sources import dial, kernelfile, program
from collectors.host.sources.kept_file import Kept
from collectors.point import Point, Value
from configs.units import Size

if TYPE_CHECKING:
    from collectors.host import Roots

_SECONDS: Final = 8
# source: syslog's priorities, RFC 5424; systemd.journal-fields(7)
_PRIORITIES: Final = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
_FORM: Final = ("-o", "json", "--no-pager", "--output-fields=PRIORITY,_SYSTEMD_UNIT,SYSLOG_IDENTIFIER,_TRANSPORT")
_CURSOR: Final = "__CURSOR"
_SEQUENCE: Final = re.compile(r"s=(\w+);i=([0-9a-f]+);")
_OTHER: Final = "other"
_NONE: Final = "none"
_IDLE: Final = 86_400 * 10**9


class Run(Protocol):
    """How journalctl is run; see ``program.run``."""

    async def __call__(
        self, command: Sequence[str], *, seconds: float, most: int = 1 << 20, cut: bool = False
    ) -> program.Ended:
        """Run ``command`` and tell the first ``most`` bytes of its output."""
        ...


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``priority``: the least that is counted. ``folder``: a folder of journal files instead of this host's own journal.

    Of more than ``max_units`` units the others are added up as ``other``. ``max_output``: how much of what journalctl writes
    is read at one time, 350 bytes an entry; beyond it, the rest up to now is not counted, only told as ``skipped``.
    """

    priority: Literal["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"] = "warning"
    folder: str = ""
    max_units: int = 50
    max_output: Size = Size(1 << 20)


class Unit(msgspec.Struct):
    """Counts of one unit by priority; ``last`` is when one was added (ns)."""

    counts: dict[str, int] = {}
    last: int = 0


class State(msgspec.Struct):
    """What survives a restart: the last entry that was read, counts in all and of units."""

    cursor: str = ""
    skipped: int = 0
    counts: dict[str, int] = {}
    units: dict[str, Unit] = {}


class Journald:
    """Calls ``journalctl`` for what came since the last entry that was read; the first reading only notes which one that is."""

    def __init__(self, options: Options, roots: "Roots", run: Run = program.run) -> None:
        self._options = options
        self._counted = _PRIORITIES[: _PRIORITIES.index(options.priority) + 1]
        self._place = options.folder or f"{roots.var}/log/journal"
        place = (f"--directory={options.folder}",) if options.folder else ()
        self._command = ("journalctl", *_FORM, *place)
        self._run = run
        self._kept = Kept(roots.state, "journald.state", State)
        self._state: State | None = None

    async def collect(self, now: int) -> list[Point]:
        """Return one point in all and one a unit that had entries; counters since the agent first looked.

        FileNotFoundError without journalctl or a journal, PermissionError when the system's journal may not be read.
        """
        if self._state is None:
            self._state = await asyncio.to_thread(self._kept.load) or State()
        state = self._state
        if not state.cursor:
            state.cursor = await self._newest()
        else:
            await self._count(state, now)
        await asyncio.to_thread(self._kept.put, state)
        return [*self._points(state, now)]

    async def _newest(self) -> str:
        """Return the cursor of the newest entry."""
        ended = await self._run((*self._command, "-n", "1"), seconds=_SECONDS)
        entries = [*_entries(ended.out)]
        if "not seeing messages from other users" in ended.err or "insufficient permissions" in ended.err:
            raise PermissionError(errno.EACCES, "the system's journal may not be read", self._place)
        if not entries:
            raise kernelfile.lacking(self._place, "there is no journal, or it is empty")
        return str(entries[-1].get(_CURSOR, ""))

    async def _count(self, state: State, now: int) -> None:
        """Count the entries after the cursor, oldest first; in a flood, go on with the newest."""
        most = int(self._options.max_output)
        command = (*self._command, "-q", f"--priority={self._options.priority}", f"--after-cursor={state.cursor}")
        ended = await self._run(command, seconds=_SECONDS, most=most, cut=True)
        flood = ended.code == -signal.SIGKILL
        if ended.code and not flood:
            raise OSError(errno.EIO, f"journalctl: {ended.complaint()}")
        for entry in _entries(ended.out):
            state.cursor = str(entry.get(_CURSOR, state.cursor))
            priority = str(entry.get("PRIORITY", ""))
            if not priority.isdigit() or int(priority) >= len(self._counted):
                continue
            name = _PRIORITIES[int(priority)]
            unit = self._unit(state, entry, now)
            unit.last = now
            for counts in (state.counts, unit.counts):
                counts[name] = counts.get(name, 0) + 1
        if flood:
            newest = await self._newest()
            state.skipped += _between(state.cursor, newest)
            state.cursor = newest

    def _unit(self, state: State, entry: dict[str, Any], now: int) -> Unit:
        """Return where an entry is counted: at its unit while there is room, else among the others."""
        name = entry.get("_SYSTEMD_UNIT") or (
            "kernel" if entry.get("_TRANSPORT") == "kernel" else entry.get("SYSLOG_IDENTIFIER")
        )
        name = name if isinstance(name, str) else _NONE
        if name not in state.units:
            own = len(state.units) - (_OTHER in state.units)
            if own >= self._options.max_units:
                idle = next((key for key, one in state.units.items() if now - one.last > _IDLE and key != _OTHER), None)
                if idle is None:
                    name = _OTHER
                else:
                    del state.units[idle]
        return state.units.setdefault(name, Unit())

    def _points(self, state: State, now: int) -> Iterator[Point]:
        fields: dict[str, Value] = {name: state.counts.get(name, 0) for name in self._counted}
        yield Point("journald", {}, {**fields, "skipped": state.skipped}, now)
        for name, unit in state.units.items():
            of_unit: dict[str, Value] = {priority: unit.counts.get(priority, 0) for priority in self._counted}
            yield Point("journald_unit", {"unit": name}, of_unit, now)


def _entries(out: str) -> Iterator[dict[str, Any]]:
    """Yield the entries of complete lines."""
    for line in out.split("\n")[:-1]:
        try:
            yield msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            raise dial.protocol_error("journalctl does not write JSON", "journalctl") from None


def _between(earlier: str, later: str) -> int:
    """Return how many entries of any priority lie after one cursor, up to another; 0 when they are of different journals."""
    one, other = _SEQUENCE.match(earlier), _SEQUENCE.match(later)
    if one is None or other is None or one[1] != other[1]:
        return 0
    return max(int(other[2], 16) - int(one[2], 16), 0)
