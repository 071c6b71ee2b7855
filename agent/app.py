"""The agent as a whole: builds the parts, connects them, and keeps them going until it is told to stop."""

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from agent import daemon
from agent.clock import Clock
from agent.deliver import Outcome, deliver
from agent.gather import Counts, Inbox, Runner, Unit
from agent.internal import Internal
from agent.machine import fingerprint
from agent.pace import Pace, phase
from agent.post import Endpoint
from agent.send import Sender
from agent.settings import Settings
from agent.spool import Spool
from agent.stamps import move_late
from agent.threads import Threads
from configs.daemon import Systemd
from configs.read import SettingsError

log = logging.getLogger("pantau.agent")

_SETTLE: Final = 0.25  # the collectors of one turn go into the spool together
_DRAIN: Final = 4.0
_SET: Final = 60_000  # ms; a clock that is disciplined drifts, one that is set jumps


class App:
    """One running agent: ``run`` returns after ``stop``, SIGTERM or SIGINT.

    ``reread`` gives fresh settings at SIGHUP, or raises SettingsError and then the old ones stay in force.
    ``probe_again`` is the seconds until a collector that found nothing to read is asked again, ``stall`` those without progress after
    which systemd gets no more signs of life, where it names none itself.
    """

    def __init__(
        self,
        settings: Settings,
        reread: Callable[[], Settings],
        spool: Spool,
        clock: Clock,
        systemd: Systemd,
        machine: str = "",
        *,
        probe_again: float = 600.0,
        stall: float = 45.0,
    ) -> None:
        self._settings = settings
        self._reread = reread
        self._spool = spool
        self._clock = clock
        self._systemd = systemd
        self._machine = machine
        self._probe_again = probe_again
        self._stall = stall
        self._refused = ""
        self._skew = clock.skew()
        self._sender = Sender(Endpoint(settings.output, machine), spool, clock, _flushes(settings))
        self._disk = ThreadPoolExecutor(1, "spool")
        self._inbox = Inbox()
        spool.ages = False  # until the centre has told its time: a clock that jumps ahead must not empty the spool
        self._calls: dict[str, list[Future[Any]]] = {}
        self._runners: dict[Runner, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._reload = asyncio.Event()

    def stop(self) -> None:
        """Ask for the end."""
        self._stopping.set()

    def reload(self) -> None:
        """Ask for a fresh look at the settings."""
        self._reload.set()

    async def run(self) -> None:
        """Run until stopped, then bring what was collected into the spool."""
        self._renew_threads()
        self._start_collectors()
        self._sender.start()
        work = [asyncio.create_task(part) for part in (self._keep(), self._watch(), self._reload_forever())]
        end = asyncio.create_task(self._stopping.wait())
        self._systemd.tell("READY=1")
        gc.freeze()
        await asyncio.wait([end, *work], return_when=asyncio.FIRST_COMPLETED)
        self._systemd.tell("STOPPING=1")
        failures = [task.exception() for task in work if task.done()]
        await self._shut_down([end, *work])
        for failure in failures:
            if failure is not None:
                raise failure

    def _start_collectors(self) -> None:
        settings, counts = self._settings, dict[str, Counts]()
        units = list(settings.units)
        if settings.agent.internal:
            itself = Internal(counts, self._spool, self._sender, self._clock, lambda: self._refused)
            units.append(Unit("internal", itself, settings.agent.internal, 1.0))
        for unit in units:
            calls = self._calls.get(unit.name, ())
            runner = Runner(unit, settings.tags, self._clock, calls=calls, stuck=self._renew_threads)
            counts[unit.name] = runner.counts
            self._runners[runner] = asyncio.create_task(self._probe_and_run(runner))
        log.info("host %s: %d collectors, to %s", settings.tags["host"], len(settings.units), settings.output.url)

    async def _probe_and_run(self, runner: Runner) -> None:
        try:
            while not await runner.probe():  # noqa: ASYNC110 - nobody tells that a socket or a device has come
                await asyncio.sleep(self._probe_again)
            await runner.run(self._inbox.put)
        except Exception:
            log.exception("the runner of collector %s ended by a fault of Pantau's own", runner.unit.name)

    def _renew_threads(self) -> None:
        asyncio.get_running_loop().set_default_executor(Threads())

    async def _stop_collectors(self) -> None:
        self._calls |= {runner.unit.name: runner.calls for runner in self._runners}
        tasks = list(self._runners.values())
        self._runners.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)

    async def _keep(self) -> None:
        """Bring lines from the inbox into the spool, from a thread of its own: a slow disk delays nothing else."""
        loop = asyncio.get_running_loop()
        while True:
            await self._inbox.wait()
            await asyncio.sleep(_SETTLE)
            lines, lost = self._inbox.take()
            await loop.run_in_executor(self._disk, partial(self._put, lines, lost))

    def _put(self, lines: list[bytes], lost: int) -> None:
        self._spool.correct(self._clock.shift)
        skew, now = self._clock.skew(), self._clock.ms()
        if abs(by := skew - self._skew) > _SET:
            lines = move_late(lines, by, now)
        self._skew = skew
        self._spool.put(lines, now, lost=lost, skew=skew)

    async def _watch(self) -> None:
        """Notify the service manager that we live, as long as collectors have their turns and the sender goes round."""
        while True:
            await asyncio.sleep(self._systemd.watchdog or self._stall)
            now = self._clock.monotonic()
            sending = now - self._sender.progress < self._stall + self._settings.output.timeout
            turning = [runner for runner, task in self._runners.items() if not (task.done() or runner.off)]
            collecting = any(now - one.turned < self._stall + 2 * one.unit.interval for one in turning)
            if sending and (collecting or not turning):
                self._systemd.tell("WATCHDOG=1")

    async def _reload_forever(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            try:
                fresh = await asyncio.to_thread(self._reread)
            except SettingsError as error:
                self._refused = "; ".join(str(fault) for fault in error.faults)  # in one line, as systemd takes it
                log.error("the settings were not taken, the old ones stay in force: %s", self._refused)  # noqa: TRY400 - the message is for the owner
                continue
            self._refused = ""
            if fresh.state_dir != self._settings.state_dir:
                log.warning("a new state_dir is taken at the next start")
            await self._stop_collectors()
            self._settings = fresh
            self._spool.options = fresh.spool
            self._sender.use(Endpoint(fresh.output, self._machine), _flushes(fresh))
            logging.getLogger("pantau").setLevel(fresh.agent.log_level.upper())
            self._start_collectors()

    async def _shut_down(self, work: Iterable[asyncio.Task[object]]) -> None:
        for task in work:
            task.cancel()
        await self._stop_collectors()
        lines, lost = self._inbox.take()
        last = asyncio.get_running_loop().run_in_executor(self._disk, self._finish, lines, lost)
        await asyncio.wait([last], timeout=_DRAIN)
        if not last.done():
            log.error("the spool did not take the last %d lines in time", len(lines))

    def _finish(self, lines: list[bytes], lost: int) -> None:
        if lines or lost:
            self._put(lines, lost)
        self._sender.stop(1.0)
        self._spool.close()


def serve(
    settings: Settings, reread: Callable[[], Settings], environ: Mapping[str, str], hangups: Sequence[int] = ()
) -> None:
    """Run the agent in this process until a signal ends it; raises daemon.Occupied when its state folder is taken.

    ``hangups`` are the SIGHUPs that came before this process could act on them.
    """
    systemd = Systemd(environ)
    lock = daemon.occupy(settings.state_dir)
    spool = Spool(settings.state_dir / "spool.db", settings.spool)
    machine = fingerprint()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        app = App(settings, reread, spool, Clock(), systemd, machine)
        loop.add_signal_handler(signal.SIGTERM, app.stop)
        loop.add_signal_handler(signal.SIGINT, app.stop)
        loop.add_signal_handler(signal.SIGHUP, app.reload)
        if hangups:
            app.reload()
        await app.run()

    loop.run_until_complete(run())
    if lock is not None:
        lock.close()


def collect_once(settings: Settings, pause: float = 1.0) -> tuple[list[bytes], list[str]]:
    """Collect twice, ``pause`` seconds apart; return the lines of the second time and what failed, in words."""
    return asyncio.new_event_loop().run_until_complete(_collect(settings, pause))


async def _collect(settings: Settings, pause: float) -> tuple[list[bytes], list[str]]:
    clock = Clock()
    runners = [Runner(unit, settings.tags, clock) for unit in settings.units]
    await asyncio.gather(*(runner.look() for runner in runners), return_exceptions=True)
    await asyncio.sleep(pause)
    looks = await asyncio.gather(*(runner.look() for runner in runners), return_exceptions=True)
    lines: list[bytes] = []
    failures: list[str] = []
    for runner, look in zip(runners, looks, strict=True):
        if isinstance(look, BaseException):
            failures.append(f"collector {runner.unit.name} failed: {type(look).__name__}: {look}")
        else:
            lines += look
    return lines, failures


def send_once(settings: Settings, lines: list[bytes]) -> Outcome:
    """Deliver lines at once, without the spool."""
    endpoint = Endpoint(settings.output, fingerprint())
    try:
        return deliver(lines, endpoint.post, trusted=False)
    finally:
        endpoint.close()


def _flushes(settings: Settings) -> Pace:
    """Return the turns at which this host sends: each host at its own moment of the interval."""
    interval = settings.output.interval.ms
    return Pace(interval, phase(settings.tags["host"], interval))
