"""The centre: builds every part from settings, connects them, and runs them in one process."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, cast

from aiohttp import web

from alerts.tables import StateAway
from collectors.snmp import Device
from configs.daemon import Systemd
from configs.plugin import same_recipe
from configs.read import SettingsError
from server.admin.control_socket import Control
from server.admin.forget_host import forget_host
from server.edge.client_address import client_address
from server.edge.connections import Door
from server.edge.descriptors import room_for
from server.enrolment.join import Join, route
from server.heart import Heart
from server.ingest.endpoints import Ingest, routes
from server.ingest.tokens import Tokens
from server.outside import Outside, real
from server.reloading import Ready, changes, require_reloadable
from server.report.papers import Papers
from server.settings import Settings
from server.state.alone import Occupied, alone
from server.state.damage import remedy
from server.state.database import Database
from server.state.folder import private_folder
from server.state.opening import open_state
from server.state.read_apart import ReadApart
from server.store import StoreDamaged
from server.store.plans import opened
from server.store.recorder import Recorder
from server.watching import lease
from server.watching.feed import RESYNC, Feed
from server.watching.jobs import all_jobs, devices_of
from server.watching.lease import Lease
from server.watching.recurring import forever
from server.watching.scheduler import Job
from server.web.app import Parts, build
from server.web.context import WEB

if TYPE_CHECKING:
    from alerts.channels import Channel

_log: Final = logging.getLogger("pantau.server")
_RECORD: Final = 1.0  # seconds between writes of what the centre itself measured
_RETENTION_EVERY: Final = 6 * 3600.0
_WRITES: Final = frozenset({"/api/v2/write", "/write"})
_FILES: Final = 128  # descriptors for databases, logs and templates
_NO_SYSTEMD: Final = Systemd({})
_DRAIN: Final = 5.0  # seconds that a stop gives to messages on their way


async def serve(settings: Settings, systemd: Systemd, hangups: Sequence[int] = ()) -> int:
    """Run the centre until SIGTERM or SIGINT, and read its settings again at SIGHUP; return the exit code.

    ``hangups`` are the SIGHUPs that came before this process could act on them.
    """
    stop, hung_up = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number, event in ((signal.SIGTERM, stop), (signal.SIGINT, stop), (signal.SIGHUP, hung_up)):
        loop.add_signal_handler(number, event.set)
    if hangups:
        hung_up.set()
    lost: list[str] = []

    def end(words: str) -> None:
        lost.append(words)
        loop.call_soon_threadsafe(stop.set)

    async with running(settings, systemd, hung_up, end):
        host, port = settings.listen
        _log.info("the centre runs on http://%s:%d/", host, port)
        systemd.tell("READY=1", "STATUS=runs")
        await stop.wait()
        _log.info("stopping")
        systemd.tell("STOPPING=1")
    if lost:
        raise SettingsError(lost[0])
    return 0


@contextlib.asynccontextmanager
async def running(
    settings: Settings,
    systemd: Systemd = _NO_SYSTEMD,
    hung_up: asyncio.Event | None = None,
    lost: Callable[[str], None] = lambda _words: None,
    outside: Outside | None = None,
) -> AsyncIterator[web.Application]:
    """Run the centre until the block ends; each time ``hung_up`` is set, its settings are read again.

    ``lost`` is called, in a thread or on the loop, when another centre has taken this one's place. ``outside`` is what it has from
    outside of itself (default: what there is).

    Raises SettingsError when its address, its folder or its database cannot be had, StateAway when the database is not there,
    StateDamaged and StoreDamaged when a file cannot be used.
    """
    private_folder(settings.data)
    async with contextlib.AsyncExitStack() as stack:
        try:
            stack.enter_context(alone(settings.data))
            database = await asyncio.to_thread(open_state, settings.state, settings.data, lost)
        except Occupied as error:
            raise SettingsError(str(error)) from error
        stack.callback(database.close)
        centre = Centre(settings, database, systemd, hung_up or asyncio.Event(), lost, outside or real())
        stack.push_async_callback(centre.close)
        try:
            await centre.open()
        except StoreDamaged as error:
            raise StoreDamaged(f"{error}; {remedy(settings.data)}") from error
        centre.door = await _listen(stack, centre.web, settings)
        stack.push_async_callback(centre.stop)
        await centre.start()
        yield centre.web


async def _listen(stack: contextlib.AsyncExitStack, app: web.Application, settings: Settings) -> Door:
    runner = web.AppRunner(app, shutdown_timeout=_DRAIN)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    address = settings.listen
    server = cast("web.Server", runner.server)
    door = Door(server, settings.connections, room=_room(settings), trusted_proxies=settings.site.trusted_proxies)
    stack.push_async_callback(door.close)
    try:
        await door.open(*address)
    except OSError as error:
        told = f"cannot listen on {address[0]}:{address[1]}: {os.strerror(error.errno or 0)}"
        # a port may become free and an address come with its network; rights do not come by themselves
        raise SettingsError(told) if isinstance(error, PermissionError) else OSError(told) from error
    return door


def _room(settings: Settings) -> int:
    """Return for how many connections there is room; raises the limit of open files if need be."""
    return room_for(settings.connections.total, beside=_FILES + settings.schedule.total)


class Centre:
    """The parts of the centre, connected. ``open`` before it listens, ``start`` after; ``stop`` and ``close`` the other way.

    It tells ``systemd`` that it lives, and reads its settings again each time ``hung_up`` is set. ``door`` is where it listens.
    ``lost`` is called when another centre has taken its place.
    """

    door: Door

    def __init__(
        self,
        settings: Settings,
        database: Database,
        systemd: Systemd,
        hung_up: asyncio.Event,
        lost: Callable[[str], None],
        outside: Outside,
    ) -> None:
        release = version("pantau")
        self._outside = outside
        self._clock = clock = outside.clock
        self._settings = settings
        self._database = database
        self._pages = ReadApart(database)
        self._papers = Papers()
        self._systemd = systemd
        self._hung_up = hung_up
        self._reloading = asyncio.Lock()
        self._started = asyncio.Event()
        self._since = self._clock.steady()
        self._buckets = settings.buckets()
        self._feed = Feed()
        self._recorder = Recorder(self._buckets.main)
        self._lease = Lease(self._buckets.main, settings.data, clock.now, lost)
        self._ingest = Ingest(
            self._buckets,
            database,
            clock.now,
            clock.steady,
            settings.ingest,
            address=self._address,
            centre_series=settings.centre_series(),
        )
        self._devices: Mapping[str, Device] = devices_of(settings.watched, {})
        self._channels: Mapping[str, Channel] = {name: make() for name, make in settings.channels.items()}
        self._heart = Heart(
            database,
            settings.watched,
            settings.terms(),
            self._channels,
            settings.look(),
            settings.schedule,
            outside,
            keep=self._recorder.add,
            feed=self._feed,
            release=release,
        )
        self._control = Control(
            self._buckets, settings.state, settings.data, clock.now, release, self._forget_host, self._reload
        )
        self._tasks: list[asyncio.Task[None]] = []
        self.web = build(
            Parts(
                database=self._pages,
                states=self._heart.states,
                papers=self._papers,
                place=settings.state,
                buckets=self._buckets,
                watched=settings.watched,
                feed=self._feed,
                clock=clock.now,
                steady=clock.steady,
                site=settings.site,
                punctuality=self._heart.schedule.punctuality,
                running_time=self._heart.running_time,
            )
        )
        self._join = Join(database, clock.now, settings.place(), self._ingest.enrolled, self._address)
        self.web.add_routes([*routes(self._ingest), route(self._join)])
        self.web.on_response_prepare.append(partial(_tell_version, release))

    async def open(self) -> None:
        """Open the store and begin the centre's own running time."""
        await self._buckets.open()
        await self._ingest.open()
        await self._control.open()
        await self._heart.open()

    async def start(self) -> None:
        """Begin to look, to write and to send."""
        self._since = self._clock.steady()
        await self._heart.retire_unnamed()
        jobs = await asyncio.to_thread(self._jobs, self._settings, self._devices)
        turns = {
            **self._heart.turns(),
            "retention": (self._forget, _RETENTION_EVERY),
            "recorder": (self._recorder.flush, _RECORD),
            "lease": (self._lease.renew, lease.RENEW),
            "reload": (self._reload_when_told, 0.0),
        }
        if self._systemd.watchdog is not None:
            turns["watchdog"] = (self._show_life, self._systemd.watchdog)
        self._tasks = [asyncio.create_task(forever(name, *turn)) for name, turn in turns.items()]
        self._heart.start(jobs)
        self._started.set()

    def _jobs(self, settings: Settings, devices: Mapping[str, Device]) -> list[Job]:
        return all_jobs(
            settings.watched,
            devices.values(),
            self._buckets,
            self._ingest,
            keep=self._recorder.add,
            states=self._heart.states,
            away=lambda: self._database.away,
            backlog=self._heart.judge.backlog,
            punctuality=self._heart.schedule.punctuality,
            late=settings.schedule.late,
            outside=self._outside,
            since=self._since,
        )

    async def _reload_when_told(self) -> None:
        await self._hung_up.wait()
        self._hung_up.clear()
        with contextlib.suppress(SettingsError):  # it is told
            await self._reload()

    async def _reload(self) -> str:
        """Read the settings again and go by them; return what changed. SettingsError says, a line for each, why the old ones stay."""
        await self._started.wait()
        async with self._reloading:
            self._systemd.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            status = "the new settings were refused, those from before stay in force"
            try:
                ready = await self._checked()
                self._go_by(ready)
                await self._retire()
                status = "runs"
            finally:
                self._systemd.tell("READY=1", f"STATUS={status}")
        told = ready.changed or ["nothing changed"]
        for line in told:
            _log.info("settings read again: %s", line)
        return "\n".join(told)

    async def _checked(self) -> Ready:
        """Return what ``_prepare`` does; whatever is wrong is logged, and raised as SettingsError."""
        try:
            return await self._prepare()
        except (OSError, ValueError) as error:
            for line in ("the new settings were refused, those from before stay in force", *str(error).splitlines()):
                _log.error("%s", line)
            raise SettingsError(str(error)) from error
        except Exception as error:
            _log.exception(
                "the new settings were not taken by a fault of Pantau's own, those from before stay in force"
            )
            raise SettingsError(f"a fault of Pantau's own, see the log: {error!r}") from error

    async def _prepare(self) -> Ready:
        """Read and build everything beside what runs. SettingsError, ValueError and OSError say what is wrong; nothing has changed then."""
        before = self._settings
        settings = await asyncio.to_thread(before.reread)
        require_reloadable(before, settings)
        kept = {name for name, make in before.channels.items() if same_recipe(make, settings.channels.get(name, list))}
        channels = {name: self._channels[name] if name in kept else make() for name, make in settings.channels.items()}
        devices = devices_of(settings.watched, self._devices)
        tokens = None
        if settings.ingest.tokens != before.ingest.tokens:
            tokens = Tokens(settings.ingest.tokens, self._clock.steady)
            await tokens.find("")
        return Ready(
            settings=settings,
            changed=changes(before, settings),
            channels=channels,
            terms=settings.terms(),
            devices=devices,
            jobs=await asyncio.to_thread(self._jobs, settings, devices),
            shown=await self.web[WEB].following(settings.watched, settings.site),
            room=_room(settings),
            tokens=tokens,
            buckets=await opened(self._buckets, settings.plans),  # the last: what is open must not be left
        )

    def _go_by(self, ready: Ready) -> None:
        """Go by new settings, all at one instant of the loop: nothing here waits, or can fail."""
        settings = self._settings = ready.settings
        self._channels, self._devices = ready.channels, ready.devices
        self._buckets.use(ready.buckets)
        self._ingest.use(settings.ingest, ready.tokens, settings.centre_series())
        self._join.use(settings.place())
        self._heart.use(settings.watched, ready.terms, ready.channels, settings.look(), ready.jobs, settings.schedule)
        self.door.use(settings.connections, room=ready.room, trusted_proxies=settings.site.trusted_proxies)
        self.web[WEB].use(ready.shown)
        if ready.changed:
            self._feed.publish(RESYNC, {})

    async def _retire(self) -> None:
        try:
            await self._heart.retire_unnamed()
        except StateAway:
            _log.warning("what left the settings is retired once the database of state is back")
        except Exception:  # noqa: BLE001 - all else is done
            _log.exception("what left the settings could not be retired; the next reload or start does it")

    async def _show_life(self) -> None:
        """Notify systemd, unless the loop or the thread that writes state hangs; a database elsewhere may, no restart would mend it."""
        if self._database.engine.dialect.name == "sqlite":
            with contextlib.suppress(Exception):  # an answer is an answer
                await self._database.write(lambda _: None)
        self._systemd.tell("WATCHDOG=1")

    async def stop(self) -> None:
        """Send what is on its way, a few seconds long, then accept no new looks: the time in which nobody looks is to be short."""
        await self._reloading.acquire()
        self._feed.close()
        await self._heart.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._recorder.flush()
        await self._lease.end()
        await self._ingest.close()
        await self._heart.finish()

    async def close(self) -> None:
        """Let go of everything outside."""
        await self._control.close()
        await self._papers.close()
        await asyncio.to_thread(self._pages.close)
        for channel in self._channels.values():
            await channel.close()
        await self._buckets.close()

    def _address(self, request: web.Request) -> str:
        return client_address(request, self._settings.site.trusted_proxies)

    async def _forget_host(self, name: str, by: str) -> str:
        await self._ingest.flush_seen()
        now = self._clock.now
        with self._heart.observer.forgetting(name, now):
            return await forget_host(
                self._database, self._heart.judge, name, by=by, at=now(), let_go=self._ingest.forget
            )

    async def _forget(self) -> None:
        await self._buckets.forget(self._clock.now() * 1_000_000)


async def _tell_version(known: str, request: web.Request, response: web.StreamResponse) -> None:
    """Send agents the centre's version with each answer to a write, so that they can say which side is the older one."""
    if request.path in _WRITES:
        response.headers["X-Pantau-Version"] = known
