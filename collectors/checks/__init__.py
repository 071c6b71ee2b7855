"""Checks of services: one file each, found by name in ``CHECKS`` and imported only when configured."""

from typing import Final, Protocol

import msgspec

from collectors.result import Result


class Target(msgspec.Struct, frozen=True):
    """Whom a check is about: its own stable id, its subject (``service/simpus``) and the seconds it may take in all."""

    check: str
    subject: str
    timeout: float = 10.0


class Check(Protocol):
    """Probes one service. Built with ``(target: Target, options: Options)``; building never touches the network.

    A class has its settings beside it as ``Options`` (a frozen msgspec Struct that forbids unknown fields).
    """

    async def run(self, at: int) -> Result:
        """Probe once; ``at`` is now in ms since epoch and becomes ``Result.at``.

        A failed target is a Result, whatever fails; an exception is a bug, which the runner reports as UNKNOWN.
        Returns within ``target.timeout`` seconds, name resolution included. Phases are timed with the monotonic clock.
        """
        ...


CHECKS: Final[dict[str, str]] = {
    "http": "collectors.checks.http:Http",
    "tls": "collectors.checks.tls:Tls",
    "tcp": "collectors.checks.tcp:Tcp",
    "dns": "collectors.checks.dns:Dns",
    "icmp": "collectors.checks.icmp:Icmp",
}
