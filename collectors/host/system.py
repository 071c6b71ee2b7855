"""``system``: load, processors, users and uptime."""

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from collectors.host.sources import kernelfile, users
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to choose."""


class System:
    """Reads ``/proc/loadavg`` and ``/proc/uptime``; counts processors and users. What this host does not tell is left out."""

    def __init__(self, _options: Options, roots: "Roots") -> None:
        self._roots = roots
        self._online: str | None = None
        self._cores = 0

    async def collect(self, now: int) -> list[Point]:
        """Return one point; ``uptime`` is seconds, ``uptime_format`` reads ``14 days, 11:07``."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        load1, load5, load15 = kernelfile.text(self._roots.proc, "loadavg").split()[:3]
        uptime = int(float(kernelfile.text(self._roots.proc, "uptime").split()[0]))
        fields: dict[str, Value] = {
            "load1": float(load1),
            "load5": float(load5),
            "load15": float(load15),
            "uptime": uptime,
            "uptime_format": uptime_format(uptime),
        }
        fields.update(self._processors())
        names = users.logged_in(self._roots.run)
        if names is not None:
            fields["n_users"] = len(names)
            fields["n_unique_users"] = len(set(names))
        return [Point("system", {}, fields, now)]

    def _processors(self) -> dict[str, Value]:
        online = kernelfile.word(self._roots.sys, "devices/system/cpu/online")
        if online is None:
            stat = kernelfile.text(self._roots.proc, "stat")
            return {"n_cpus": len(re.findall(r"^cpu\d", stat, re.MULTILINE))}
        if online != self._online:
            self._online, self._cores = online, self._physical()
        fields: dict[str, Value] = {"n_cpus": sum(1 for _ in _members(online))}
        if self._cores:
            fields["n_physical_cpus"] = self._cores
        return fields

    def _physical(self) -> int:
        """Count the sets of processors that share a core; kernels before 5.3 name the file otherwise."""
        folder = Path(self._roots.sys, "devices/system/cpu")
        for name in ("core_cpus_list", "thread_siblings_list"):
            if siblings := {file.read_text() for file in folder.glob(f"cpu[0-9]*/topology/{name}")}:
                return len(siblings)
        return 0


def uptime_format(seconds: int) -> str:
    """Write an uptime as Telegraf does: ``14 days, 11:07``, ``1 day,  3:05``, `` 0:18``."""
    minutes = seconds // 60
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    prefix = f"{days} day{'s' if days > 1 else ''}, " if days else ""
    return f"{prefix}{hours:2d}:{minutes:02d}"


def _members(ranges: str) -> list[int]:
    """Return the numbers of a list such as ``0-3,8``."""
    members: list[int] = []
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        members.extend(range(int(first), int(last or first) + 1))
    return members
