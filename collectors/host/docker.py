"""``docker`` and ``docker_container_*``: what Docker or Podman tell of their containers over the socket of the Engine API."""

import asyncio
import errno
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from collectors.host.sources import dial, engine, kernelfile
from collectors.host.sources.engine import Container, Detail, Info, Reading, Stats
from collectors.point import Point

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collectors.host import Roots

T = TypeVar("T")

_MOST: Final = 1 << 24
_AT_ONCE: Final = 32  # engines before 20.10 take two seconds for each
_SOCKETS: Final = ("docker.sock", "podman/podman.sock")
_DAY: Final = 86_400 * 10**9
_OTHER: Final = "other"
_RUNNING: Final = "running"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``socket``: by default /run/docker.sock, else /run/podman/podman.sock. Reading it takes the right to control the engine.

    ``includes`` and ``excludes`` are shell patterns of containers' names. Of more than ``max_containers`` those with most
    memory have series of their own, the others are added up as ``other``; so are those younger than ``min_age`` seconds, and
    new names once ``max_names`` were seen within a day. Of more than ``max_asked`` running ones the youngest are not asked.
    """

    socket: str = ""
    includes: tuple[str, ...] = ("*",)
    excludes: tuple[str, ...] = ()
    max_containers: int = 50
    max_asked: int = 200
    max_names: int = 500
    min_age: int = 60


class Docker:
    """Asks the engine for its list, then for each container's figures, some at a time."""

    def __init__(self, options: Options, roots: "Roots", fetch: dial.Fetch = dial.fetch, *, seconds: float = 8) -> None:
        self._options = options
        self._sockets = (options.socket,) if options.socket else tuple(f"{roots.run}/{name}" for name in _SOCKETS)
        self._fetch = fetch
        self._seconds = seconds
        self._before: dict[str, Reading] = {}
        self._names: dict[str, int] = {}

    async def collect(self, now: int) -> list[Point]:
        """Return points of the engine and its containers; ``usage_percent`` of a processor needs an earlier reading.

        FileNotFoundError without a socket, PermissionError without the right to use it, OSError when no engine answers.
        """
        socket = await asyncio.to_thread(self._socket)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._collect(socket, now)
        except TimeoutError as error:
            raise TimeoutError(errno.ETIMEDOUT, f"no end within {self._seconds} s", socket) from error

    async def _collect(self, socket: str, now: int) -> list[Point]:
        info = await self._ask(socket, "/info", Info)
        everyone = await self._ask(socket, "/containers/json?all=1", list[Container])
        wanted = [container for container in everyone if self._is_wanted(container.name)]
        running = sorted((one for one in wanted if one.state == _RUNNING), key=lambda one: one.created)
        readings = await self._read_all(socket, running[: self._options.max_asked])
        chosen, others = self._choose(readings, now)
        self._before = {reading.container.id: reading for reading in readings}
        details = await self._details(socket, [one.container for one in chosen], self._stopped(wanted, now))
        tags = {"engine_host": info.name, "server_version": info.version}
        points = [*engine.of_engine(info, tags, now)]
        for reading in chosen:
            points += engine.of_container(reading, tags, now, host_memory=info.memory)
        if others:
            points += engine.of_others(others, {**tags, "container_name": _OTHER}, now)
        for container, detail in details:
            points += engine.of_detail(container, detail, tags, now)
        return points

    def _socket(self) -> str:
        for path in self._sockets:
            if Path(path).exists():
                return path
        raise kernelfile.lacking(self._sockets[0], "no socket of Docker or Podman")

    def _is_wanted(self, name: str) -> bool:
        return kernelfile.matches(name, self._options.includes) and not kernelfile.matches(name, self._options.excludes)

    async def _ask(self, socket: str, place: str, shape: type[T]) -> T:
        page = await self._fetch(f"http://localhost{place}", seconds=self._seconds, socket=socket, most=_MOST)
        try:
            return msgspec.json.decode(page, type=shape)
        except msgspec.DecodeError as error:
            raise dial.protocol_error(f"the answer to {place} is not an engine's: {error}", socket) from None

    async def _ask_each(
        self, socket: str, containers: "Iterable[Container]", place: str, shape: type[T]
    ) -> list[tuple[Container, T]]:
        """Ask for something of each container; those that vanish meanwhile are left out."""
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(container: Container) -> tuple[Container, T] | None:
            async with turns:
                try:
                    return container, await self._ask(socket, place.format(id=container.id), shape)
                except OSError as error:
                    if error.errno in {errno.ENOENT, errno.EPROTO}:
                        return None
                    raise

        return [told for told in await asyncio.gather(*map(one, containers)) if told]

    async def _read_all(self, socket: str, containers: list[Container]) -> list[Reading]:
        place = "/containers/{id}/stats?stream=false&one-shot=true"
        told = await self._ask_each(socket, containers, place, Stats)
        return [Reading(container, stats, self._before.get(container.id)) for container, stats in told]

    def _stopped(self, wanted: list[Container], now: int) -> list[Container]:
        stopped = sorted((one for one in wanted if one.state != _RUNNING), key=lambda one: -one.created)
        return [one for one in stopped if self._has_series(one, now)]

    async def _details(
        self, socket: str, running: list[Container], stopped: list[Container]
    ) -> list[tuple[Container, Detail]]:
        few = stopped[: self._options.max_containers - len(running)]
        return await self._ask_each(socket, (*running, *few), "/containers/{id}/json", Detail)

    def _choose(self, readings: list[Reading], now: int) -> tuple[list[Reading], list[Reading]]:
        """Divide into those with series of their own and the others."""
        self._names = {name: seen for name, seen in self._names.items() if now - seen < _DAY}
        chosen: list[Reading] = []
        others: list[Reading] = []
        for reading in sorted(readings, key=lambda one: (-one.memory, one.container.name)):
            own = len(chosen) < self._options.max_containers and self._has_series(reading.container, now)
            (chosen if own else others).append(reading)
        return chosen, others

    def _has_series(self, container: Container, now: int) -> bool:
        name = container.name
        if name not in self._names:
            young = now // 10**9 - container.created < self._options.min_age
            if young or len(self._names) >= self._options.max_names:
                return False
        self._names[name] = now
        return True
