"""Poll: one look at one network device by SNMP: its system group, its interfaces, and whether it answers at all."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Final

import msgspec

from collectors.point import Point
from collectors.point import Value as Field
from collectors.result import Reason, Result, Status
from collectors.snmp.interfaces import COLUMNS, FALLBACKS, NAMES, names, points, text
from collectors.snmp.reach import ask_network, resolve
from collectors.snmp.session import Connect, Denied, Garbled, Hindered, Options, Session, Silent, Trouble, Value, reveal
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

        UP when system and interfaces came; DEGRADED when only a part of them came; DOWN when nobody answers (SNMP_SILENT), nobody is
        to be reached, the keys are wrong (SNMP_AUTH) or what comes is no SNMP; UNKNOWN (BUG) when the fault is on our side.
        """
        started = time.monotonic()
        look = _Look()
        wrong: _Wrong | None = None
        try:
            async with asyncio.timeout(self.options.interval * _SHARE):
                session, look.system = await self._system()
                look.answered = True
                await self._interfaces(session, look)
        except TimeoutError:
            wrong = self._incomplete(look, Silent("not done in four fifths of the interval"), Reason.SLOW)
        except Trouble as trouble:
            wrong = self._incomplete(look, trouble, Reason.LOSS if isinstance(trouble, Silent) else trouble.reason)
        else:
            if not look.system and not look.rows:
                why = "it answers, but shows neither system group nor interfaces: the view of this user or community is empty"
                wrong = Status.DEGRADED, Reason.SNMP_AUTH, why
        if wrong and not look.answered:
            self._session = None
        result = self._result(look, wrong, now, time.monotonic() - started)
        return Polled(self._points(look, now), result)

    def _incomplete(self, look: "_Look", trouble: Trouble, part: Reason) -> _Wrong:
        """Return what it means that a poll ended early; ``part`` is the reason when some of it came."""
        if trouble.status is Status.UNKNOWN or not look.answered:
            unsure = " (or to another community)" if self._open_to_doubt(trouble) else ""
            return trouble.status, trouble.reason, f"{self.options.address}: {trouble}{unsure}"
        return Status.DEGRADED, part, f"{len(look.columns)} of {len(COLUMNS)} columns of interfaces: {trouble}"

    def _open_to_doubt(self, trouble: Trouble) -> bool:
        return isinstance(trouble, Silent) and self.options.version == "2c"

    async def _system(self) -> tuple[Session, Mapping[str, Value]]:
        """Read the system group. A session from before may have outlived the device's last start: then once more, afresh."""
        if self._session is not None:
            try:
                return self._session, await _ask_system(self._session)
            except (Silent, Denied, Garbled):
                self._session = None
        try:
            credentials = await asyncio.to_thread(reveal, self.options)
        except SecretUnreadable as error:
            raise Hindered(str(error)) from error
        address = await resolve(self.options.address)
        self._session = self._connect(self.options, address, credentials)
        try:
            return self._session, await _ask_system(self._session)
        except Silent:
            await ask_network(address, self.options.port)
            raise

    async def _interfaces(self, session: Session, look: "_Look") -> None:
        for name, oid in COLUMNS.items():
            await look.walk(session, name, oid)
        for wide, (narrow, oid) in FALLBACKS.items():
            if len(look.columns[wide]) < look.rows:
                await look.walk(session, narrow, oid)

    def _points(self, look: "_Look", now: int) -> list[Point]:
        tags = {"source": self.options.id, "agent_host": self.options.address}
        fields: dict[str, Field] = {
            name: text(value) for name, value in look.system.items() if name != "sysUpTime" and text(value)
        }
        if (uptime := look.uptime) is not None:
            fields["sysUpTime"] = uptime
        if COLUMNS.keys() <= look.columns.keys():
            fields["interfaces"] = look.rows
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
        if COLUMNS.keys() <= look.columns.keys():
            facts["interfaces"] = look.rows
        if system := text(look.system.get("sysName")):
            facts["sysName"] = system
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
        """Return whether the device started anew since the last poll; that its counter of 497 days is full is no start."""
        before, self._uptime = self._uptime, (uptime, now)
        if before is None or uptime >= before[0]:
            return False
        expected = before[0] + (now - before[1]) / 1e9
        return expected < _WRAP


async def _ask_system(session: Session) -> Mapping[str, Value]:
    await session.open()
    found = await session.get(list(_SYSTEM.values()))
    return {name: found[oid] for name, oid in _SYSTEM.items() if oid in found}


class _Look(msgspec.Struct):
    """What a poll has found so far; a poll that is cut off keeps it."""

    answered: bool = False
    system: Mapping[str, Value] = {}
    columns: dict[str, Mapping[str, Value]] = {}
    whole: bool = True

    @property
    def rows(self) -> int:
        """Interfaces seen."""
        return max(map(len, self.columns.values()), default=0)

    @property
    def uptime(self) -> float | None:
        """Seconds since the device started; a zero is what some agents say when they do not know."""
        ticks = self.system.get("sysUpTime")
        return ticks / _TICKS if isinstance(ticks, int) and ticks > 0 else None

    async def walk(self, session: Session, name: str, oid: str) -> None:
        """Read one column."""
        walked = await session.walk(oid)
        self.columns[name] = walked.rows
        self.whole &= walked.whole
