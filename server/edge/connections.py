"""The door for connections: how many there may be, of one client and in all, and how long one may stay without a whole request.

aiohttp bounds neither, and asyncio's own accepting spins when descriptors run out. What is being answered, a stream of events for
example, stays open; it is only waiting connections that have a time, and that make room for others.
"""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Annotated, Final

import msgspec
from aiohttp import web

from configs.units import Duration
from server.edge.client_address import client_network

_log: Final = logging.getLogger("pantau.edge")
_BACKLOG: Final = 512
_AT_ONCE: Final = 32
_PAUSE: Final = 1.0  # seconds that accepting rests when the system has nothing left for it
_QUIET: Final = 60.0  # seconds without a refusal after which it is told that they ended
_TOO_MANY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

_Count = Annotated[int, msgspec.Meta(ge=1)]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[server.connections]``.

    ``total`` limits the connections, fewer where the limit of open files asks for it; ``per_client`` those of one address (of IPv6
    its /64; trusted proxies excepted), at most half of all. ``head`` is how long the head of a request may take, ``idle`` how long a
    connection may wait for its next request, ``stalled`` how long a client may take nothing of its answer. When all are in use,
    those that wait longest make room.
    """

    total: _Count = 2000
    per_client: _Count = 500
    head: Duration = Duration(15)
    idle: Duration = Duration(75)
    stalled: Duration = Duration(60)

    def __post_init__(self) -> None:
        """ValueError for a time in which nobody could ask."""
        for name in ("head", "idle", "stalled"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name!r} of the connections: expected 1s or more")


class Connection(web.RequestHandler):
    """One connection of ``client``, served by aiohttp; ``ended`` is called with it once it is lost."""

    __slots__ = ("_ended", "_head_begun", "_head_since", "_heard", "client")

    def __init__(self, server: web.Server, client: str, idle: float, ended: Callable[["Connection"], None]) -> None:
        # the ingest unpacks bodies itself, off the loop and within its limits
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=idle,
            access_log=None,  # type: ignore[arg-type] # which its own callers pass, too
            auto_decompress=False,
        )
        self.client = client
        self._ended = ended
        self._heard = self._loop.time()
        self._head_since: float | None = self._heard
        self._head_begun = False

    @property
    def waits(self) -> bool:
        """Whether no request is being answered, because none has come whole."""
        return self._waiter is not None and not self._waiter.done()

    @property
    def heard(self) -> float:
        """When the client last sent something (s, by the loop's clock)."""
        return self._heard

    def data_received(self, data: bytes) -> None:
        """Accept what came, and note since when the head of a request is under way."""
        super().data_received(data)
        self._heard = self._loop.time()
        self._head_begun = self.waits
        if not self._head_begun:
            self._head_since = None
        elif self._head_since is None:
            self._head_since = self._heard

    def late(self, head: float) -> bool:
        """Return whether the head of a request, the first one even its beginning, takes longer than ``head`` seconds."""
        return self.waits and self._head_since is not None and self._loop.time() - self._head_since > head

    def give_up(self) -> None:
        """Close, with an answer to who sent a part of a request."""
        if self.transport is not None and self._head_begun:
            self.transport.write(_TOO_SLOW)
        self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Report to the door."""
        super().connection_lost(exc)
        self._ended(self)


class Door:
    """Accepts connections to a web server from ``open`` to ``close``; those that are open then are the server's to end.

    ``room`` is how many may be open, whatever the options say; ``trusted_proxies`` are not limited as one client.
    """

    def __init__(
        self, server: web.Server, options: Options, *, room: int, trusted_proxies: Collection[str] = ()
    ) -> None:
        self._server = server
        self.use(options, room=room, trusted_proxies=trusted_proxies)
        self._connections: set[Connection] = set()
        self._of_client: Counter[str] = Counter()
        self._sockets: Sequence[socket.socket] = ()
        self._beginning: set[asyncio.Task[object]] = set()
        self._watch: asyncio.Task[None] | None = None
        self._trouble = ""
        self._refused = 0
        self._refused_at = 0.0

    def use(self, options: Options, *, room: int, trusted_proxies: Collection[str]) -> None:
        """Limit connections by other settings from now on; those that are open stay."""
        self._options = options
        self._room = min(options.total, room)
        self._per_client = min(options.per_client, max(1, self._room // 2))
        self._trusted = trusted_proxies

    async def open(self, host: str, port: int) -> None:
        """Begin to accept; OSError when the address cannot be had."""
        self._sockets = await _listening(host, port)
        for listener in self._sockets:
            self._resume(listener)
        self._watch = asyncio.create_task(self._keep_watching())

    async def close(self) -> None:
        """Accept no more."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        for listener in self._sockets:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        self._sockets = ()

    def _resume(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                peer, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(listener, error)
                return
            if self._trouble:
                _log.info("connections are accepted again")
                self._trouble = ""
            self._admit(peer, str(address[0]))

    def _rest(self, listener: socket.socket, error: OSError) -> None:
        """Accept nothing for a while, for the system has no descriptor or no memory left: trying again at once would only spin."""
        if self._trouble != str(error):
            _log.warning("no connection can be accepted: %s", error)
            self._trouble = str(error)
        self._make_room()
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(_PAUSE, self._resume, listener)

    def _admit(self, peer: socket.socket, address: str) -> None:
        client = client_network(address)
        if address not in self._trusted and self._of_client[client] >= self._per_client:
            self._refuse(peer, f"{client} has {self._per_client} connections")
        elif len(self._connections) >= self._room and not self._make_room():
            self._refuse(peer, f"{self._room} connections are in use")
        else:
            self._begin(peer, client)

    def _refuse(self, peer: socket.socket, why: str) -> None:
        if not self._refused:
            _log.warning("connections are refused: %s", why)
        self._refused += 1
        self._refused_at = asyncio.get_running_loop().time()
        peer.setblocking(False)
        with suppress(OSError):
            peer.send(_TOO_MANY)
        peer.close()

    def _begin(self, peer: socket.socket, client: str) -> None:
        with suppress(OSError):  # it may be gone already
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._options.stalled.ms)
        connection = Connection(self._server, client, self._options.idle, self._forget)
        self._connections.add(connection)
        self._of_client[client] += 1
        loop = asyncio.get_running_loop()
        beginning: asyncio.Task[object] = loop.create_task(loop.connect_accepted_socket(lambda: connection, peer))
        self._beginning.add(beginning)
        beginning.add_done_callback(lambda task: self._begun(task, connection))

    def _begun(self, beginning: "asyncio.Task[object]", connection: Connection) -> None:
        self._beginning.discard(beginning)
        if beginning.cancelled() or beginning.exception() is not None:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._of_client[connection.client] -= 1
            if not self._of_client[connection.client]:
                del self._of_client[connection.client]

    def _make_room(self) -> bool:
        """End the connection that has waited for the longest time; return whether there was one."""
        waiting = [connection for connection in self._connections if connection.waits]
        if not waiting:
            return False
        longest = min(waiting, key=lambda connection: connection.heard)
        self._forget(longest)
        longest.force_close()
        return True

    async def _keep_watching(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self._options.head / 4))
            for connection in [one for one in self._connections if one.late(self._options.head)]:
                connection.give_up()
            if self._refused and asyncio.get_running_loop().time() - self._refused_at > _QUIET:
                _log.info("no connection is refused any more; %d were", self._refused)
                self._refused = 0


async def _listening(host: str, port: int) -> Sequence[socket.socket]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found):
            listener = socket.create_server(address, family=family, backlog=_BACKLOG)
            sockets.append(listener)
            listener.setblocking(False)
    except BaseException:
        for listener in sockets:
            listener.close()
        raise
    return sockets
