"""``systemd_units``: the state of each service of systemd."""

import asyncio
import errno
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import kernelfile, program
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_SECONDS: Final = 15
_COLUMNS: Final = 5  # name, load, active, sub, description
_LOAD: Final = ("loaded", "stub", "not-found", "bad-setting", "error", "merged", "masked")
_ACTIVE: Final = ("active", "reloading", "inactive", "failed", "activating", "deactivating")
# Telegraf's numbers: each kind of unit has a block of its own, and a state that several kinds know is in the first of them
_SUB: Final = {
    0x00: (
        *("running", "dead", "start-pre", "start", "exited", "reload", "stop", "stop-watchdog", "stop-sigterm"),
        *("stop-sigkill", "stop-post", "final-sigterm", "failed", "auto-restart", "condition", "cleaning"),
    ),
    0x10: (
        *("waiting", "reload-signal", "reload-notify", "final-watchdog", "dead-before-auto-restart"),
        *("failed-before-auto-restart", "dead-resources-pinned", "auto-restart-queued"),
    ),
    0x20: ("tentative", "plugged"),
    0x30: (
        *("mounting", "mounting-done", "mounted", "remounting", "unmounting", "remounting-sigterm"),
        *("remounting-sigkill", "unmounting-sigterm", "unmounting-sigkill"),
    ),
    0x50: ("abandoned",),
    0x60: ("active",),
    0x70: (
        *("start-chown", "start-post", "listening", "stop-pre", "stop-pre-sigterm", "stop-pre-sigkill"),
        "final-sigkill",
    ),
    0x80: ("activating", "activating-done", "deactivating", "deactivating-sigterm", "deactivating-sigkill"),
    0xA0: ("elapsed",),
}
_UNKNOWN: Final = -1
# a property of systemd -> Telegraf's field; older versions lack some
_DETAILS: Final = {
    "StatusErrno": "status_errno",
    "NRestarts": "restarts",
    "MainPID": "pid",
    "MemoryCurrent": "mem_current",
    "MemoryPeak": "mem_peak",
    "MemorySwapCurrent": "swap_current",
    "MemorySwapPeak": "swap_peak",
    "MemoryAvailable": "mem_avail",
}
_TAGS: Final = {"UnitFileState": "state", "UnitFilePreset": "preset"}
_NOT_SET: Final = 2**64 - 1  # as old versions write what newer ones call [not set] or infinity


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``units``: names or patterns as systemctl takes them (``nginx*``), all by default; ``unittype``: ``service``, ``timer`` ...

    ``details`` adds restarts, main process and memory of each loaded unit, and whether it is enabled; Telegraf's
    ``active_enter_timestamp_us`` is not among them, which systemctl tells in words only.
    """

    units: tuple[str, ...] = ()
    unittype: str = "service"
    details: bool = False


class SystemdUnits:
    """Calls ``systemctl list-units``, which every version has; a hanging D-Bus costs one killed process a round."""

    def __init__(self, options: Options, roots: "Roots", run: program.Run = program.run) -> None:
        self._booted = Path(roots.run, "systemd/system")
        self._run = run
        self._details = options.details
        self._codes = {state: block + place for block, states in _SUB.items() for place, state in enumerate(states)}
        self._command = [
            "systemctl",
            "list-units",
            *("--all", "--plain", "--full", "--no-legend", "--no-pager", f"--type={options.unittype}"),
            *options.units,
        ]

    async def collect(self, now: int) -> list[Point]:
        """Return one point a unit. FileNotFoundError on hosts without systemd, OSError when it does not answer."""
        if not await asyncio.to_thread(self._booted.exists):
            raise kernelfile.lacking(str(self._booted), "this host was not started by systemd")
        listed = await self._ask(self._command)
        rows = (line.lstrip("●*× ").split(None, _COLUMNS - 1) for line in listed.splitlines())
        points = [self._point(*row[:4], now=now) for row in rows if len(row) >= _COLUMNS - 1]
        loaded = [point.tags["name"] for point in points if point.tags["load"] == _LOAD[0]]
        if not (self._details and loaded):
            return points
        properties = ",".join(("Id", *_DETAILS, *_TAGS))
        told = _shown(await self._ask(["systemctl", "show", f"--property={properties}", "--", *loaded]))
        return [_detailed(point, told.get(point.tags["name"], {})) for point in points]

    async def _ask(self, command: list[str]) -> str:
        ended = await self._run(command, seconds=_SECONDS)
        if ended.code:
            raise OSError(errno.EIO, f"systemctl: {ended.complaint()}")
        return ended.out

    def _point(self, name: str, load: str, active: str, sub: str, *, now: int) -> Point:
        fields: dict[str, Value] = {
            "load_code": _LOAD.index(load) if load in _LOAD else _UNKNOWN,
            "active_code": _ACTIVE.index(active) if active in _ACTIVE else _UNKNOWN,
            "sub_code": self._codes.get(sub, _UNKNOWN),
        }
        return Point("systemd_units", {"name": name, "load": load, "active": active, "sub": sub}, fields, now)


def _shown(out: str) -> dict[str, dict[str, str]]:
    """Read what ``systemctl show`` says: name -> properties; units are apart by an empty line."""
    blocks = (dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in out.split("\n\n"))
    return {block["Id"]: block for block in blocks if "Id" in block}


def _detailed(point: Point, told: dict[str, str]) -> Point:
    """Return the point with what is told of its unit; numbers that are not set have no field."""
    tags = {tag: told[name] for name, tag in _TAGS.items() if told.get(name)}
    fields: dict[str, Value] = {
        field: int(told[name])
        for name, field in _DETAILS.items()
        if told.get(name, "").isdecimal() and int(told[name]) < _NOT_SET
    }
    return Point(point.measurement, {**point.tags, **tags}, {**point.fields, **fields}, point.time)
