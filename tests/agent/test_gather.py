import asyncio
import errno
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import wait_until

from agent.clock import Clock
from agent.gather import Inbox, Runner, Unit, to_lines
from agent.threads import Threads
from collectors.linereader import decode
from collectors.point import Point, UInt

TAGS = {"host": "srv-1", "agency": "diskominfo"}


class Steady:
    """Gives one point each time, unless ``fault`` says otherwise: an exception, or what to return."""

    def __init__(self, fault=None):
        self.fault = fault
        self.times = []

    async def collect(self, now):
        self.times.append(now)
        if isinstance(self.fault, BaseException):
            raise self.fault
        return [Point("m", {}, {"n": len(self.times)}, now)] if self.fault is None else self.fault


class Stuck:
    """Hangs, and does not even listen to being cancelled until it is released."""

    def __init__(self):
        self.calls = 0
        self.released = asyncio.Event()

    async def collect(self, now):
        self.calls += 1
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                continue
        return []


def runner(collector, clock=None, *, interval=0.1, timeout=0.05, **more):
    return Runner(Unit("mine", collector, interval, timeout), TAGS, clock or Clock(), **more)


async def rounds(one, clock, turns):
    """Run ``turns`` turns with a clock that jumps instead of waiting; return what was kept."""
    kept = []

    async def jump(seconds):
        clock.pass_(seconds)
        if clock.mono > 1000 + turns * one.unit.interval + 0.001:
            raise asyncio.CancelledError
        await asyncio.sleep(0)

    one._sleep = jump
    with pytest.raises(asyncio.CancelledError):
        await one.run(kept.extend)
    return kept


async def test_lines_carry_the_host_and_the_tags_of_the_settings(clock):
    kept = await rounds(runner(Steady(), clock, interval=10), clock, 2)
    assert kept == [
        b"m,agency=diskominfo,host=srv-1 n=1i 1800000010000000000",
        b"m,agency=diskominfo,host=srv-1 n=2i 1800000020000000000",
    ]


def test_a_point_s_own_tag_wins_and_a_line_stays_one_line():
    points = [Point("m", {"host": "other"}, {"s": "two\nlines"}, 1), Point("m", {}, {"n": float("nan")}, 1)]
    assert to_lines(points, TAGS) == [b'm,agency=diskominfo,host=other s="two lines" 1']


ANY_TEXT = st.text(st.characters(), max_size=12)
VALUES = st.one_of(st.floats(), st.integers(-(2**70), 2**70), st.booleans(), ANY_TEXT, st.integers(0, 2**64).map(UInt))
POINTS = st.lists(
    st.builds(
        Point,
        ANY_TEXT,
        st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3),
        st.dictionaries(ANY_TEXT, VALUES, max_size=3),
        st.integers(0, 2**62),
    ),
    max_size=4,
)


@given(POINTS)
def test_whatever_is_in_it_a_point_is_one_line_that_the_reader_takes(points):
    lines = to_lines(points, TAGS)
    assert len(lines) <= len(points)
    for line in lines:
        assert b"\n" not in line
        read = decode(line + b"\n", now=0)
        assert (len(read.points), read.errors) == (1, [])
        assert read.points[0].tags["host"] == "srv-1" or any("host" in point.tags for point in points)


FAULTS = {
    "raises": ValueError("bug"),
    "cannot read": OSError(errno.EIO, "Input/output error"),
    "exits": SystemExit(3),
    "returns nothing": 7,
    "returns garbage": [object()],
    "returns a field of no type": [Point("m", {}, {"n": object()}, 1)],
    "cancels itself": asyncio.CancelledError(),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_one_that_fails_in_any_way_disturbs_no_other(fault):
    bad, good = Steady(fault), Steady()
    kept = []
    tasks = [asyncio.create_task(runner(one).run(kept.extend)) for one in (bad, good)]
    await wait_until(lambda: len(kept) >= 3)
    assert not any(task.done() for task in tasks)
    assert bad.times
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_failing_one_is_asked_ever_less_often_and_at_once_again_when_it_works(clock, caplog):
    collector = Steady(OSError(errno.EIO, "Input/output error"))
    one = runner(collector, clock, interval=10)
    await rounds(one, clock, 100)
    gaps = [(later - earlier) // 10**10 for earlier, later in zip(collector.times, collector.times[1:], strict=False)]
    assert gaps == [2, 4, 8, 16, 32]
    assert one.counts.errors == 6
    assert caplog.text.count("mine failed") == 1
    collector.fault = None
    assert len(await rounds(one, clock, 150)) > 20
    assert "works again after 6 failures" in caplog.text


async def test_the_pause_is_never_longer_than_an_hour(clock):
    collector = Steady(OSError(errno.EIO, "Input/output error"))
    await rounds(runner(collector, clock, interval=600), clock, 60)
    gaps = {
        (later - earlier) // 10**9 for earlier, later in zip(collector.times[3:], collector.times[4:], strict=False)
    }
    assert gaps == {3600}


async def test_one_that_hangs_is_given_up_and_not_started_twice(caplog):
    stuck = Stuck()
    one = runner(stuck, interval=0.1)
    task = asyncio.create_task(one.run(lambda _: None))
    await wait_until(lambda: one.counts.missed >= 2)
    assert stuck.calls == 1
    assert one.counts.timeouts == 1
    assert "no answer within 0.05 s" in caplog.text
    stuck.released.set()
    await wait_until(lambda: "works again" in caplog.text)
    task.cancel()
    await asyncio.wait([task])


async def test_a_reading_that_hangs_in_a_thread_is_not_started_twice_and_tells_so(caplog):
    gate, stuck, started = threading.Event(), [], []

    class InThread:
        async def collect(self, now):
            started.append(now)
            await asyncio.to_thread(gate.wait, 15)
            return []

    asyncio.get_running_loop().set_default_executor(Threads())
    one = runner(InThread(), interval=0.1, stuck=lambda: stuck.append(1))
    task = asyncio.create_task(one.run(lambda _: None))
    await wait_until(lambda: one.counts.missed >= 3)
    assert (len(started), len(stuck)) == (1, 1)
    task.cancel()
    await asyncio.wait([task])
    successor = runner(InThread(), calls=one.calls)
    assert await successor.probe()
    assert len(started) == 1
    gate.set()
    await wait_until(lambda: all(call.done() for call in one.calls))
    assert await successor.probe()
    assert len(started) == 2


@pytest.mark.parametrize(("number", "stays"), [(errno.ENOENT, False), (errno.EACCES, False), (errno.EIO, True)])
async def test_at_the_start_one_that_the_host_lacks_goes_off_with_one_line(number, stays, caplog):
    assert await runner(Steady(OSError(number, "no", "/proc/what"))).probe() is stays
    assert len(caplog.records) == 1
    assert "/proc/what" in caplog.text


async def test_what_a_host_lacks_at_the_start_is_told_once_and_collected_when_it_comes(caplog):
    collector = Steady(FileNotFoundError(errno.ENOENT, "no", "/run/docker.sock"))
    one = runner(collector)
    assert (await one.probe(), await one.probe(), one.off) == (False, False, True)
    assert caplog.text.count("is off") == 1
    collector.fault = None
    assert (await one.probe(), one.off) == (True, False)
    assert "is on: this host has what it reads by now" in caplog.text


async def test_a_suspended_machine_wakes_to_one_turn_and_the_missed_ones_are_counted(clock):
    collector = Steady()
    one = runner(collector, clock, interval=10)
    waits = iter([0, 3600, 0, 0])

    async def sleep(seconds):
        clock.pass_(seconds + next(waits, 10**9))
        if clock.mono > 10**6:
            raise asyncio.CancelledError

    one._sleep = sleep
    with pytest.raises(asyncio.CancelledError):
        await one.run(lambda _: None)
    assert len(collector.times) == 4
    assert one.counts.missed == 360
    assert all(time % 10**10 == 0 for time in collector.times)


async def test_the_inbox_is_bounded_and_counts_what_it_gives_up():
    inbox = Inbox(most=10)
    inbox.put([b"%d" % number for number in range(8)])
    inbox.put([b"%d" % number for number in range(8, 15)])
    await inbox.wait()
    assert inbox.take() == ([b"%d" % number for number in range(5, 15)], 5)
    assert inbox.take() == ([], 0)


async def test_series_beyond_the_bound_are_left_out_counted_and_told_once(clock, caplog):
    bomb = Steady([Point("m", {"name": f"veth{n}"}, {"n": 1}, 1) for n in range(30)])
    one = Runner(Unit("net", bomb, 10, 1, max_series=20), TAGS, clock)
    kept = await rounds(one, clock, 3)
    assert len(kept) == 60
    assert (one.counts.gathered, one.counts.limited) == (60, 30)
    assert caplog.text.count("more than 20 series") == 1
