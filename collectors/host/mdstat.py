"""``mdstat``: software RAID: disks that work, failed or are missing, and how far a rebuild is."""

import asyncio
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import kernelfile
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_DISKS: Final = re.compile(r"\[(\d+)/(\d+)\] \[([U_]+)\]")
_MEMBER: Final = re.compile(r"(\S+)\[\d+\]((?:\([A-Z]\))*)")
_SYNC: Final = re.compile(r"(recovery|resync|reshape|check|repair) *=")
_PROGRESS: Final = re.compile(r"= *([\d.]+)% \((\d+)/\d+\) finish=([\d.]+)min speed=(\d+)K")
_ACTIVE: Final = "active"
_ACTIVITY: Final = {
    "recovery": "recovering",
    "resync": "resyncing",
    "reshape": "reshaping",
    "check": "checking",
    "repair": "repairing",
}


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to choose."""


class Mdstat:
    """Reads ``/proc/mdstat``, there once the kernel's RAID driver was loaded."""

    def __init__(self, _options: Options, roots: "Roots") -> None:
        self._roots = roots

    async def collect(self, now: int) -> list[Point]:
        """Return one point an array; blocks are KiB, ``BlocksSyncedFinishTime`` minutes, ``BlocksSyncedSpeed`` KiB/s."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        return [_array(text, now) for text in _arrays(kernelfile.text(self._roots.proc, "mdstat"))]


def _arrays(table: str) -> Iterator[str]:
    """Return each array's lines as one text: what is indented belongs to the line above."""
    array = ""
    for line in table.splitlines():
        if line[:1].isspace():
            array += f"\n{line}"
            continue
        if array:
            yield array
        array = line if " : " in line and not line.startswith("Personalities") else ""
    if array:
        yield array


def _array(text: str, now: int) -> Point:
    head, _, below = text.partition("\n")
    name, _, told = head.partition(" : ")
    state = told.split()[0]
    members = _MEMBER.findall(told)
    marks = [mark for _, mark in members]
    failed, spare = sum("(F)" in mark for mark in marks), sum("(S)" in mark for mark in marks)
    total = active = down = 0
    if state == _ACTIVE:  # one that does not run may still be shown with the disks that it had
        total = active = len(members)
        if disks := _DISKS.search(below):
            total, active, down = int(disks[1]), int(disks[2]), disks[3].count("_")
    blocks = int(below.split(None, 1)[0]) if below else 0
    sync, progress = _SYNC.search(below), _PROGRESS.search(below)
    synced = 0 if sync else blocks
    fields: dict[str, Value] = {
        "DisksActive": active,
        "DisksFailed": failed,
        "DisksDown": down,
        "DisksSpare": spare,
        "DisksTotal": total,
        "BlocksTotal": blocks,
        "BlocksSynced": int(progress[2]) if progress else synced,
        "BlocksSyncedPct": float(progress[1]) if progress else 0.0,
        "BlocksSyncedFinishTime": float(progress[3]) if progress else 0.0,
        "BlocksSyncedSpeed": float(progress[4]) if progress else 0.0,
    }
    tags = {
        "Name": name,
        "ActivityState": _ACTIVITY[sync[1]] if sync else state,
        "Devices": ",".join(sorted(device for device, _ in members)),
    }
    return Point("mdstat", tags, fields, now)
