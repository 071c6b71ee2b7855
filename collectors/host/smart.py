"""``smart_device``: what disks say about their own health (S.M.A.R.T. and NVMe)."""

import asyncio
import errno
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

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

# what smartctl tells of a SCSI disk only when it is asked for more
_SCSI_MORE: Final = ("-l", "error", "-l", "ssd")
_SCSI_LOGS: Final = ("read", "write", "verify")


class Device(NamedTuple):
    """One disk. Several behind one RAID controller have one path; their ``kind`` (smartctl's ``-d``) tells them apart."""

    path: str
    kind: str

    def __str__(self) -> str:
        """Return it as settings name it."""
        return f"{self.path} -d {self.kind}"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``devices``: paths, with a type where smartctl needs one (``"/dev/sda -d sat"``); all that smartctl finds by default.

    ``excludes``: the same, of those not to ask; a path without a type excludes all disks behind it.
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
        self._pauses: dict[Device, int] = {}
        self._resume: dict[Device, int] = {}

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
                Device(path, kind or "auto")
                for path, _, kind in (one.partition(" -d ") for one in self._options.devices)
            ]
        else:
            told = _parse(await self._run((*self._program, "--scan", "--json=c"), seconds=_SECONDS))
            found = [Device(device["name"], device["type"]) for device in told.get("devices", ())]
        excludes = self._options.excludes
        found = list(dict.fromkeys(found))
        self._devices = [device for device in found if device.path not in excludes and str(device) not in excludes]
        if not self._devices:
            raise FileNotFoundError(errno.ENOENT, "smartctl finds no disk that can tell of itself")
        self._scanned = now

    async def _look(self, device: Device, now: int) -> Point | OSError | None:
        if now < self._resume.get(device, 0):
            return None
        try:
            told = await self._ask(device)
        except (TimeoutError, asyncio.CancelledError) as error:  # the agent's own deadline may come first
            self._leave_alone(device, now)
            if isinstance(error, TimeoutError):
                return error
            raise
        except OSError as error:
            return error
        self._pauses.pop(device, None)
        code = told["smartctl"]["exit_status"]
        if code & _NOT_OPENED:
            why = " ".join(message["string"] for message in told["smartctl"].get("messages", ()))
            denied = "denied" in why.lower()
            return PermissionError(errno.EACCES, why, device.path) if denied else None
        shared = sum(one.path == device.path for one in self._devices) > 1
        return Point("smart_device", _tags(device, told, shared=shared), _fields(code, told), now)

    async def _ask(self, device: Device) -> dict[str, Any]:
        """Return what smartctl tells of a disk."""
        command = (*self._program, "-n", "standby", "--json=c", "-i", "-H", "-A", "-d", device.kind)
        told = _parse(await self._run((*command, device.path), seconds=_SECONDS))
        is_scsi = told.get("device", {}).get("protocol") == "SCSI"
        if not is_scsi or told["smartctl"]["exit_status"] & _NOT_OPENED or "scsi_error_counter_log" in told:
            return told
        more = _parse(await self._run((*command, *_SCSI_MORE, device.path), seconds=_SECONDS))
        return {**more, **told}

    def _leave_alone(self, device: Device, now: int) -> None:
        pause = min(self._pauses.get(device, _PAUSE // 2) * 2, _LONGEST_PAUSE)
        self._pauses[device], self._resume[device] = pause, now + pause
        _log.warning("disk %s did not answer smartctl; it is left alone for %d h", device, pause // _PAUSE)


def _parse(ended: program.Ended) -> dict[str, Any]:
    try:
        told: dict[str, Any] = msgspec.json.decode(ended.out, type=dict[str, Any])
    except msgspec.DecodeError:
        raise OSError(errno.EIO, f"smartctl: {ended.complaint()}") from None
    return told


def _tags(device: Device, told: Mapping[str, Any], *, shared: bool) -> dict[str, str]:
    wwn = told.get("wwn")
    enabled = told.get("smart_support", {}).get("enabled")
    tags = {
        "device": device.path.removeprefix("/dev/"),
        "type": device.kind if shared else "",
        "model": told.get("model_name") or told.get("scsi_model_name", ""),
        "serial_no": told.get("serial_number", ""),
        "wwn": f"{wwn['naa']:x}{wwn['oui']:06x}{wwn['id']:09x}"
        if wwn
        else told.get("logical_unit_id", "").removeprefix("0x"),
        "capacity": str(told.get("user_capacity", {}).get("bytes", "")),
        "enabled": "" if enabled is None else ("Enabled" if enabled else "Disabled"),
    }
    return {key: text for key, text in tags.items() if text}


def _fields(code: int, told: Mapping[str, Any]) -> dict[str, Value]:
    fields: dict[str, Value] = {"exit_status": code}
    if "passed" in (status := told.get("smart_status", {})):
        fields["health_ok"] = bool(status["passed"])
    if celsius := _celsius(told):  # 0 is told by disks without a sensor
        fields["temp_c"] = celsius
    if "hours" in (switched_on := told.get("power_on_time", {})):
        fields["power_on_hours"] = int(switched_on["hours"])
    for attribute in told.get("ata_smart_attributes", {}).get("table", ()):
        if name := _RAW.get(attribute["id"]):
            fields[name] = int(attribute["raw"]["value"])
        if name := _LEFT.get(attribute["id"]):
            fields[name] = int(attribute["value"])
    log = told.get("nvme_smart_health_information_log", {})
    fields.update({name: int(log[name]) for name in _NVME if name in log})
    return fields | dict(_scsi(told))


def _celsius(told: Mapping[str, Any]) -> int:
    """Return the temperature; SCSI disks may tell it among their environmental reports only. 0 without one."""
    celsius = told.get("temperature", {}).get("current")
    if celsius is None:
        celsius = told.get("scsi_environmental_reports", {}).get("temperature_1", {}).get("current")
    return int(celsius or 0)


def _scsi(told: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    """Yield what SAS and other SCSI disks tell: their health status alone says nothing of these."""
    if "scsi_grown_defect_list" in told:
        yield "grown_defects", int(told["scsi_grown_defect_list"])
    if "count" in (pending := told.get("scsi_pending_defects", {})):
        yield "pending_sectors", int(pending["count"])
    if "scsi_percentage_used_endurance_indicator" in told:
        yield "percentage_used", int(told["scsi_percentage_used_endurance_indicator"])
    for name in _SCSI_LOGS:
        log = told.get("scsi_error_counter_log", {}).get(name, {})
        if "total_uncorrected_errors" in log:
            yield f"{name}_uncorrected_errors", int(log["total_uncorrected_errors"])
