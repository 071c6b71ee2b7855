"""The centre: builds every part from settings, connects them, and runs them in one process."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from importlib.metadata import version
from typing import Final, cast

from aiohttp import web

from alerts import state
from alerts.courier import Courier
from alerts.judge import Judge
from alerts.message import Look
from alerts.route import connect
from collectors import snmp
from collectors.result import MEASUREMENT, Result
from configs.read import SettingsError
from server.admin.control_socket import Control
from server.admin.forget_host import forget_host
from server.edge.client_address import client_address
from server.edge.connections import Door
from server.edge.descriptors import room_for
from server.enrolment.join import Join, route
from server.ingest.centre_series import CentreSeries
from server.ingest.endpoints import Ingest, routes
from server.ledger import record
from server.ledger.running_time import RunningTime
from server.settings import Settings
from server.state.alone import Occupied, alone
from server.state.damage import remedy, require_sound
from server.state.database import Database
from server.state.folder import private_folder
from server.state.migrate import upgrade
from server.store import StoreDamaged
from server.store.recorder import Recorder
from server.watching import punctuality
from server.watching.feed import Feed
from server.watching.jobs import all_jobs
from server.watching.observer import Observer
from server.watching.recurring import forever
from server.watching.scheduler import Job, Schedule
from server.web.app import Parts, build

_log: Final = logging.getLogger("pantau.server")
_BEAT: Final = 2.0  # seconds between signs of life: the blur at the edge of an unobserved stretch after a kill
_RECORD: Final = 1.0  # seconds between writes of what the centre itself measured
_REALIGN_EVERY: Final = 10.0
_RETENTION_EVERY: Final = 6 * 3600.0
_WRITES: Final = frozenset({"/api/v2/write", "/write"})
_FILES: Final = 128  # descriptors for databases, logs and templates
_DRAIN: Final = 5.0  # seconds that a stop gives to messages on their way


def now_ms() -> int:
    """Return the wall clock in milliseconds since the Unix epoch: the one place where the centre reads it."""
    return time.time_ns() // 1_000_000


async def serve(settings: Settings) -> int:
    """Run the centre until SIGTERM or SIGINT; return the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings):
        host, port = settings.listen
        _log.info("the centre runs on http://%s:%d/", host, port)
        await stop.wait()
        _log.info("stopping")
    return 0


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[web.Application]:
    """Run the centre until the block ends.

    Raises SettingsError when its address or its folder cannot be had, StateDamaged and StoreDamaged when a file cannot be used.
    """
    private_folder(settings.data)
    async with contextlib.AsyncExitStack() as stack:
        try:
            stack.enter_context(alone(settings.data))
        except Occupied as error:
            raise SettingsError(str(error)) from error
        database = await asyncio.to_thread(Database, settings.state_url)
        stack.callback(database.close)
        await asyncio.to_thread(require_sound, database.engine, settings.data)
        await asyncio.to_thread(upgrade, database.engine)
        centre = Centre(settings, database)
        stack.push_async_callback(centre.close)
        try:
            await centre.open()
        except StoreDamaged as error:
            raise StoreDamaged(f"{error}; {remedy(settings.data)}") from error
        await _listen(stack, centre.web, settings)
        stack.push_async_callback(centre.stop)
        await centre.start()
        yield centre.web


async def _listen(stack: contextlib.AsyncExitStack, app: web.Application, settings: Settings) -> None:
    runner = web.AppRunner(app, shutdown_timeout=_DRAIN)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    limits, address = settings.connections, settings.listen
    room = room_for(limits.total, beside=_FILES + settings.schedule.total)
    server = cast("web.Server", runner.server)
    door = Door(server, limits, room=room, trusted_proxies=settings.site.trusted_proxies)
    stack.push_async_callback(door.close)
    try:
        await door.open(*address)
    except OSError as error:
        told = f"cannot listen on {address[0]}:{address[1]}: {os.strerror(error.errno or 0)}"
        # a port may become free and an address come with its network; rights do not come by themselves
        raise SettingsError(told) if isinstance(error, PermissionError) else OSError(told) from error


class Centre:
    """The parts of the centre, connected. ``open`` before it listens, ``start`` after; ``stop`` and ``close`` the other way."""

    def __init__(self, settings: Settings, database: Database) -> None:
        release = version("pantau")
        self._settings = settings
        self._watched = settings.watched
        self._database = database
        self._buckets = settings.buckets()
        self._feed = Feed()
        self._recorder = Recorder(self._buckets.main)
        address = partial(client_address, trusted_proxies=settings.site.trusted_proxies)
        self._ingest = Ingest(
            self._buckets,
            database,
            now_ms,
            settings.ingest,
            address=address,
            centre_series=CentreSeries(
                measurements=frozenset({MEASUREMENT, punctuality.MEASUREMENT}),
                polled=snmp.MEASUREMENTS,
                devices=settings.watched.devices.keys(),
            ),
        )
        self._channels = {name: make() for name, make in settings.channels.items()}
        self._courier = Courier(
            database, self._channels, now_ms, look=Look(zone=settings.site.zone, public_url=settings.site.public_url)
        )
        self._judge = Judge(
            database,
            self._watched.policy,
            self._watched.about,
            connect(settings.contacts, settings.routes, self._channels),
            record.record,
            clock=now_ms,
            planned=self._courier.wake,
        )
        self._observer = Observer(self._watched, self._judge, self._recorder, self._feed)
        self._schedule = Schedule(clock=now_ms, tell=self._tell, limits=settings.schedule)
        self._control = Control(self._buckets, settings.state_url, settings.data, now_ms, release, self._forget_host)
        self._running_time = RunningTime(database, now_ms, release)
        self._tasks: list[asyncio.Task[None]] = []
        self.web = build(
            Parts(
                database=database,
                buckets=self._buckets,
                watched=self._watched,
                feed=self._feed,
                clock=now_ms,
                site=settings.site,
                punctuality=self._schedule.punctuality,
            )
        )
        place = {"org": settings.ingest.org, "bucket": settings.ingest.bucket}
        join = Join(database, now_ms, place, self._ingest.enrolled, address)
        self.web.add_routes([*routes(self._ingest), route(join)])
        self.web.on_response_prepare.append(partial(_tell_version, release))

    async def open(self) -> None:
        """Open the store and begin the centre's own running time."""
        await self._buckets.open()
        await self._ingest.open()
        await self._control.open()
        await self._running_time.start()

    async def start(self) -> None:
        """Begin to look, to write and to send."""
        await self._observer.retire_unnamed(self._database)
        for job in await asyncio.to_thread(self._jobs):
            self._schedule.add(job)
        turns = {
            "beat": (self._running_time.beat, _BEAT),
            "retention": (self._forget, _RETENTION_EVERY),
            "recorder": (self._recorder.flush, _RECORD),
            "clock": (self._realign, _REALIGN_EVERY),
            "courier": (self._courier.run, _RECORD),
        }
        self._tasks = [asyncio.create_task(forever(name, *turn)) for name, turn in turns.items()]
        self._schedule.start(now=True)

    def _jobs(self) -> list[Job]:
        return all_jobs(
            self._watched,
            self._buckets,
            self._ingest,
            keep=self._recorder.add,
            states=self._states,
            punctuality=self._schedule.punctuality,
            late=self._settings.schedule.late,
            since=now_ms(),
        )

    async def stop(self) -> None:
        """Accept no new looks; give what is on its way a few seconds."""
        await self._schedule.stop()
        self._feed.close()
        await self._courier.stop(_DRAIN)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._recorder.flush()
        await self._ingest.close()
        await self._running_time.beat()

    async def close(self) -> None:
        """Let go of everything outside."""
        await self._control.close()
        for channel in self._channels.values():
            await channel.close()
        await self._buckets.close()

    async def _tell(self, result: Result) -> None:
        await self._observer.observe(result, self._schedule)

    async def _states(self, check: str) -> Sequence[state.State]:
        return await self._database.read(lambda tx: state.of_check(tx, check))

    async def _forget_host(self, name: str, by: str) -> str:
        await self._ingest.flush_seen()
        with self._observer.forgetting(name, now_ms):
            return await forget_host(self._database, self._judge, name, by=by, at=now_ms(), let_go=self._ingest.forget)

    async def _realign(self) -> None:
        self._schedule.realign()

    async def _forget(self) -> None:
        await self._buckets.forget(now_ms() * 1_000_000)


async def _tell_version(known: str, request: web.Request, response: web.StreamResponse) -> None:
    """Send agents the centre's version with each answer to a write, so that they can say which side is the older one."""
    if request.path in _WRITES:
        response.headers["X-Pantau-Version"] = known
