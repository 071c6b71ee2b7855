"""``updates``: packages that wait to be updated, a reboot that is due, and how long the system is still supported."""

import asyncio
import errno
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import end_of_support, kernelfile, program
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_log = logging.getLogger("pantau.host.updates")

_SECONDS: Final = 120
_NS: Final = 10**9
_SHORTEST: Final = 3600 * _NS
_LONGEST: Final = 24 * 3600 * _NS
# a simulation, which changes nothing, needs no rights and does not wait for another apt
_APT: Final = (
    "apt-get",
    "-s",
    "-q",
    "-o",
    "Debug::NoLocking=1",
    "-o",
    "APT::Get::Show-User-Simulation-Note=0",
    "dist-upgrade",
)
_APT_SECURITY: Final = re.compile(r"security", re.IGNORECASE)
_APT_FILES: Final = ("lib/dpkg/status", "lib/apt/lists", "lib/apt/periodic/update-success-stamp")
# only from what was fetched before: never the network
_DNF: Final = ("dnf", "-q", "-C", "--color=never", "check-update")
_DNF_SECURITY: Final = (*_DNF[:4], "updateinfo", "list", "--security")
_DNF_FILES: Final = ("lib/rpm", "lib/dnf", "cache/dnf")
_DNF_PENDING: Final = 100
_REBOOT: Final = ("needs-restarting", "-r")
_PACKAGE: Final = re.compile(r"^\S+\.\S+ +\S+ +\S+$")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to choose; give the collector an ``interval`` of an hour."""


class Updates:
    """Asks apt or dnf, from what they last fetched and never over the network.

    They are asked again when packages or lists changed, at most once an hour, and once a day in any case; in between the
    last answer is told.
    """

    def __init__(self, _options: Options, roots: "Roots", run: program.Run = program.run) -> None:
        self._roots = roots
        self._run = run
        self._fields: dict[str, Value] = {}
        self._asked = 0
        self._changed = 0
        self._asking: asyncio.Future[dict[str, Value]] | None = None

    async def collect(self, now: int) -> list[Point]:
        """Return one point, tags ``manager`` and ``os``. FileNotFoundError on hosts with neither apt nor dnf."""
        manager, changed, fetched = await asyncio.to_thread(self._changes)
        since = now - self._asked
        if not self._fields or since >= _LONGEST or (changed != self._changed and since >= _SHORTEST):
            # goes on when the agent's deadline ends this reading, so that the next one finds the answer
            self._asking = self._asking or asyncio.ensure_future(self._apt() if manager == "apt" else self._dnf())
            await asyncio.wait({asking := self._asking})
            self._asking = None
            self._fields = asking.result()
            self._asked, self._changed = now, changed
        fields = {**self._fields, "lists_age": max(now - fetched, 0) // _NS}
        system = await asyncio.to_thread(self._release, fields, now, reboot_file=manager == "apt")
        return [Point("updates", {"manager": manager, "os": system}, fields, now)]

    def _changes(self) -> tuple[str, int, int]:
        """Return the package manager, when packages or lists changed last, and when lists were fetched last (ns)."""
        for manager, files in (("apt", _APT_FILES), ("dnf", _DNF_FILES)):
            times = [self._mtime(name) for name in files]
            if times[0]:
                return manager, max(times), max(times[1:])
        raise kernelfile.lacking(f"{self._roots.var}/{_APT_FILES[0]}", "this host has neither apt nor dnf")

    def _mtime(self, name: str) -> int:
        try:
            return Path(self._roots.var, name).stat().st_mtime_ns
        except OSError:
            return 0

    async def _apt(self) -> dict[str, Value]:
        ended = await self._run(_APT, seconds=_SECONDS)
        if ended.code:
            raise OSError(errno.EIO, f"apt-get: {ended.complaint()}")
        pending = [line for line in ended.out.splitlines() if line.startswith("Inst ")]
        # "Inst NAME [OLD] (NEW ORIGIN:VERSION/SUITE [ARCH])"; a package without an old version is a new dependency
        pending = [line for line in pending if " [" in line.partition(" (")[0]]
        return {"pending": len(pending), "security": sum(bool(_APT_SECURITY.search(line)) for line in pending)}

    async def _dnf(self) -> dict[str, Value]:
        ended = await self._run(_DNF, seconds=_SECONDS)
        if ended.code not in {0, _DNF_PENDING}:
            raise OSError(errno.EIO, f"dnf: {ended.complaint()}")
        listed = ended.out.partition("Obsoleting")[0].splitlines()
        fields: dict[str, Value] = {"pending": sum(bool(_PACKAGE.match(line.strip())) for line in listed)}
        security = await self._run(_DNF_SECURITY, seconds=_SECONDS)
        if not security.code:
            fields["security"] = len({line.split()[-1] for line in security.out.splitlines() if line.strip()})
        try:
            fields["reboot_required"] = bool((await self._run(_REBOOT, seconds=_SECONDS)).code)
        except FileNotFoundError:
            _log.info("needs-restarting is missing (dnf-utils): a reboot that is due is not seen")
        return fields

    def _release(self, fields: dict[str, Value], now: int, *, reboot_file: bool) -> str:
        """Add what files tell of a due reboot and of the end of support; return the system's name."""
        if reboot_file:
            fields["reboot_required"] = Path(self._roots.run, "reboot-required").exists()
        lines = (kernelfile.word(self._roots.etc, "os-release") or "").splitlines()
        release = {key: value.strip("\"'") for key, _, value in (line.partition("=") for line in lines)}
        if (end := end_of_support.end(release)) is not None:
            fields["support_left"] = end - now // _NS
        return release.get("PRETTY_NAME", "unknown")
