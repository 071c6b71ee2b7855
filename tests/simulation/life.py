"""One life of the centre in a made city, from its start to its end: the real heart, jobs and settings on a loop of made time."""

import asyncio
import random
from contextlib import suppress
from functools import partial
from math import inf

from simulation import settings
from simulation.disk import StateDatabase
from simulation.loop import Loop
from simulation.providers import MadeChannel

from alerts.tables import StateAway
from configs.clock import Clock
from server.enrolment.fingerprints import Clones
from server.heart import Heart
from server.ingest.last_seen import Seen
from server.outside import Outside
from server.watching.feed import Feed
from server.watching.jobs import all_jobs
from server.watching.recurring import forever

BEAT = 20.0  # seconds between signs of life, slower than the product's: a transaction each
TICK = 0.9  # seconds between looks at the clock, which counts a second at most
PACE = {"beat": BEAT, "clock": TICK}
IDLE = 120.0  # seconds between looks of the courier that nobody woke
PULSE = 20.0  # seconds between writes of a host
SAVE = 60.0  # seconds between saves of when hosts wrote
LATE = 20.0  # seconds: what is believed for longer is written


class Life:
    """The process. ``main`` is its start; ``started`` whether that is over."""

    def __init__(self, city, number):
        dice = random.Random(f"{city.seed} life {number}")
        self.number = number
        self._begun = city.at + 1
        self.loop = Loop(dice, start=city.at)
        self.started = False
        self._city = city
        self._turns = []
        clock = Clock(city.wall, self.loop.time)
        self.outside = Outside(clock, dice.random, lambda: f"{dice.getrandbits(64):016x}", self._in_thread, "pusat")
        self.database = StateDatabase(city.disk, city.trouble, city.refused)
        self.clones = Clones()
        self.heard = Seen(self.database, clock.steady)
        self.settings = settings.read(city.chosen, self._check)
        self.channels = self._channels(self.settings)
        self.heart = Heart(
            self.database,
            self.settings.watched,
            self.settings.terms(),
            self.channels,
            self.settings.look(),
            self.settings.schedule,
            self.outside,
            keep=lambda points: None,
            feed=Feed(),
            release="made",
        )
        self.heart.courier._tick = IDLE
        self._put = {}
        self._noted(self.heart)
        self.main = self.loop.create_task(self._start())

    def seen(self):
        """Return when each host was last heard (what jobs ask of the ingest)."""
        return self.heard.last()

    async def _start(self):
        await self.heard.load()
        await self.heart.open()
        self._since = self.outside.clock.steady()
        self._city.loaded(self.unwritten(late=-inf))
        await self.heart.retire_unnamed()
        turns = {**self.heart.turns(), "hosts": (self._hear, PULSE), "seen": (self.heard.save, SAVE)}
        for name, (work, seconds) in turns.items():
            self._turns.append(self.loop.create_task(forever(name, work, PACE.get(name, seconds))))
        self.heart.start(self._jobs(self.settings))
        self.started = True
        self._city.began()

    def _noted(self, heart):
        """Note when something is believed, and when all that was believed so far is written."""
        put, write = heart.states.put, heart.judge._write

        def believe(state):
            self._put[state.check, state.subject] = self._city.at
            put(state)

        async def noted(*what):
            try:
                await write(*what)
            except StateAway:
                if self._city.trouble() != "after commit":
                    raise
                self._city.committed()
                raise
            self._city.committed()

        heart.states.put, heart.judge._write = believe, noted

    def unwritten(self, late=LATE):
        """Return in words what is believed for ``late`` seconds and is not in the database, or is there and not believed."""
        columns = "check_id, subject, status, since_ms, pending_count, last_at_ms"
        rows = {row[:2]: row[2:] for row in self._city.rows(f"SELECT {columns} FROM state")}
        now = self.outside.clock.now()
        believed = {
            (one.check, one.subject): (one.status.value, one.since, one.pending_count, one.last_at)
            for one in self.heart.states.all()
        }
        return [
            f"{identity}: {believed.get(identity)} is believed, {rows.get(identity)} is written"
            for identity in believed.keys() | rows.keys()
            if believed.get(identity) != rows.get(identity)
            and self._put.get(identity, -inf) <= self._city.at - late
            # the clock was set back since: what waited is joined to nothing that follows
            and not (
                identity in rows
                and identity in believed
                and rows[identity][3] > now
                and _parted(rows[identity]) == believed[identity]
            )
        ]

    def uncounted(self):
        """Return in words of which services more due times have come than looks began or were counted as skipped."""
        if not self.started:
            return []
        lived = (self.outside.clock.steady() - self._since) / 1000
        jobs = self.heart.schedule.punctuality.jobs
        return [
            f"skipped: {name} was due {lived / jobs[name].interval:.0f} times, and {jobs[name].runs} looks and "
            f"{jobs[name].skipped} without are counted"
            for name, terms in self._city.terms.items()
            if name in jobs
            and terms[-1][0] < self._begun
            and jobs[name].runs + jobs[name].skipped < lived / jobs[name].interval - 2
        ]

    async def stop(self):
        """End as a process does that is asked to."""
        await self.heart.stop()
        for turn in self._turns:
            turn.cancel()
        for turn in self._turns:
            with suppress(asyncio.CancelledError):
                await turn
        await self.heart.finish()

    async def reload(self):
        """Go by what the settings say now, as the centre does at SIGHUP."""
        before = self.channels
        self.settings = settings.read(self._city.chosen, self._check)
        made = self._channels(self.settings)
        self.channels = {name: before.get(name, channel) for name, channel in made.items()}
        heart, now = self.heart, self.settings
        heart.use(now.watched, now.terms(), self.channels, now.look(), self._jobs(now), now.schedule)
        with suppress(StateAway):
            await heart.retire_unnamed()

    def _jobs(self, now):
        return all_jobs(
            now.watched,
            (),
            self._city.store,
            self,
            keep=lambda points: None,
            states=self.heart.states,
            away=lambda: self.database.away,
            backlog=self.heart.judge.backlog,
            punctuality=self.heart.schedule.punctuality,
            late=now.schedule.late,
            outside=self.outside,
            since=self._since,
        )

    def _channels(self, now):
        names = {name: provider for provider, name in self._city.chosen.channels.items()}
        return {name: MadeChannel(self._city.providers[names[name]]) for name in now.channels}

    def _check(self, name):
        return MadeCheck(partial(self._city.answer, name))

    async def _hear(self):
        now = self.outside.clock.now()
        if hosts := dict.fromkeys(self._city.writing(), now * 1000000):
            self.heard.note(hosts, at=now, address="192.0.2.1", client="made")

    async def _in_thread(self, work, /, *arguments):
        return await self.loop.run_in_executor(None, partial(work, *arguments))


def _parted(row):
    """Return a row in which no change waits."""
    return (*row[:2], 0, *row[3:])


class MadeCheck:
    """A check whose service answers by the script."""

    def __init__(self, answer):
        self._answer = answer

    async def run(self, at):
        return await self._answer(at)
