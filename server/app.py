"""The centre: builds every part from settings, connects them, and runs them in one process."""

import asyncio
import contextlib
import logging
import platform
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, Final

from aiohttp import web
from sqlalchemy import Connection

from alerts import state
from alerts.courier import Courier
from alerts.judge import Judge
from alerts.message import Look
from alerts.route import connect
from collectors.result import Result, to_point
from collectors.snmp import Device
from configs.read import SettingsError
from server.admin.control_socket import Control
from server.enrolment.join import Join, route
from server.ingest.endpoints import Ingest, routes
from server.inventory.subjects import CLONES_CHECK, SCHEDULE_CHECK, STORE_CHECK, Inventory
from server.ledger import record, running_time
from server.readmodel.feed import Feed
from server.settings import Settings
from server.state.alone import Occupied, alone
from server.state.database import Database
from server.state.migrate import upgrade
from server.store.recorder import Recorder
from server.watching.jobs import check_job, clones_job, device_job, rule_job, schedule_job, store_job
from server.watching.scheduler import Schedule
from server.web.app import Parts, build
from server.web.context import WEB

_log: Final = logging.getLogger("pantau.server")
_BEAT: Final = 2.0  # seconds between signs of life: the blur at the edge of an unobserved stretch after a kill
_RECORD: Final = 1.0  # seconds between writes of what the centre itself measured
_REALIGN_EVERY: Final = 10.0
_RETENTION_EVERY: Final = 6 * 3600.0
_WRITES: Final = frozenset({"/api/v2/write", "/write"})
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
    """Run the centre until the block ends; SettingsError when its address or its folder cannot be had."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        try:
            stack.enter_context(alone(settings.data))
        except Occupied as error:
            raise SettingsError(str(error)) from error
        database = await asyncio.to_thread(Database, settings.state_url)
        stack.callback(database.close)
        await asyncio.to_thread(upgrade, database.engine)
        centre = Centre(settings, database)
        stack.push_async_callback(centre.close)
        await centre.open()
        await _listen(stack, centre.web, settings.listen)
        stack.push_async_callback(centre.stop)
        await centre.start()
        yield centre.web


async def _listen(stack: contextlib.AsyncExitStack, app: web.Application, address: tuple[str, int]) -> None:
    # the ingest unpacks bodies itself, off the loop and within its limits
    runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=_DRAIN)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, *address).start()
    except OSError as error:
        raise SettingsError(f"cannot listen on {address[0]}:{address[1]}: {error.strerror}") from error


class Centre:
    """The parts of the centre, connected. ``open`` before it listens, ``start`` after; ``stop`` and ``close`` the other way."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._version = version("pantau")
        self._buckets = settings.buckets()
        self._store = self._buckets.main
        self._inventory = Inventory(settings.register, settings.checks, settings.devices, settings.rules)
        self._feed = Feed()
        self._recorder = Recorder(self._store)
        self._ingest = Ingest(self._buckets, database, now_ms, settings.ingest)
        self._channels = {name: make() for name, make in settings.channels.items()}
        self._courier = Courier(
            database, self._channels, now_ms, look=Look(zone=settings.zone, public_url=settings.public_url)
        )
        self._judge = Judge(
            database,
            self._inventory.policy,
            self._inventory.about,
            connect(settings.contacts, settings.routes, self._channels),
            record.record,
            clock=now_ms,
            planned=self._courier.wake,
        )
        self._schedule = Schedule(clock=now_ms, tell=self._tell, limits=settings.schedule)
        self._control = Control(self._buckets, settings.state_url, settings.data, now_ms, self._version)
        self._run_id = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.web = build(
            Parts(
                database=database,
                store=self._store,
                buckets=self._buckets,
                register=settings.register,
                devices=settings.devices,
                checks=settings.checks,
                feed=self._feed,
                clock=now_ms,
                zone=settings.zone,
                language=settings.language,
                title=settings.title,
                public_url=settings.public_url,
                secure_cookies=settings.public_url.startswith("https://"),
                trusted_proxies=settings.trusted_proxies,
                about=self._inventory.about,
                punctuality=self._schedule.punctuality,
            )
        )
        join = Join(
            database, now_ms, settings.ingest, self._ingest.enrolled, lambda asked: asked.app[WEB].address(asked)
        )
        self.web.add_routes([*routes(self._ingest), route(join)])
        self.web.on_response_prepare.append(partial(_tell_version, self._version))

    async def open(self) -> None:
        """Open the store and begin the centre's own running time."""
        await self._buckets.open()
        await self._ingest.open()
        await self._control.open()
        self._run_id = await self._database.write(lambda tx: running_time.start_run(tx, now_ms(), self._version))

    async def start(self) -> None:
        """Begin to look, to write and to send."""
        await self._retire_unnamed()
        for job in await asyncio.to_thread(lambda: [check_job(check) for check in self._settings.checks.values()]):
            self._schedule.add(job)
        for options in self._settings.devices.values():
            self._schedule.add(device_job(Device(options), self._recorder.add))
        for rule in self._settings.rules.values():
            self._schedule.add(rule_job(rule, self._store, self._known, self._ingest.seen, now_ms()))
        self._schedule.add(store_job(self._buckets, self._inventory.interval(STORE_CHECK)))
        self._schedule.add(
            clones_job(self._ingest.clones, self._known, self._inventory.interval(CLONES_CHECK), now_ms())
        )
        self._schedule.add(
            schedule_job(
                self._schedule.punctuality,
                self._recorder.add,
                platform.node(),
                self._settings.schedule.late,
                self._inventory.interval(SCHEDULE_CHECK),
            )
        )
        self._tasks = [
            asyncio.create_task(_forever("beat", self._beat, _BEAT)),
            asyncio.create_task(_forever("retention", self._forget, _RETENTION_EVERY)),
            asyncio.create_task(_forever("recorder", self._recorder.flush, _RECORD)),
            asyncio.create_task(_forever("clock", self._realign, _REALIGN_EVERY)),
            asyncio.create_task(_forever("courier", self._courier.run, _RECORD)),
        ]
        self._schedule.start(now=True)

    async def stop(self) -> None:
        """Take no new looks; give what is on its way a few seconds."""
        await self._schedule.stop()
        self._feed.close()
        await self._courier.stop(_DRAIN)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._recorder.flush()
        await self._ingest.close()
        await self._beat()

    async def close(self) -> None:
        """Let go of everything outside."""
        await self._control.close()
        for channel in self._channels.values():
            await channel.close()
        await self._buckets.close()

    async def _tell(self, result: Result) -> None:
        """Hand a result to the judge, then to whoever shows or keeps it."""
        observed = await self._judge.observe(result)
        planned = self._settings.checks.get(result.check)
        if planned is not None:
            self._recorder.add([to_point(result, planned.type)])
            if observed.state.pending_status is not None:
                self._schedule.recheck(result.check, planned.recheck)
        self._feed.publish(
            "look" if observed.flip is None else "flip",
            {
                "subject": result.subject,
                "check": result.check,
                "status": observed.state.status.value,
                "incident": observed.incident_id,
            },
        )

    async def _retire_unnamed(self) -> None:
        """Believe nothing any more by checks that settings do not name now: nobody would ever close their incidents."""
        for believed in await self._database.read(state.all_states):
            if not self._inventory.names(believed.check):
                _log.info("%s of %s is not in the settings any more", believed.check, believed.subject)
                await self._judge.retire(believed.check, believed.subject, by="settings")

    async def _known(self, check: str) -> Sequence[state.State]:
        return await self._database.read(lambda tx: state.of_check(tx, check))

    async def _beat(self) -> None:
        def beat(tx: Connection) -> None:
            running_time.beat(tx, self._run_id, now_ms())

        await self._database.write(beat)

    async def _realign(self) -> None:
        self._schedule.realign()

    async def _forget(self) -> None:
        await self._buckets.forget(now_ms() * 1_000_000)


async def _tell_version(known: str, request: web.Request, response: web.StreamResponse) -> None:
    """Tell agents the centre's version with each answer to a write, so that they can say which side is the older one."""
    if request.path in _WRITES:
        response.headers["X-Pantau-Version"] = known


async def _forever(name: str, work: Callable[[], Coroutine[Any, Any, None]], seconds: float) -> None:
    """Do something again and again; one failure is logged and does not end it."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - one bad turn must not stop the heart of the centre
            _log.exception("%s failed", name)
        await asyncio.sleep(seconds)
