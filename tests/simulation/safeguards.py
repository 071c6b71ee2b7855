"""Safeguards of the heart, each of which can be switched off: the city must notice that it is gone.

A safeguard is a context manager that patches the product for the time of one run, what goes wrong without it, and the invariants one
of which must notice (the words before the colon).
"""

import secrets
from collections.abc import Callable
from contextlib import ExitStack, closing, contextmanager
from typing import NamedTuple
from unittest.mock import patch

from msgspec.structs import replace
from simulation import disk
from simulation.city import City
from simulation.script import HOUR, Event, Town
from simulation.seeds import run, wrong_with
from sqlalchemy import false, update

import alerts.courier
import alerts.state
from alerts import follow, outbox, tables
from alerts.judge import Judge
from alerts.outbox import Leased
from collectors.result import Status
from configs.clock import Clock
from server.heart import Heart
from server.ledger import record, writing
from server.ledger.running_time import RunningTime
from server.state import database
from server.watching.observer import Observer
from server.watching.punctuality import Punctuality

TOWN = Town({f"svc{number}": (60.0, 2, 1) for number in range(4)}, {"keyed": True, "plain": False}, ("srv-1",), 1.5)


class Safeguard(NamedTuple):
    """``off()`` switches it off; ``without`` says what goes wrong then, ``noticed`` by which invariants, at about which ``seed``.

    Of what is too rare in cities that are drawn, ``script`` says what happens.
    """

    name: str
    off: Callable
    without: str
    noticed: tuple[str, ...]
    seed: int = 0
    script: tuple[Event, ...] = ()

    def wrong(self, seed):
        """Return what is wrong with a seed without it."""
        with self.off():
            if not self.script:
                return run(seed).wrong
            with closing(City(seed, TOWN, self.script)) as city:
                return wrong_with(city)


def _patched(target, name, make):
    """Return what replaces ``target.name`` by ``make(what it was)``."""

    @contextmanager
    def off():
        with patch.object(target, name, make(getattr(target, name))):
            yield

    return off


def _unsynced(prepare):
    def prepared(connection, record):
        prepare(connection, record)
        connection.execute("PRAGMA synchronous=OFF")

    return prepared


async def _retire_now(heart):
    await heart.observer.retire_unnamed()


def _keyless(render):
    return lambda key, *args, **options: render(secrets.token_hex(16), *args, **options)


def _unmarked(render):
    return lambda *args, repeated, **options: render(*args, repeated=False, **options)


def _unleased(lease):
    def leased(tx, *args, **options):
        row = lease(tx, *args, **options)
        if isinstance(row, Leased):
            again = {"status": "queued", "not_before_ms": tables.outbox.c.not_before_ms + 5_000}
            tx.execute(update(tables.outbox).where(tables.outbox.c.id == row.id).values(again))
        return row

    return leased


def _impatient(settle):
    return lambda *args, blocked_until=None, retry_at=None, **options: settle(*args, retry_at=options["now"], **options)


def _undated(step):
    """Let a flip begin with the look that confirmed it."""

    def stepped(state, result, *args, **options):
        after = step(state, result, *args, **options)
        if after.flip is None:
            return after
        return replace(
            after,
            state=replace(after.state, since=result.at),
            flip=replace(after.flip, at=result.at),
            seen=replace(after.seen, since=result.at),
        )

    return stepped


def _seeing(step):
    """Let a look that could not tell count as what is believed."""

    def stepped(state, result, *args, **options):
        if result.status is Status.UNKNOWN:
            believed = Status.UP if state is None or state.status is Status.UNKNOWN else state.status
            result = replace(result, status=believed)
        return step(state, result, *args, **options)

    return stepped


def _repeating(step):
    """Let a look count again each time it is handed in."""

    def stepped(state, result, *args, **options):
        if state is not None and result.at <= state.last_at:
            state = replace(state, last_at=result.at - 1)
        return step(state, result, *args, **options)

    return stepped


class _Later:
    """Puts messages into the outbox with the transaction after that of their flip."""

    def __init__(self):
        self._waiting, self._new = [], []

    def owing(self, owe):
        def owed(tx, *args):
            self._new.append(lambda later: owe(later, *args))
            return 1

        return owed

    def writing(self, write):
        def written(state_database, work):
            self._new = []

            def both(tx):
                for owe in self._waiting:
                    owe(tx)
                return work(tx)

            done = write(state_database, both)
            self._waiting = self._new
            return done

        return written

    def starting(self, begin):
        def began(*args, **options):
            self._waiting = []
            begin(*args, **options)

        return began


@contextmanager
def _torn():
    later = _Later()
    with ExitStack() as stack:
        stack.enter_context(patch.object(follow.outbox, "owe_problem", later.owing(outbox.owe_problem)))
        stack.enter_context(patch.object(follow.outbox, "owe_closing", later.owing(outbox.owe_closing)))
        stack.enter_context(patch.object(disk.StateDatabase, "_write", later.writing(disk.StateDatabase._write)))
        stack.enter_context(patch.object(disk.StateDatabase, "__init__", later.starting(disk.StateDatabase.__init__)))
        yield


async def _nothing(*_args, **_options):
    return None


def _by_the_wall(_steady):
    return lambda clock: clock.now()


def _everywhere(name, make, *modules):
    """Return what replaces one function in every module that took it by name."""

    @contextmanager
    def off():
        with ExitStack() as stack:
            for module in modules:
                stack.enter_context(patch.object(module, name, make))
            yield

    return off


SAFEGUARDS = (
    Safeguard(
        "fsync",
        _patched(database, "_prepare_sqlite", _unsynced),
        "a power failure takes back what was told: messages twice, stretches of the ledger gone",
        ("doubled", "ledger", "closing", "memory", "lost", "flips"),
        4,
    ),
    Safeguard(
        "idempotency key",
        _patched(alerts.courier, "render", _keyless),
        "a channel that refuses doubles takes the second try for another message",
        ("doubled", "lost"),
    ),
    Safeguard(
        "mark of a possible double",
        _patched(alerts.courier, "render", _unmarked),
        "where a channel has no key, people cannot know that a message came before",
        ("doubled",),
        10,
    ),
    Safeguard(
        "lease",
        _patched(outbox, "lease", _unleased),
        "a message on its way is sent again beside itself",
        ("doubled",),
        6,
    ),
    Safeguard(
        "taking back leases of a killed courier",
        _patched(outbox, "_returned", lambda _: lambda now: {"lease_until_ms": None}),
        "what was on its way at a kill is never sent",
        ("owed", "closing"),
        69,
    ),
    Safeguard(
        "order per incident and recipient",
        _patched(outbox, "_waits", lambda _: false),
        "the end of an incident arrives before its beginning",
        ("order", "closing"),
        2,
    ),
    Safeguard(
        "looking again before a message is sent",
        _patched(outbox, "_revalidate", lambda _: lambda tx, row, now: {}),
        "people hear of the end of what they never heard of",
        ("closing", "order"),
        11,
    ),
    Safeguard(
        "patience that a channel asks for",
        _patched(outbox, "settle", _impatient),
        "a channel that says how long to wait is asked again at once",
        ("patience",),
        6,
    ),
    Safeguard(
        "flip and messages in one transaction",
        _torn,
        "a kill between both leaves an incident that nobody is told of",
        ("lost", "closing"),
        27,
    ),
    Safeguard(
        "confirmation",
        _patched(alerts.state, "_confirmed", lambda _: lambda *_args: True),
        "one failed look makes an outage",
        ("flips",),
    ),
    Safeguard(
        "backdating",
        _patched(alerts.state, "step", _undated),
        "each outage is short of the looks that confirmed it",
        ("flips", "ledger", "report"),
    ),
    Safeguard(
        "blind stretches",
        _patched(alerts.state, "step", _seeing),
        "what nobody could tell counts as up or down",
        ("ledger", "report", "flips"),
    ),
    Safeguard(
        "reach of a look",
        _everywhere("reach", lambda step: 1 << 50, alerts.state, record, writing),
        "a failed look before a stop and one after it are two in a row, and the stop counts as observed",
        ("flips", "ledger", "report"),
        script=(
            *(Event(1200, "service", 2400, f"svc{number}", "down") for number in range(4)),
            Event(1230, "kill", 900, "", "killed"),
        ),
    ),
    Safeguard(
        "beat",
        _patched(Observer, "commit", lambda _: _nothing),
        "what waits for the database of state is never written, and a centre without looks does not live",
        ("memory", "ledger", "states", "report", "owed"),
        2,
    ),
    Safeguard(
        "sign of life",
        _patched(RunningTime, "show_life", lambda _: lambda *_args: None),
        "nobody knows that the centre ran, and all counts as unobserved",
        ("ledger", "report"),
    ),
    Safeguard(
        "N of M",
        _patched(alerts.state, "_is_unstable", lambda _: lambda *_args: False),
        "a service of which every second look fails is up for ever",
        ("unstable",),
        17,
    ),
    Safeguard(
        "gap of a stop",
        _patched(RunningTime, "interrupt", lambda _: lambda *_args: None),
        "while the process was stopped, or the machine slept, the centre is said to have watched",
        ("gap", "report"),
    ),
    Safeguard(
        "looks are not joined across a stop",
        _patched(Judge, "interrupt", lambda _: lambda *_args: None),
        "a failed look before a stop and one after it are two in a row",
        ("flips",),
        script=(
            *(Event(1200, "service", 2400, f"svc{number}", "down") for number in range(4)),
            Event(1230, "suspend", HOUR / 2),
        ),
    ),
    Safeguard(
        "steady time",
        _patched(Clock, "steady", _by_the_wall),
        "a step of the clock or a stop is silence of every host, and ends every wait",
        ("flips", "ledger", "punctual", "patience"),
    ),
    Safeguard(
        "skipped rounds",
        _patched(Punctuality, "skip", lambda _: lambda *_args: None),
        "due times pass without a look, and no figure says so",
        ("skipped",),
        55,
    ),
    Safeguard(
        "believing the database at a start",
        _patched(Judge, "load", lambda _: _nothing),
        "after each start everything is new: incidents are opened twice, or never closed",
        ("memory", "fault", "states"),
        1,
    ),
    Safeguard(
        "keeping looks while the database is away",
        _patched(Judge, "_keep", lambda _: lambda judge, batch, error: batch.written.set_exception(error)),
        "what was seen meanwhile is lost: flips that nobody hears of",
        ("incidents", "ledger", "states", "memory", "fault", "flips"),
        24,
    ),
    Safeguard(
        "retiring what left the settings",
        _patched(Observer, "retire_unnamed", lambda _: _nothing),
        "incidents of a service that nobody watches stay open",
        ("states",),
        1,
    ),
    Safeguard(
        "waiting on the scale of the next process",
        _patched(outbox, "carry_over", lambda _: lambda *_args: None),
        "after a stop and a restart, a channel is asked again before its time, or left alone for too long",
        ("patience", "prompt", "owed"),
        script=(
            Event(600, "stop", 200),
            Event(1200, "service", 300, "svc0", "down"),
            Event(1200, "channel", 600, "keyed", "asks for patience"),
            Event(1500, "restart", 5),
        ),
    ),
    Safeguard(
        "reading back what could not be written",
        _patched(Judge, "_reload", lambda _: _nothing),
        "a flip that was never written is believed, and nobody hears of it",
        ("memory", "states", "incidents"),
        script=(Event(1100, "refused", 600, "svc0"), Event(1200, "service", 1800, "svc0", "down")),
    ),
    Safeguard(
        "families made anew when settings change",
        _patched(Judge, "retire_families", lambda _: _nothing),
        "the incident of a family stays open when its rules have left it",
        ("states", "incidents"),
        script=(Event(1200, "full", 3000, "srv-1", "overfull"), Event(2200, "change", 1, "", "family")),
    ),
    Safeguard(
        "retiring once the database is back",
        _patched(Heart, "retire_unnamed", lambda _: _retire_now),
        "incidents of a service that nobody watches stay open, since the database was away when it left",
        ("states",),
        script=(Event(1200, "state away", 200, "", "before"), Event(1250, "change", 1, "", "service")),
    ),
)
