"""The same measurements by psutil, for hosts that have no Linux /proc: macOS, the BSDs, Windows.

Not part of the default set, since psutil costs 5 MB where reading /proc costs nothing. It stands in for the other collectors::

    [collectors.portable]
    type = "collectors.host.portable:Portable"
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import psutil

from collectors.host import cpu, net
from collectors.host.sources import kernelfile
from collectors.host.system import uptime_format
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_MEM: Final = {
    "active": "active",
    "buffered": "buffers",
    "cached": "cached",
    "free": "free",
    "inactive": "inactive",
    "shared": "shared",
    "slab": "slab",
}
_DISKIO: Final = {
    "reads": "read_count",
    "writes": "write_count",
    "read_bytes": "read_bytes",
    "write_bytes": "write_bytes",
    "read_time": "read_time",
    "write_time": "write_time",
    "io_time": "busy_time",
    "merged_reads": "read_merged_count",
    "merged_writes": "write_merged_count",
}
_NET: Final = {
    "bytes_sent": "bytes_sent",
    "bytes_recv": "bytes_recv",
    "packets_sent": "packets_sent",
    "packets_recv": "packets_recv",
    "err_in": "errin",
    "err_out": "errout",
    "drop_in": "dropin",
    "drop_out": "dropout",
}
_MILLI: Final = 1000

Series = Iterator[tuple[dict[str, str], dict[str, Value]]]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``include``: which measurements; ``ignore``: network interfaces to leave out (shell patterns)."""

    include: tuple[Literal["cpu", "mem", "swap", "disk", "diskio", "net", "system"], ...] = (
        "cpu",
        "mem",
        "swap",
        "disk",
        "diskio",
        "net",
        "system",
    )
    ignore: tuple[str, ...] = net.Options().ignore


class Portable:
    """Asks psutil. Fields that the operating system does not tell are left out; there are no inodes and no process states."""

    def __init__(self, options: Options, roots: "Roots") -> None:
        self._options = options
        self._sessions = Path(roots.run, "utmp")
        self._last: dict[str, cpu.Ticks] = {}

    async def collect(self, now: int) -> list[Point]:
        """Return the points of all measurements asked for; percentages of ``cpu`` from the second reading on."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        reading: dict[str, Callable[[], Series]] = {
            "cpu": self._cpu,
            "mem": _mem,
            "swap": _swap,
            "disk": _disk,
            "diskio": _diskio,
            "net": self._net,
            "system": lambda: _system(now, self._sessions),
        }
        return [
            Point(name, tags, fields, now)
            for name in self._options.include
            for tags, fields in reading[name]()
            if fields
        ]

    def _cpu(self) -> Series:
        readings = {f"cpu{number}": _ticks(times) for number, times in enumerate(psutil.cpu_times(percpu=True))}
        readings["cpu-total"] = _ticks(psutil.cpu_times())
        for name, ticks in readings.items():
            if (before := self._last.get(name)) is not None:
                yield {"cpu": name}, cpu.usage(before, ticks, _MILLI)
        self._last = readings

    def _net(self) -> Series:
        states = psutil.net_if_stats()
        for name, told in psutil.net_io_counters(pernic=True).items():
            state = states.get(name)
            if state is None or not state.isup or "loopback" in getattr(state, "flags", "").split(","):
                continue
            if not kernelfile.matches(name, self._options.ignore):
                yield {"interface": name}, {**_named(told, _NET), "speed": state.speed or net.UNKNOWN_SPEED}


def _ticks(times: Any) -> cpu.Ticks:
    return tuple(round(getattr(times, state, 0.0) * _MILLI) for state in cpu.STATES)


def _named(told: Any, names: dict[str, str]) -> dict[str, Value]:
    return {name: int(getattr(told, theirs)) for name, theirs in names.items() if hasattr(told, theirs)}


def _mem() -> Series:
    told = psutil.virtual_memory()
    used = told.total - told.available
    yield (
        {},
        {
            **_named(told, _MEM),
            "total": told.total,
            "available": told.available,
            "used": used,
            "available_percent": 100 * told.available / told.total,
            "used_percent": 100 * used / told.total,
        },
    )


def _swap() -> Series:
    told = psutil.swap_memory()
    fields = _named(told, {"total": "total", "used": "used", "free": "free", "in": "sin", "out": "sout"})
    yield {}, {**fields, "used_percent": 100 * told.used / told.total if told.total else 0.0}


def _disk() -> Series:
    for part in psutil.disk_partitions():
        try:
            told = psutil.disk_usage(part.mountpoint)
        except OSError:
            continue  # an empty drive, or one that others may not look at
        options = part.opts.split(",")
        mode = next((mode for mode in ("rw", "ro") if mode in options), "unknown")
        tags = {
            "path": part.mountpoint,
            "device": part.device.replace("/dev/", ""),
            "fstype": part.fstype,
            "mode": mode,
        }
        usable = told.used + told.free
        sizes = _named(told, {"total": "total", "free": "free", "used": "used"})
        yield tags, {**sizes, "used_percent": 100 * told.used / usable if usable else 0.0}


def _diskio() -> Series:
    for name, told in (psutil.disk_io_counters(perdisk=True) or {}).items():
        if any(told):
            yield {"name": name}, _named(told, _DISKIO)


def _system(now: int, sessions: Path) -> Series:
    load1, load5, load15 = psutil.getloadavg()
    uptime = int(now / 1e9 - psutil.boot_time())
    fields: dict[str, Value] = {
        "load1": load1,
        "load5": load5,
        "load15": load15,
        "uptime": uptime,
        "uptime_format": uptime_format(uptime),
    }
    users = [user.name for user in psutil.users()]
    # without this file psutil sees nobody, whoever is there
    if users or not psutil.LINUX or sessions.exists():
        fields |= {"n_users": len(users), "n_unique_users": len(set(users))}
    counts = {"n_cpus": psutil.cpu_count(), "n_physical_cpus": psutil.cpu_count(logical=False)}
    fields.update({name: count for name, count in counts.items() if count})
    yield {}, fields
