"""A made city: the real heart of the centre in it, from start to start, and everything around that is not the centre."""

import asyncio
import logging
import random
import traceback
from bisect import bisect_right
from contextlib import contextmanager
from functools import partial
from math import inf

import msgspec
from simulation import settings
from simulation.disk import Disk
from simulation.life import BEAT, PULSE, Life
from simulation.providers import Provider
from simulation.script import HOUR, course

from alerts.rules import Unreadable
from alerts.tables import StateAway
from collectors.result import Reason, Result, Status
from server.ledger import maintenance

EPOCH = 1_793_000_000_000  # ms: when the city begins by the wall clock, 2026-10-26
QUIET = 6 * HOUR  # how long after the last event everything that is owed may take
__all__ = ["EPOCH", "PULSE", "City", "Seen"]
TINY = 1e-6  # seconds: sums of seconds are not exact
AGAIN = 5.0  # seconds until a process that could not start is started again
USED = {"room": 40.0, "full": 95.0, "overfull": 99.0}  # percent of a disk
_STATUSES = {"up": Status.UP, "slow": Status.UP, "down": Status.DOWN, "degraded": Status.DEGRADED}


class Seen(msgspec.Struct, frozen=True):
    """One look as a service saw it: ``at`` in seconds of the city, ``wall`` as the centre dated it; ``life`` counts its starts."""

    at: float
    wall: int
    life: int
    status: Status | None  # None: it never answered


class City:
    """Runs the events of one seed; what they did is kept for the invariants.

    ``at`` is where it is in time, seconds. ``running`` holds, for each start of the centre, the stretches in which it ran
    undisturbed; ``offsets`` what its wall clock was wrong by, ms, from when on.
    """

    def __init__(self, seed, place, happened, *, settle=True):
        self.seed, self.place, self.happened = seed, place, happened
        self.settle = settle
        self.end = place.hours * HOUR
        self.chosen = settings.Chosen(place)
        self.disk = Disk()
        self.faults = []
        self.looks = {}
        self.running = []
        self.terms = {name: [(0.0, terms)] for name, terms in place.services.items()}
        self.regrouped = [0.0]  # since when the rules of the disk are a family, or each stands for itself
        self.offsets = [(0.0, 0)]
        self.lives = 0
        self.last_commit = 0.0
        self.life = None
        self._at = 0.0
        self._shift = 0.0  # what the process's own clock does not count: suspends
        self._dice = random.Random(f"{seed} city")
        self._services = {name: course(happened, "service", name, "up") for name in place.services}
        self._hosts = {name: course(happened, "silence", name, "writes") for name in place.hosts}
        self._disks = {name: course(happened, "full", name, "room") for name in place.hosts}
        self._moods = {name: course(happened, "channel", name, "well") for name in place.channels}
        self._away = course(happened, "state away", "", "")
        self._unreadable = course(happened, "store unreadable", "", "")
        self._refused = {name: course(happened, "refused", name, "") for name in place.services}
        self.providers = {
            name: Provider(
                name,
                keyed=keyed,
                mood=lambda name=name: self._moods[name].at(self.at),
                now=lambda: self.at,
                chance=self._dice.random,
            )
            for name, keyed in place.channels.items()
        }

    @property
    def at(self):
        return self._at if self.life is None else self.life.loop.time() + self._shift

    def wall(self):
        """Return the wall clock of the centre's machine, ms."""
        return self.wall_at(self.at)

    def wall_at(self, at):
        """Return what the wall clock showed at a moment of the city."""
        offset = self.offsets[bisect_right(self.offsets, (at, float("inf"))) - 1][1]
        return EPOCH + round(at * 1000) + offset

    @property
    def store(self):
        """What the centre's jobs take for its stores of points."""
        return MadeStores(self)

    def trouble(self):
        """Return how the database of state is away, "" when it is there."""
        return self._away.at(self.at)

    def refused(self):
        """Return the services whose rows the database does not take."""
        return {name for name, way in self._refused.items() if way.at(self.at)}

    def readable(self):
        """Return whether the store of points can be read."""
        return not self._unreadable.at(self.at)

    def writing(self):
        """Return the hosts that write now."""
        return [name for name, writes in self._hosts.items() if writes.at(self.at) == "writes"]

    def ways(self, kind, name):
        """Return the course of a service, its row, a host, its disk, a channel's other side or the store of points: how it stood when."""
        courses = {
            "service": self._services, "refused": self._refused, "host": self._hosts, "disk": self._disks, "channel": self._moods,
        }  # fmt: skip
        return self._unreadable if kind == "store" else courses[kind][name]

    def calm(self, start, end):
        """Return whether neither the database of state nor the settings were disturbed."""
        disturbing = {"state away", "change"}
        return not any(
            event.kind in disturbing and event.at < end and event.at + event.seconds > start for event in self.happened
        )

    @property
    def register(self):
        """What is registered, by the settings."""
        return settings.read(self.chosen, lambda name: None).watched.register

    def connected(self):
        """Return a connection to the database as it is."""
        return self.disk.engine().connect()

    def stepped(self, start, end):
        """Return whether the wall clock was set between two moments."""
        return any(start - 1 < at < end + 1 for at, _ in self.offsets[1:])

    def renamed(self, start, end):
        """Return whether a channel got another name between two moments, or so shortly before that a message was under way."""
        changes = (event.at for event in self.happened if (event.kind, event.how) == ("change", "channel"))
        return any(start - 60 < at <= end for at in changes)

    def rows(self, query):
        """Return what the database says."""
        return self.disk.connection.execute(query).fetchall()

    def values(self, since):
        """Return how full the disk of each host is that wrote at or after ``since``, ms of the wall clock."""
        for name, course_of in self._hosts.items():
            start, _, way = next(part for part in reversed(course_of.stretches(self.at + 1.0)) if part[0] <= self.at)
            if way == "writes" or self.wall_at(start) >= since:
                yield name, USED[self._disks[name].at(self.at)]

    def committed(self):
        """Note that the database has all that the centre saw so far."""
        self.last_commit = self.at

    def loaded(self, unequal):
        """Note in which ways what a start believes is not what the database says."""
        self.faults += [f"memory: at start {self.lives}, {words}" for words in unequal]

    def began(self):
        """Note that the centre looks from now on."""
        self.running.append([self.at, inf, self.lives])

    async def answer(self, name, at):
        """Answer a look at a service."""
        begun, way = self.at, self._services[name].at(self.at)
        looks = self.looks.setdefault(name, [])
        if way == "every second":
            way = "down" if len(looks) % 2 else "up"
        await asyncio.sleep(5 + 4 * self._dice.random() if way == "slow" else 0.05 + 0.3 * self._dice.random())
        status = _STATUSES.get(way, Status.UNKNOWN)
        looks.append(Seen(begun, at, self.lives, status))
        if way == "hang":
            await _hang(50 * self._dice.random())
        if way == "raise":
            raise RuntimeError("made: a bug of a check")
        reason = Reason.OK if status is Status.UP else Reason.REFUSED if status is Status.DOWN else Reason.SLOW
        return Result(check=name, subject=f"service/{name}", status=status, reason=reason, at=at)

    def close(self):
        """Let go of its database: it is over, and was looked at."""
        self.disk.close()

    def run(self):
        """Let everything happen."""
        with listening(self.faults):
            self._begin()
            for event in self.happened:
                self._to(event.at)
                self._let(event)
            self._to(self.end)
            if self.settle:
                self._quieten()
            self._end("stopped")

    def _begin(self):
        self.lives += 1
        self.life = Life(self, self.lives)

    def _to(self, moment):
        """Run the centre up to a moment; one that cannot start is started again."""
        while self.at < moment - TINY:
            if not self.life.started:
                self._until(min(moment, self.at + 1.0))
                if self.life.main.done() and self.life.main.exception() is not None:
                    if not isinstance(self.life.main.exception(), StateAway):
                        raise self.life.main.exception()
                    self._end("killed")
                    self._at += AGAIN
                    self._begin()
            else:
                self._until(moment)

    def _until(self, moment, most=inf):
        self.life.loop.run(moment - self._shift, most=most)

    def _let(self, event):
        match event.kind:
            case "kill":
                self._until(self.at + 60.0, event.count)
                self._end(event.how)
                self._at += event.seconds
                self._begin()
            case "restart":
                self._end("stopped")
                if event.how:  # while it is off
                    self._set(event)
                self._at += event.seconds
                self._begin()
            case "stop":
                self._gap()
                self.life.loop.stall(event.seconds)
                self._again()
            case "suspend":
                self._gap()
                self._shift += event.seconds
                self._again()
            case "step":
                self._gap()
                self._set(event)
                self._again()
            case "change":
                self._change(event.how)
            case "work":
                self._plan_work(event.name, event.seconds)

    def _set(self, event):
        """Set the wall clock."""
        sign = 1 if event.how.endswith("ahead") else -1
        self.offsets.append((self.at, self.offsets[-1][1] + sign * round(event.seconds * 1000)))

    def _plan_work(self, name, seconds):
        """Let somebody plan work on a service, which begins in ten minutes."""
        start = self.wall() + 600_000
        work = partial(
            maintenance.add, subject=f"service/{name}", start=start, end=start + round(seconds * 1000), reason="made",
            author="made", approver="made", now=self.wall(),
        )  # fmt: skip
        if self.life.started and not self.trouble():
            self.life.loop.create_task(self.life.database.write(work))

    def _change(self, how):
        """Change the settings, and let the centre read them; one that is still starting reads them at its next start."""
        if not self.life.started:
            return
        self.chosen.change(how, self._dice)
        if how == "family":
            self.regrouped.append(self.at)
        self.life.loop.create_task(self.life.reload())
        for name, before in self.terms.items():
            now = self.chosen.services.get(name)
            if before[-1][1] != now:
                before.append((self.at, now))

    def _gap(self):
        """Note that the centre is disturbed now."""
        if self.running and self.running[-1][1] == inf:
            self.running[-1][1] = self.at

    def _again(self):
        if self.life.started:
            self.began()

    def _end(self, how):
        """End the process: asked to, killed, or with its power lost."""
        life = self.life
        self.faults += life.uncounted()
        if how == "stopped" and life.started:
            self._gap()
            life.loop.complete(life.stop(), within=180.0)
            # what waits for a database that is away is lost with the process
            self.running[-1][1] = max(self.running[-1][0], min(self.running[-1][1], self.last_commit))
        elif self.running and self.running[-1][1] == inf:
            undisturbed = self.running[-1][0] < self.at - BEAT  # what a gap ended is written soon after it
            if undisturbed and not self.life.database.away and self.last_commit > self.at - BEAT - 1:
                self.faults += [f"memory: at the end of life {life.number}, {words}" for words in life.unwritten()]
            self.running[-1][1] = max(self.running[-1][0], min(self.at, self.last_commit))
        self._at = self.at
        self._shift = 0.0
        self.life = None
        self.faults += [str(fault) for fault in life.loop.faults]
        life.loop.kill()
        if how == "power lost":
            self.disk.lose_power()

    def _quieten(self):
        """Let what is owed arrive."""
        until = max(self.end, self.at) + QUIET
        while self.at < until:
            self._to(min(self.at + 600.0, until))
            if not self.disk.owed():
                return


async def _hang(seconds):
    """Never answer, and let go so many seconds after being told to."""
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(seconds)
        raise


class Reading(msgspec.Struct, frozen=True):
    """The newest values of a host."""

    tags: dict[str, str]
    fields: dict[str, float]


class MadeStores:
    """The stores of points of a city: one, that is read by rules and may be unreadable."""

    def __init__(self, city):
        self._city = city
        self.main = self

    async def health(self):
        return {"pantau": "" if self._city.readable() else "made: unreadable"}

    async def damage(self):
        return {"pantau": ""}

    async def latest(self, measurement, fields, *, since, where=None):
        await asyncio.sleep(0.05)
        if not self._city.readable():
            raise Unreadable("made: the store cannot be read")
        return [Reading({"host": name}, {fields[0]: value}) for name, value in self._city.values(since // 1_000_000)]


@contextmanager
def listening(faults):
    """Note every bug that the product catches and logs while it runs; nothing of what it logs is printed."""
    log = logging.getLogger("pantau")
    ear = Ear(faults)
    before = log.propagate, log.level, log.handlers
    log.propagate, log.handlers = False, [ear]
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.propagate, log.handlers = before[0], before[2]
        log.setLevel(before[1])


class Ear(logging.Handler):
    """Keeps what is logged with a traceback, except of bugs that the city makes."""

    def __init__(self, faults):
        super().__init__(logging.ERROR)
        self._faults = faults

    def emit(self, record):
        error = record.exc_info[1] if record.exc_info else None
        hung = isinstance(error, TimeoutError) and "failed by itself" in record.msg
        if error is not None and not hung and "made:" not in str(error):
            self._faults.append("".join(traceback.format_exception(error)) + record.getMessage())
