"""Resolve: the addresses of a name, within a time and without a thread that waits for a resolver for ever."""

import socket
import threading
from typing import Any, NamedTuple


class Address(NamedTuple):
    """Where to connect: the family of the socket and what its ``connect`` takes."""

    family: int
    address: Any


class Names:
    """Asks the system for addresses, each time anew. ``good`` are those that worked last, used while nobody knows the name."""

    def __init__(self) -> None:
        self.good: list[Address] = []
        self._lookup: _Lookup | None = None

    def find(self, host: str, port: int, seconds: float) -> list[Address]:
        """Return addresses in the system's order, within ``seconds``; OSError when there are none.

        A resolver that hangs costs one thread, however often it is asked.
        """
        try:
            return _ask(host, port, socket.AI_NUMERICHOST)
        except (OSError, UnicodeError):
            pass  # a name, not an address
        if self._lookup is None or (self._lookup.host, self._lookup.port) != (host, port):
            self._lookup = _Lookup(host, port)
            self._lookup.start()
        self._lookup.join(seconds)
        if self._lookup.is_alive():
            failure: OSError = socket.gaierror(socket.EAI_AGAIN, f"nobody told the address of {host} in time")
        else:
            lookup, self._lookup = self._lookup, None
            if lookup.found:
                return lookup.found
            failure = lookup.failure
        if self.good:
            return self.good
        raise failure


class _Lookup(threading.Thread):
    def __init__(self, host: str, port: int) -> None:
        super().__init__(name="resolve", daemon=True)
        self.host = host
        self.port = port
        self.found: list[Address] = []
        self.failure = OSError(f"the name {host} has no address")

    def run(self) -> None:
        try:
            self.found = _ask(self.host, self.port, 0)
        except OSError as error:
            self.failure = error
        except UnicodeError as error:
            self.failure = socket.gaierror(socket.EAI_NONAME, str(error))


def _ask(host: str, port: int, flags: int) -> list[Address]:
    told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [Address(family, address) for family, _, _, _, address in told]
