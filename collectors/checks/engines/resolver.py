"""Names to addresses without blocking: IP literals, /etc/hosts, then the system's nameservers, within the run's deadline.

``getaddrinfo`` would cost a thread a run, cannot be cancelled, and does not tell "no such name" from "no answer".
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final, Literal

from collectors.checks.engines.failure import Failure
from collectors.checks.engines.nameservers import Nameservers, NoSuchName, checked_name
from collectors.result import Reason

Ip = Literal["any", "4", "6"]

_FRESH: Final = 30.0
_SECOND_FAMILY: Final = 0.3
_LAST_PORT: Final = 65535
_DISCARD: Final = 9
_LOCALHOST: Final = ("127.0.0.1", "::1")


def checked_host(option: str, host: str, ip: Ip) -> str:
    """Return a host name or IP address that can be looked up; ValueError names the option and what is wrong."""
    address = literal(host)
    if address is not None and not _of_family(address, ip):
        raise ValueError(f"{option!r}: {host} is not an IPv{ip} address")
    if not host or any(sign.isspace() or sign in "/@" for sign in host):
        raise ValueError(f"{option!r}: expected a host name or an IP address, got {host!r}")
    if address is None:
        try:
            checked_name(host)
        except ValueError as error:
            raise ValueError(f"{option!r}: {error}") from error
    return host


def checked_port(port: int) -> int:
    """Return a port that can be connected to; ValueError otherwise."""
    if not 0 < port <= _LAST_PORT:
        raise ValueError(f"'port': expected 1 to {_LAST_PORT}, got {port}")
    return port


def literal(host: str) -> str | None:
    """Return the address when ``host`` is one, None when it is a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def _of_family(address: str, ip: Ip) -> bool:
    return ip == "any" or (":" in address) == (ip == "6")


def parse_hosts(text: str) -> dict[str, list[str]]:
    """Read the text of a hosts file: lower-case names to addresses, in the order of the file (hosts(5))."""
    names: dict[str, list[str]] = {}
    for line in text.splitlines():
        address, *aliases = line.partition("#")[0].split() or [""]
        if literal(address) is None:
            continue
        for alias in aliases:
            names.setdefault(alias.lower(), []).append(address)
    return names


class Resolver:
    """Turns names into addresses; reads the two files again when its copy is older than 30 s, off the event loop."""

    def __init__(
        self, *, hosts: Path = Path("/etc/hosts"), resolv_conf: Path = Path("/etc/resolv.conf"), port: int = 53
    ) -> None:
        self._files = (hosts, resolv_conf)
        self._port = port
        self._hosts: dict[str, list[str]] = {}
        self._nameservers: Nameservers | None = None
        self._read_at = 0.0

    async def nameservers(self) -> Nameservers:
        """Return the nameservers of this machine."""
        known = self._nameservers
        if known is not None and monotonic() - self._read_at < _FRESH:
            return known
        self._hosts, fresh = await asyncio.to_thread(self._read)
        self._nameservers, self._read_at = fresh, monotonic()
        return fresh

    def _read(self) -> tuple[dict[str, list[str]], Nameservers]:
        hosts, resolv_conf = self._files
        try:
            text = hosts.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        return parse_hosts(text), Nameservers(resolv_conf, self._port)

    async def addresses(self, host: str, ip: Ip, within: float) -> list[str]:
        """Return the addresses of a host, at least one, in the order to try them: IPv6 first, families taking turns.

        Raises Failure with NAME_NOT_FOUND (no such name, or no address of the wanted family) or RESOLVER_FAILED.
        """
        if (address := literal(host)) is not None:
            found = [address]
        else:
            servers = await self.nameservers()
            name = host.rstrip(".").lower()
            found = [address for address in self._hosts.get(name, ()) if _of_family(address, ip)]
            if not found and (name == "localhost" or name.endswith(".localhost")):
                found = list(_LOCALHOST)
            if not found:
                found = await _look_up(servers, host, ip, within)
        usable = [address for address in found if _of_family(address, ip)]
        if not usable:
            family = "" if ip == "any" else f"IPv{ip} "
            raise Failure(Reason.NAME_NOT_FOUND, f"{host} has no {family}address")
        return _taking_turns(usable)


def routed(addresses: list[str]) -> str:
    """Return the first address that this machine has a route to, without sending anything; the first of all when none has.

    For protocols without a connection to try, where an IPv6 address on a machine without IPv6 would look like an outage.
    """
    for address in addresses:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.setblocking(False)
            with suppress(OSError):
                probe.connect((address, _DISCARD))
                return address
    return addresses[0]


async def _look_up(servers: Nameservers, host: str, ip: Ip, within: float) -> list[str]:
    try:
        if ip != "any":
            return await servers.resolve(host, "A" if ip == "4" else "AAAA", within)
        return await _either(servers.resolve(host, "A", within), servers.resolve(host, "AAAA", within))
    except NoSuchName as error:
        raise Failure(Reason.NAME_NOT_FOUND, f"DNS has no name {host}") from error


async def _either(ipv4: Awaitable[list[str]], ipv6: Awaitable[list[str]]) -> list[str]:
    """Ask for both families at once; one that fails or dawdles does not spoil the addresses of the other."""
    tasks = [asyncio.ensure_future(ipv4), asyncio.ensure_future(ipv6)]
    try:
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        good = any(task.exception() is None and task.result() for task in done)
        if pending:
            await asyncio.wait(pending, timeout=_SECOND_FAMILY if good else None)
        ended = [task for task in tasks if task.done()]
        found = [address for task in ended if task.exception() is None for address in task.result()]
        if found:
            return found
        errors = [error for task in ended if (error := task.exception())]
        # A nameserver that fails for one family only hides whether there was an address.
        if failures := [error for error in errors if isinstance(error, Failure)] or errors:
            raise failures[0]
        return []
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _taking_turns(addresses: list[str]) -> list[str]:
    """Order addresses as RFC 8305 (section 4) tries them: IPv6, IPv4, IPv6, ..., each family in its own order."""
    ipv6 = [address for address in addresses if ":" in address]
    ipv4 = [address for address in addresses if ":" not in address]
    turns = [address for pair in zip(ipv6, ipv4, strict=False) for address in pair]
    shorter = min(len(ipv6), len(ipv4))
    return turns + ipv6[shorter:] + ipv4[shorter:]
