"""Nothing is lost and nothing is made up: collected = delivered + spooled + dropped and counted + quarantined + rejected.

Generated schedules of faults go through the real way: collector, inbox, spool file, HTTP, with stops and kills between.
"""

import asyncio
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.gather import Inbox, Runner, Unit
from agent.pace import Pace
from agent.post import Endpoint
from agent.send import Sender
from agent.spool import Options, Spool
from collectors.point import Point
from configs.units import Duration, Size

pytestmark = pytest.mark.may_block
BOUNDS = Options(max_size=Size(60_000), max_age=Duration(3600), min_free=Size(0))


class Source:
    """A collector that gives ``count`` points, no two alike; every ``poison``-th is one that the centre will not take."""

    def __init__(self):
        self.count, self.poison, self._made = 0, 0, 0

    async def collect(self, now):
        if not self.count:
            raise OSError(5, "Input/output error")
        points = []
        for _ in range(self.count):
            self._made += 1
            bad = self.poison and self._made % self.poison == 0
            points.append(Point("bad" if bad else "m", {}, {"n": self._made, "s": "two\nlines"}, now))
        return points


class Way:
    def __init__(self, folder, centre, clock):
        self.centre, self.clock, self.source = centre, clock, Source()
        self.file = Path(folder, "spool.db")
        self.loop = asyncio.new_event_loop()
        self.made, self.killed, self.repeated, self.refusing = [], [], False, False
        self.start()

    def start(self):
        self.runner = Runner(Unit("m", self.source, 10, 5), {"host": "a"}, self.clock)
        self.inbox = Inbox(most=120)
        self.spool = Spool(self.file, BOUNDS)
        self.endpoint = Endpoint(self.centre.output(timeout=Duration(20)))
        self.sender = Sender(self.endpoint, self.spool, self.clock, Pace(10_000), chance=lambda: 0.5)

    def collect(self, count, poison):
        self.clock.pass_(10)
        self.source.count, self.source.poison = count, poison
        try:
            lines = self.loop.run_until_complete(self.runner.look())
        except OSError:
            return
        self.made += lines
        self.inbox.put(lines)

    def keep(self):
        lines, lost = self.inbox.take()
        self.spool.put(lines, self.clock.ms(), lost=lost)

    def send(self, mood, backlog):
        self.centre.mood = MOODS[mood](self.centre)
        self.repeated |= mood == "lost answer"
        if backlog:
            self.sender._behind, self.sender._backlog_at, self.sender._live_at = True, 0, 1e12
            self.sender._fresh_from = self.clock.ms() + 1
        else:
            self.sender._live_at = 0
        self.sender.turn()

    def disk(self, refuses):
        self.refusing = refuses
        if self.spool._file:
            self.spool._file._db.execute(f"PRAGMA query_only = {'ON' if refuses else 'OFF'}")

    def stop(self):
        if not self.refusing:  # else what is in memory is lost with it, as the log says
            self.keep()
            self.endpoint.close()
            self.spool.close()
            self.start()

    def on_disk(self):
        """Whether the disk knows of every line; what it refused until now, and that it was delivered, is in memory only."""
        if self.refusing or self.spool._staged or not self.spool._file:
            return False
        known = self.spool._file._db.execute("SELECT collected FROM tally").fetchone()[0]
        return known == self.spool.tally.collected

    def kill(self):
        if self.on_disk():
            lines, lost = self.inbox.take()
            self.killed.append((self.spool, self.endpoint))  # it never says another word
            self.made = self.made[: len(self.made) - len(lines) - lost]
            self.repeated = True
            self.start()

    def wait(self, seconds):
        self.clock.pass_(seconds)

    def end(self):
        self.endpoint.close()
        self.spool.close()
        for spool, endpoint in self.killed:
            endpoint.close()
            spool._file._db.close()
        self.loop.close()


def poison(lines):
    return any(line.startswith(b"bad,") for line in lines)


def honest(answer):
    def mood(centre):
        return lambda lines: (400, {}, "unable to parse") if poison(lines) else answer

    return mood


def partial(centre):
    def mood(lines):
        if poison(lines):
            return (400, {}, "unable to parse")
        centre.lines += lines[1:]
        return (422, {}, "partial write: field type conflict dropped=1")

    return mood


MOODS = {
    "ok": honest("ok"),
    "lost answer": honest("lost_answer"),
    "too large": lambda centre: lambda lines: (413, {}, "") if len(lines) > 8 else honest("ok")(centre)(lines),
    "partial": partial,
    **{str(number): lambda centre, number=number: number for number in (401, 404, 429, 500, 503)},
    "portal": lambda centre: (200, {"Content-Type": "text/html"}, "<html>"),
    "reset": lambda centre: "reset",
}
STEPS = st.one_of(
    st.tuples(st.just("collect"), st.integers(0, 60), st.sampled_from([0, 0, 5, 17])),
    st.tuples(st.just("keep")),
    st.tuples(st.just("send"), st.sampled_from(sorted(MOODS)), st.booleans()),
    st.tuples(st.just("disk"), st.booleans()),
    st.tuples(st.just("wait"), st.integers(0, 3000)),
    st.tuples(st.just("stop")),
    st.tuples(st.just("kill")),
)


def balanced(tally):
    return (
        tally.collected == sum(msgspec.structs.astuple(tally)) - tally.collected
        and min(msgspec.structs.astuple(tally)) >= 0
    )


@given(st.lists(STEPS, max_size=40))
@example([("disk", True), ("collect", 1, 0), ("keep",), ("send", "ok", False), ("disk", False), ("kill",)])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.timeout(300)
def test_every_line_that_was_collected_is_somewhere(centre, still_clock, steps):
    centre.lines.clear()
    with tempfile.TemporaryDirectory() as folder:
        way = Way(folder, centre, still_clock())
        for name, *arguments in steps:
            getattr(way, name)(*arguments)
            assert balanced(way.spool.tally), (name, arguments)
        way.disk(False)
        for _ in range(40):
            way.collect(1, 0)  # so that the centre is known to take lines, and what it refuses is known to be poison
            way.keep()
            way.send("ok", False)
            if way.spool.tally.spooled == 0:
                break
        tally = way.spool.tally
        quarantined = {one.line for one in way.spool.quarantined()}
        way.end()
    assert balanced(tally)
    assert tally.spooled == 0
    assert tally.collected == len(way.made)
    assert all(line.startswith(b"bad,") for line in quarantined)
    missing = set(way.made) - set(centre.lines) - quarantined
    assert set(centre.lines) <= set(way.made)
    assert len(missing) <= tally.dropped + tally.rejected
    if not way.repeated:
        assert len(missing) == tally.dropped + tally.rejected
        assert len(centre.lines) == tally.delivered
