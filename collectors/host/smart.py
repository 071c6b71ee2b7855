"""``smart_device``: what disks say about their own health (S.M.A.R.T. and NVMe)."""

import asyncio
import errno
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from collectors.host.sources import program
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_log = logging.getLogger("pantau.host.smart")

_SECONDS: Final = 15
_AT_ONCE: Final = 4
_SCAN_EVERY: Final = 3600 * 10**9
_PAUSE: Final = 3600 * 10**9
_LONGEST_PAUSE: Final = 24 * _PAUSE
_NOT_OPENED: Final = 0b11  # bits of the exit code: bad command line, device not opened or asleep
# number of an attribute of ATA disks -> field: its raw count, or what is left of 100 %
_RAW: Final = {
    5: "reallocated_sectors",
    197: "pending_sectors",
    198: "uncorrectable_sectors",
    199: "udma_crc_errors",
}
_LEFT: Final = {
    177: "wear_leveling_count",
    202: "percent_lifetime_remain",
    233: "media_wearout_indicator",
}
_NVME: Final = (
    "critical_warning",
    "available_spare",
    "available_spare_threshold",
    "percentage_used",
    "media_errors",
    "unsafe_shutdowns",
    "power_cycles",
)

Device = tuple[str, str]  # path, type as smartctl names it


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``devices``: paths, with a type where smartctl needs one (``"/dev/sda -d sat"``); all that smartctl finds by default.

    ``sudo``: call ``sudo -n smartctl``; reading a disk's state takes rights that an agent should not have itself.
    """

    devices: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    sudo: bool = False


class Smart:
    """Calls ``smartctl`` for each disk, without waking those that sleep.

    A disk that does not answer in time is left alone for an hour, then twice as long, up to a day.
    """

    def __init__(self, options: Options, _roots: "Roots", run: program.Run = program.run) -> None:
        self._options = options
        self._run = run
        self._program = ("sudo", "-n", "smartctl") if options.sudo else ("smartctl",)
        self._devices: list[Device] = []
        self._scanned = -_SCAN_EVERY
        self._pauses: dict[str, int] = {}
        self._resume: dict[str, int] = {}

    async def collect(self, now: int) -> list[Point]:
        """Return one point a disk that is awake. FileNotFoundError without smartctl or disks, PermissionError without rights."""
        await self._scan(now)
        turns = asyncio.Semaphore(_AT_ONCE)

        async def look(device: Device) -> Point | OSError | None:
            async with turns:
                return await self._look(device, now)

        answers = await asyncio.gather(*(look(device) for device in self._devices))
        points = [answer for answer in answers if isinstance(answer, Point)]
        refusals = [answer for answer in answers if isinstance(answer, OSError)]
        if refusals and not points:
            raise refusals[0]
        return points

    async def _scan(self, now: int) -> None:
        if now - self._scanned < _SCAN_EVERY:
            return
        if self._options.devices:
            found = [
                (path, kind or "auto") for path, _, kind in (one.partition(" -d ") for one in self._options.devices)
            ]
        else:
            told = _parse(await self._run((*self._program, "--scan", "--json=c"), seconds=_SECONDS))
            found = [(device["name"], device["type"]) for device in told.get("devices", ())]
        self._devices = [device for device in found if device[0] not in self._options.excludes]
        if not self._devices:
            raise FileNotFoundError(errno.ENOENT, "smartctl finds no disk that can tell of itself")
        self._scanned = now

    async def _look(self, device: Device, now: int) -> Point | OSError | None:
        path, kind = device
        if now < self._resume.get(path, 0):
            return None
        command = (*self._program, "-n", "standby", "--json=c", "-i", "-H", "-A", "-d", kind, path)
        try:
            told = _parse(await self._run(command, seconds=_SECONDS))
        except (TimeoutError, asyncio.CancelledError) as error:  # the agent's own deadline may come first
            self._leave_alone(path, now)
            if isinstance(error, TimeoutError):
                return error
            raise
        except OSError as error:
            return error
        self._pauses.pop(path, None)
        code = told["smartctl"]["exit_status"]
        if code & _NOT_OPENED:
            why = " ".join(message["string"] for message in told["smartctl"].get("messages", ()))
            denied = "denied" in why.lower()
            return PermissionError(errno.EACCES, why, path) if denied else None
        return Point("smart_device", _tags(path, told), _fields(code, told), now)

    def _leave_alone(self, path: str, now: int) -> None:
        pause = min(self._pauses.get(path, _PAUSE // 2) * 2, _LONGEST_PAUSE)
        self._pauses[path], self._resume[path] = pause, now + pause
        _log.warning("disk %s did not answer smartctl; it is left alone for %d h", path, pause // _PAUSE)


def _parse(ended: program.Ended) -> dict[str, Any]:
    try:
        told: dict[str, Any] = msgspec.json.decode(ended.out, type=dict[str, Any])
    except msgspec.DecodeError:
        raise OSError(errno.EIO, f"smartctl: {ended.complaint()}") from None
    return told


def _tags(path: str, told: Mapping[str, Any]) -> dict[str, str]:
    wwn = told.get("wwn")
    enabled = told.get("smart_support", {}).get("enabled")
    tags = {
        "device": path.removeprefix("/dev/"),
        "model": told.get("model_name", ""),
        "serial_no": told.get("serial_number", ""),
        "wwn": f"{wwn['naa']:x}{wwn['oui']:06x}{wwn['id']:09x}" if wwn else "",
        "capacity": str(told.get("user_capacity", {}).get("bytes", "")),
        "enabled": "" if enabled is None else ("Enabled" if enabled else "Disabled"),
    }
    return {key: text for key, text in tags.items() if text}


def _fields(code: int, told: Mapping[str, Any]) -> dict[str, Value]:
    fields: dict[str, Value] = {"exit_status": code}
    if "smart_status" in told:
        fields["health_ok"] = bool(told["smart_status"]["passed"])
    for field, group, key in (
        ("temp_c", "temperature", "current"),
        ("power_on_hours", "power_on_time", "hours"),
    ):
        if key in told.get(group, {}):
            fields[field] = int(told[group][key])
    for attribute in told.get("ata_smart_attributes", {}).get("table", ()):
        if name := _RAW.get(attribute["id"]):
            fields[name] = int(attribute["raw"]["value"])
        if name := _LEFT.get(attribute["id"]):
            fields[name] = int(attribute["value"])
    log = told.get("nvme_smart_health_information_log", {})
    fields.update({name: int(log[name]) for name in _NVME if name in log})
    return fields
