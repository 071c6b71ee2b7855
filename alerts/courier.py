"""Courier: sends what the outbox owes. Only the courier retries; each channel has its own loop, so none delays another."""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from alerts import outbox
from alerts.channels import Channel, Message, Refused, Unreachable
from alerts.message import Look, render
from alerts.outbox import Idle, Leased, Outcome
from alerts.tables import Database, StateAway

_log: Final = logging.getLogger("pantau.alerts")

_BASE: Final = 2_000
_CAP: Final = 600_000
_UNCERTAIN_PAUSE: Final = 60_000
_AT_ONCE: Final = 4
_DEADLINE: Final = 45.0
_DRAIN: Final = 10.0
_BURY_EVERY: Final = 60.0
_PLAIN: Final = Look()


class _Try(msgspec.Struct, frozen=True):
    """What became of one try; ``retry_after`` is seconds the other side asked to wait."""

    outcome: Outcome
    detail: str = ""
    provider_id: str = ""
    retry_after: float | None = None


class Courier:
    """Sends messages over ``channels`` (by name); ``clock`` is now in ms, ``look`` how texts are made.

    ``steady`` is steady time in ms, by which leases, pauses and the worth of a message are counted.

    ``owner`` names this start of this process, ``chance`` gives numbers in [0, 1) for the jitter, ``in_thread`` makes texts beside
    the event loop; ``tick`` is how often the outbox is looked at without being woken, seconds.
    Assumes to be the only courier on its database.
    """

    def __init__(
        self,
        database: Database,
        channels: Mapping[str, Channel],
        clock: Callable[[], int],
        steady: Callable[[], int],
        *,
        owner: str,
        chance: Callable[[], float],
        in_thread: Callable[..., Awaitable[Message]],
        look: Look = _PLAIN,
        tick: float = 5.0,
    ) -> None:
        self._database = database
        self._channels = channels
        self._clock = clock
        self._steady = steady
        self._look = look
        self._owner = owner
        self._chance = chance
        self._tick = tick
        self._in_thread = in_thread
        self._wakers = {name: asyncio.Event() for name in channels}
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._sending: dict[str, dict[int, asyncio.Task[None]]] = {name: {} for name in channels}
        self._retiring: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """Look at the outbox now: messages were planned. To be called on the event loop."""
        for waker in self._wakers.values():
            waker.set()
        self._changed.set()  # what was planned may be for a channel that is gone

    async def run(self) -> None:
        """Send until stopped or cancelled; a cancelled courier still gives running sends 10 s."""
        taken, buried = await self._database.write(
            lambda tx: outbox.adopt(tx, self._owner, list(self._channels), self._clock(), self._steady())
        )
        if taken or buried:
            _log.warning(
                "outbox: %d messages of a stopped courier taken back, %d have no channel any more", taken, buried
            )
        try:
            async with asyncio.TaskGroup() as group:
                while not self._stopping:
                    self._changed.clear()
                    for name in self._channels.keys() - self._serving.keys():
                        self._serving[name] = group.create_task(self._serve(name), name=f"courier-{name}")
                    await self._bury()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_BURY_EVERY):
                            await self._changed.wait()
        finally:
            await self._drain(_DRAIN)

    def use(self, channels: Mapping[str, Channel], look: Look) -> None:
        """Send over other channels and with other words from now on; to be called on the event loop.

        A channel that is left out or replaced is closed once the messages on their way over it are through. What still waits for
        a name that is left out is given up.
        """
        gone = {name: channel for name, channel in self._channels.items() if channels.get(name) is not channel}
        for name in channels:
            self._wakers.setdefault(name, asyncio.Event())
            self._sending.setdefault(name, {})
        self._channels, self._look = channels, look
        for name, channel in gone.items():
            retiring = asyncio.create_task(self._retire(name, channel, set(self._sending[name].values())))
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)
        self.wake()

    async def _retire(self, name: str, channel: Channel, sending: set[asyncio.Task[None]]) -> None:
        """Let a channel go when what is ``sending`` over it is through."""
        if name not in self._channels:
            if serving := self._serving.get(name):  # it may be leasing a message now
                await asyncio.wait([serving], timeout=_DEADLINE)
            sending = sending | set(self._sending[name].values())
        if sending:
            await asyncio.wait(sending)
        try:
            await channel.close()
        except Exception:  # noqa: BLE001 - nobody uses it any more
            _log.exception("channel %s, which left the settings, could not be closed", name)
        self._changed.set()

    async def _bury(self) -> None:
        """Give up what waits for a channel that is not in the settings: nobody else would, and pages would tell of it for ever."""
        try:
            buried = await self._database.write(lambda tx: outbox.bury(tx, list(self._channels)))
        except Exception:  # noqa: BLE001 - one bad transaction must not end the courier; the next turn does it
            _log.exception("the outbox cannot be read")
            return
        if buried:
            _log.warning("outbox: %d messages have no channel any more", buried)

    async def stop(self, seconds: float) -> None:
        """Accept no more messages, and wait up to ``seconds`` for running sends, so that their answers are not lost."""
        self._stopping = True
        self.wake()
        if self._serving:
            await asyncio.wait(list(self._serving.values()))
        await self._drain(seconds)
        if self._retiring:
            await asyncio.wait(self._retiring)

    async def _drain(self, seconds: float) -> None:
        if sending := [task for tasks in self._sending.values() for task in tasks.values()]:
            _, late = await asyncio.wait(sending, timeout=seconds)
            for task in late:
                task.cancel()

    async def _serve(self, name: str) -> None:
        waker = self._wakers[name]
        try:
            while not self._stopping and name in self._channels:
                waker.clear()
                pause = await self._send_due(name)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await waker.wait()
        finally:
            del self._serving[name]
            self._changed.set()

    async def _send_due(self, name: str) -> float:
        """Start sending what is due, a few at once; return the seconds until there may be more."""
        while len(self._sending[name]) < _AT_ONCE and name in self._channels and not self._stopping:
            busy = list(self._sending[name])
            leasing = asyncio.ensure_future(
                self._database.write(lambda tx: outbox.lease(tx, name, self._owner, self._steady(), busy=busy))  # noqa: B023 - awaited below
            )
            try:
                row = await asyncio.shield(leasing)
            except asyncio.CancelledError:
                self._start(await leasing)  # it is ours already: send it rather than leave it leased
                raise
            except StateAway:
                return self._tick
            except Exception:  # noqa: BLE001 - one bad transaction must not end the courier
                _log.exception("the outbox of %s cannot be read", name)
                return self._tick
            if isinstance(row, Idle):
                return (
                    self._tick if row.until is None else min(max((row.until - self._steady()) / 1000, 0.01), self._tick)
                )
            self._start(row)
        return self._tick

    def _start(self, row: Leased | Idle) -> None:
        if isinstance(row, Leased):
            sending, waker = self._sending[row.channel], self._wakers[row.channel]

            def done(_task: asyncio.Task[None]) -> None:
                del sending[row.id]
                waker.set()

            channel = self._channels.get(row.channel)
            sending[row.id] = asyncio.create_task(self._deliver(row, channel), name=f"send-{row.id}")
            sending[row.id].add_done_callback(done)

    async def _deliver(self, row: Leased, channel: Channel | None) -> None:
        at, began = self._clock(), self._steady()
        try:
            tried = await self._try(row, channel) if channel else _Try("transient", "its channel left the settings")
            await self._settled(row, tried, at, self._steady() - began)
        except Exception:  # noqa: BLE001 - the others go on
            _log.exception("message %d could not be settled; its lease will run out", row.id)

    async def _try(self, row: Leased, channel: Channel) -> _Try:
        try:
            message = await self._in_thread(self._render, row)
            async with asyncio.timeout(_DEADLINE):
                provider_id = await channel.send(row.recipient, message)
        except Unreachable as error:
            return _Try("uncertain" if error.accepted else "transient", str(error), retry_after=error.retry_after)
        except Refused as error:
            return _Try("permanent", str(error))
        except TimeoutError:
            return _Try("uncertain", f"no end after {_DEADLINE:.0f} s")
        except Exception as error:  # noqa: BLE001 - a bug in one channel must not end the courier
            where = "".join(traceback.format_tb(error.__traceback__))  # its text might hold a secret
            _log.error("bug in channel %s: %s\n%s", row.channel, type(error).__name__, where)
            return _Try("transient", f"a bug in the channel: {type(error).__name__}")
        return _Try("delivered", provider_id=provider_id)

    async def _settled(self, row: Leased, tried: _Try, at: int, took: int) -> None:
        """Record what became of a message, once the database takes it: forgotten, it would be sent a second time."""
        while True:
            try:
                return await self._settle(row, tried, at, took)
            except StateAway:
                if self._stopping:
                    raise
                await asyncio.sleep(self._tick)

    async def _settle(self, row: Leased, tried: _Try, at: int, took: int) -> None:
        now = self._steady()
        blocked = None if tried.retry_after is None else now + round(min(tried.retry_after * 1000, outbox.LONGEST_WAIT))
        retry_at = max(now + self._delay(row, tried.outcome), blocked or 0)
        status, failures = await self._database.write(
            lambda tx: outbox.settle(
                tx,
                row,
                tried.outcome,
                at=at,
                now=self._clock(),
                took=took,
                detail=tried.detail,
                provider_id=tried.provider_id,
                retry_at=retry_at,
                blocked_until=blocked,
            )
        )
        if status == "dead":
            _log.error("message %d to %s is given up: %s", row.id, row.channel, tried.detail)
        elif tried.outcome == "delivered" and failures:
            _log.info("channel %s works again after %d failed tries", row.channel, failures)
        elif tried.outcome != "delivered" and not failures:
            _log.warning("channel %s fails, its messages wait: %s", row.channel, tried.detail)

    def _render(self, row: Leased) -> Message:
        return render(row.key, row.kind, row.facts, self._look, repeated=row.uncertain > 0)

    def _delay(self, row: Leased, outcome: Outcome) -> int:
        """Return ms to wait: full jitter; a message that may have arrived and is not critical waits to see if it is still true."""
        delay = round(self._chance() * min(_CAP, _BASE << min(row.attempt - 1, 20)))
        if outcome == "uncertain" and row.facts.severity != "critical":
            return max(delay, _UNCERTAIN_PAUSE)
        return delay
