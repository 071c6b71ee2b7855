"""Dial: resolve a name, connect to the first address that answers, and shake hands in TLS; each step is a phase of the look."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from collectors.checks.engines.failure import Failure, from_error, words
from collectors.checks.engines.look import Look
from collectors.checks.engines.resolver import Ip, Resolver
from collectors.result import Reason

P = TypeVar("P", bound=asyncio.BaseProtocol)

# RFC 8305, section 5: the time after which the next address is tried beside the one that does not answer yet.
_NEXT_ADDRESS: Final = 0.25


class Dialer:
    """Opens connections for one check; keeps nothing between them but the resolver's copy of this machine's files."""

    def __init__(self, ip: Ip = "any", resolver: Resolver | None = None) -> None:
        self._ip = ip
        self._resolver = resolver or Resolver()

    async def open(
        self,
        look: Look,
        factory: Callable[[], P],
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        server_name: str = "",
    ) -> tuple[asyncio.Transport, P]:
        """Connect and return the transport and the protocol that ``factory`` made; the caller closes the transport.

        Runs through the phases dns, connect and tls (when ``tls`` is given), starting in dns; the last one is left running.
        Notes the fact ``address``. Raises Failure, or what the network and TLS give.
        """
        addresses = await self._resolver.addresses(host, self._ip, look.remaining())
        look.enter("connect")
        look.facts["address"] = addresses[0]
        connected, address = await _first(addresses, port)
        look.facts["address"] = address
        if tls is not None:
            look.enter("tls")
        try:
            return await asyncio.get_running_loop().create_connection(
                factory, sock=connected, ssl=tls, server_hostname=(server_name or host).rstrip(".") if tls else None
            )
        except BaseException:
            connected.close()
            raise


def drop(transport: asyncio.Transport) -> None:
    """Drop a connection at once, whether it is closed already or not: the polite end of TLS would wait for the other side."""
    # Python 3.11.2, that of Debian 12, cannot abort TLS that has ended: it asks a protocol that is gone
    with contextlib.suppress(AttributeError):
        transport.abort()


async def _first(addresses: list[str], port: int) -> tuple[socket.socket, str]:
    """Connect to one of the addresses; each gets a head start of 250 ms over the next, a refusal passes the turn at once."""
    if len(addresses) == 1:
        return await _connect(addresses[0], port), addresses[0]
    attempts: dict[asyncio.Task[socket.socket], str] = {}
    waiting = list(addresses)
    errors: list[tuple[str, OSError]] = []
    winner: socket.socket | None = None
    try:
        while waiting or any(not attempt.done() for attempt in attempts):
            if waiting:
                address = waiting.pop(0)
                attempts[asyncio.create_task(_connect(address, port))] = address
            running = [attempt for attempt in attempts if not attempt.done()]
            done, _ = await asyncio.wait(
                running, timeout=_NEXT_ADDRESS if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                error = attempt.exception()
                if error is None:
                    winner = attempt.result()
                    return winner, attempts[attempt]
                if not isinstance(error, OSError):
                    raise error
                errors.append((attempts[attempt], error))
        raise _all_failed(errors)
    finally:
        await _drop(attempts, winner)


async def _drop(attempts: dict[asyncio.Task[socket.socket], str], winner: socket.socket | None) -> None:
    for attempt in attempts:
        attempt.cancel()
    for left in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(left, socket.socket) and left is not winner:
            left.close()


async def _connect(address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        with suppress(OSError):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(made, (address, port))
    except BaseException:
        made.close()
        raise
    return made


def _all_failed(errors: list[tuple[str, OSError]]) -> Failure:
    """Return the error that stands for all addresses; a refusal says most (the host lives), a missing route for one family says least."""
    detail = ", ".join(f"{address}: {words(error)}" for address, error in errors)
    failures = [from_error(error, "connect", 0.0) for _, error in errors]
    telling = (Reason.BUG, Reason.REFUSED, Reason.CONNECTION_LOST, Reason.UNREACHABLE)
    first = min(failures, key=lambda failure: telling.index(failure.reason))
    return Failure(first.reason, detail, first.status)
