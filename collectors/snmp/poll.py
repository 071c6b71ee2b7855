"""Poll: one look at one network device by SNMP: its system group, its interfaces, and whether it answers at all."""

import asyncio
import logging
import socket
import time
from collections.abc import Mapping
from typing import Final

import msgspec

from collectors.point import Point
from collectors.point import Value as Field
from collectors.result import Reason, Result, Status
from collectors.snmp.interfaces import FALLBACKS, NAMES, NUMBERS, names, points, text
from collectors.snmp.session import (
    Connect,
    Denied,
    Garbled,
    Options,
    Session,
    Silent,
    Value,
    reveal,
)
from configs.plugin import find
from configs.secret import SecretUnreadable

ENGINES: Final[dict[str, str]] = {"gufo": "collectors.snmp.gufo:GufoSession"}
MEASUREMENT: Final = "device"

_log: Final = logging.getLogger("pantau.snmp")
_SHARE: Final = 0.8  # of the interval that a poll may take: a slow device is late for nobody, not even for itself
_SYSTEM: Final = {
    "sysDescr": "1.3.6.1.2.1.1.1.0",
    "sysObjectID": "1.3.6.1.2.1.1.2.0",
    "sysUpTime": "1.3.6.1.2.1.1.3.0",
    "sysContact": "1.3.6.1.2.1.1.4.0",
    "sysName": "1.3.6.1.2.1.1.5.0",
    "sysLocation": "1.3.6.1.2.1.1.6.0",
}
_TICKS: Final = 100  # TimeTicks in a second
_WRAP: Final = 2**32 / _TICKS  # seconds after which sysUpTime starts again: 497 days
_Wrong = tuple[Status, Reason, str]


class Polled(msgspec.Struct, frozen=True):
    """What one poll gave: points of ``device`` and ``interface`` (none when it did not answer), and the result for the judge."""

    points: list[Point]
    result: Result


class Device:
    """Polls one device. Building sends nothing; the session is kept between polls and made anew when something went wrong."""

    def __init__(self, options: Options, connect: Connect | None = None) -> None:
        self.options = options
        self._connect: Connect = find("SNMP engine", "gufo", ENGINES)[0] if connect is None else connect
        self._session: Session | None = None
        self._uptime: tuple[float, int] | None = None
        self._doubles: set[str] = set()

    async def poll(self, now: int) -> Polled:
        """Look once; ``now`` is ns since epoch. Returns within four fifths of the interval.

        UP when system and interfaces came; DEGRADED when the interfaces came in part; DOWN when nobody answers (SNMP_SILENT),
        the keys are wrong (SNMP_AUTH) or what comes is no SNMP; UNKNOWN when our own settings are at fault.
        """
        started = time.monotonic()
        look = _Look()
        wrong: _Wrong | None = None
        try:
            async with asyncio.timeout(self.options.interval * _SHARE):
                look.system = await self._system()
                await self._interfaces(look)
        except TimeoutError:
            wrong = self._incomplete(look, Reason.SLOW, "not done in four fifths of the interval")
        except Silent as error:
            wrong = self._incomplete(look, Reason.LOSS, str(error))
        except Denied as error:
            wrong = Status.DOWN, Reason.SNMP_AUTH, str(error)
        except Garbled as error:
            wrong = Status.DOWN, Reason.PROTOCOL, str(error)
        except socket.gaierror as error:
            wrong = Status.DOWN, Reason.NAME_NOT_FOUND, f"{self.options.address}: {error.strerror}"
        except SecretUnreadable as error:
            wrong = Status.UNKNOWN, Reason.SNMP_AUTH, str(error)
        if wrong:
            self._session = None
        result = self._result(look, wrong, now, time.monotonic() - started)
        return Polled(self._points(look, now), result)

    def _incomplete(self, look: "_Look", reason: Reason, why: str) -> _Wrong:
        if not look.system:
            unsure = "" if self.options.version == "3" else " (or to another community)"
            return Status.DOWN, Reason.SNMP_SILENT, f"{self.options.address}: {why}{unsure}"
        done = f"{len(look.columns)} of {len(NAMES) + len(NUMBERS)} columns of interfaces"
        return Status.DEGRADED, reason, f"{done}: {why}"

    async def _system(self) -> Mapping[str, Value]:
        """Read the system group. A session from before may have outlived the device's last start: then once more, afresh."""
        if self._session is not None:
            try:
                return await self._ask_system(self._session)
            except (Silent, Denied, Garbled):
                self._session = None
        self._session = await self._connected()
        return await self._ask_system(self._session)

    async def _connected(self) -> Session:
        credentials = await asyncio.to_thread(reveal, self.options)
        found = await asyncio.get_running_loop().getaddrinfo(self.options.address, None, type=socket.SOCK_DGRAM)
        try:
            return self._connect(self.options, str(found[0][4][0]), credentials)
        except OSError as error:
            raise Silent(error.strerror or str(error)) from error

    async def _ask_system(self, session: Session) -> Mapping[str, Value]:
        await session.open()
        found = await session.get(list(_SYSTEM.values()))
        if not found:
            raise Denied(
                "it answers, but shows nothing of its system group: the view of this user or community is empty"
            )
        return {name: found[oid] for name, oid in _SYSTEM.items() if oid in found}

    async def _interfaces(self, look: "_Look") -> None:
        for name, oid in {**NAMES, **NUMBERS}.items():
            await self._column(look, name, oid)
        rows = max(map(len, look.columns.values()))
        for wide, (narrow, oid) in FALLBACKS.items():
            if len(look.columns[wide]) < rows:
                await self._column(look, narrow, oid)

    async def _column(self, look: "_Look", name: str, oid: str) -> None:
        assert self._session is not None  # noqa: S101 - made by _system, for the type checker
        walked = await self._session.walk(oid)
        look.columns[name] = walked.rows
        look.whole &= walked.whole

    def _points(self, look: "_Look", now: int) -> list[Point]:
        if not look.system:
            return []
        tags = {"source": self.options.id, "agent_host": self.options.address}
        fields: dict[str, Field] = {
            name: text(value) for name, value in look.system.items() if name != "sysUpTime" and text(value)
        }
        if (uptime := look.uptime) is not None:
            fields["sysUpTime"] = uptime
        if "ifDescr" in look.columns:
            fields["interfaces"] = len(look.columns["ifDescr"])
        device = [Point(MEASUREMENT, tags, fields, now)] if fields else []
        if system := text(look.system.get("sysName")):
            tags = {**tags, "sysName": system}
        self._tell_doubles(look)
        # without its names a row cannot be told from its neighbours: better none than a wrong one
        named = look.columns if NAMES.keys() <= look.columns.keys() else {}
        return device + points(named, tags, now)

    def _tell_doubles(self, look: "_Look") -> None:
        doubles = {name for index, name in names(look.columns).items() if name.endswith(f"#{index}")}
        if new := doubles - self._doubles:
            _log.warning(
                "%s: interfaces without a name of their own are called %s", self.options.id, ", ".join(sorted(new))
            )
        self._doubles |= doubles

    def _result(self, look: "_Look", wrong: _Wrong | None, now: int, took: float) -> Result:
        status, reason, detail = wrong or (Status.UP, Reason.OK, "")
        facts: dict[str, str | int | float | bool] = {"address": self.options.address}
        if look.system:
            facts |= {"interfaces": len(look.columns.get("ifDescr", {})), "sysName": text(look.system.get("sysName"))}
        if (uptime := look.uptime) is not None:
            facts |= {"uptime": uptime, "rebooted": self._rebooted(uptime, now)}
        if not look.whole:
            facts["walk_incomplete"] = True
        return Result(
            check=f"snmp/{self.options.id}",
            subject=f"device/{self.options.id}",
            status=status,
            reason=reason,
            at=now // 1_000_000,
            detail=detail,
            took=took,
            facts=facts,
        )

    def _rebooted(self, uptime: float, now: int) -> bool:
        """Tell whether the device started anew since the last poll; that its counter of 497 days is full is no start."""
        before, self._uptime = self._uptime, (uptime, now)
        if before is None or uptime >= before[0]:
            return False
        expected = before[0] + (now - before[1]) / 1e9
        return expected < _WRAP


class _Look(msgspec.Struct):
    """What a poll has found so far; a poll that is cut off keeps it."""

    system: Mapping[str, Value] = {}
    columns: dict[str, Mapping[str, Value]] = {}
    whole: bool = True

    @property
    def uptime(self) -> float | None:
        """Seconds since the device started; a zero is what some agents say when they do not know."""
        ticks = self.system.get("sysUpTime")
        return ticks / _TICKS if isinstance(ticks, int) and ticks > 0 else None
