"""Reach: where a device is, and what the network says of one that does not answer. The engine tells neither."""

import asyncio
import errno
import os
import socket
from typing import Final

from collectors.snmp.session import Closed, Nameless, Unreachable, Unresolved

_UNKNOWN_NAME: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})
_PATIENCE: Final = 0.3  # seconds; a router or the device's own kernel says no at once or never


async def resolve(address: str) -> str:
    """Return the numeric address of a name, or the address itself; raises Nameless or Unresolved."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(address, None, type=socket.SOCK_DGRAM)
    except socket.gaierror as error:
        kind = Nameless if error.errno in _UNKNOWN_NAME else Unresolved
        raise kind(error.strerror) from error
    return str(found[0][4][0])


async def ask_network(address: str, port: int) -> None:
    """Raise Closed or Unreachable when the network says why a device does not answer. Sends one datagram of one byte."""
    match (error := await _error(address, port)) and error.errno:
        case errno.ECONNREFUSED:
            raise Closed(f"nothing listens on UDP port {port}")
        case errno.ENETUNREACH | errno.EHOSTUNREACH | errno.ENETDOWN | errno.EHOSTDOWN as code:
            raise Unreachable(os.strerror(code).lower())


async def _error(address: str, port: int) -> OSError | None:
    loop = asyncio.get_running_loop()
    told: asyncio.Future[OSError] = loop.create_future()
    try:
        transport, _ = await loop.create_datagram_endpoint(lambda: _Ear(told), remote_addr=(address, port))
    except OSError as error:
        return error
    try:
        transport.sendto(b"\0")
        return await asyncio.wait_for(told, _PATIENCE)
    except TimeoutError:
        return None
    finally:
        transport.close()


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, told: asyncio.Future[OSError]) -> None:
        self._told = told

    def error_received(self, exc: Exception) -> None:
        """Record what ICMP, or the own kernel, says of the datagram."""
        if isinstance(exc, OSError) and not self._told.done():
            self._told.set_result(exc)
