"""``systemd_units``: the state of each service of systemd."""

import asyncio
import errno
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host import kernelfile, program
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


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``units``: names or patterns as systemctl takes them (``nginx*``), all by default; ``unittype``: ``service``, ``timer`` ..."""

    units: tuple[str, ...] = ()
    unittype: str = "service"


class SystemdUnits:
    """Calls ``systemctl list-units``, which every version has; a hanging D-Bus costs one killed process a round."""

    def __init__(self, options: Options, roots: "Roots", run: program.Run = program.run) -> None:
        self._booted = Path(roots.run, "systemd/system")
        self._run = run
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
        ended = await self._run(self._command, seconds=_SECONDS)
        if ended.code:
            raise OSError(errno.EIO, f"systemctl: {ended.complaint()}")
        rows = (line.lstrip("●*× ").split(None, _COLUMNS - 1) for line in ended.out.splitlines())
        return [self._point(*row[:4], now=now) for row in rows if len(row) >= _COLUMNS - 1]

    def _point(self, name: str, load: str, active: str, sub: str, *, now: int) -> Point:
        fields: dict[str, Value] = {
            "load_code": _LOAD.index(load) if load in _LOAD else _UNKNOWN,
            "active_code": _ACTIVE.index(active) if active in _ACTIVE else _UNKNOWN,
            "sub_code": self._codes.get(sub, _UNKNOWN),
        }
        return Point("systemd_units", {"name": name, "load": load, "active": active, "sub": sub}, fields, now)
