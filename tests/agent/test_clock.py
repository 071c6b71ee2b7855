"""Clocks that are wrong, are set, or sleep (simulated: the clocks are handed in). The true time starts at TRUE."""

import threading

import pytest

from agent.clock import Clock
from agent.gather import Runner, Unit
from agent.pace import Pace
from agent.post import Endpoint
from agent.send import Sender
from agent.spool import Options, Spool
from agent.stamps import move_late
from collectors.point import Point
from configs.units import Duration, Size

TRUE = 1_800_000_000_000
HOUR = 3_600_000
YEAR = 365 * 24 * HOUR


class Counting:
    async def collect(self, now):
        return [Point("m", {}, {"n": 1}, now)]


class Host:
    """Collector, spool and sender of one agent; a turn is ten seconds."""

    def __init__(self, centre, spool, clock):
        self.clock = clock
        self.spool = spool
        spool.ages = False
        self.runner = Runner(Unit("m", Counting(), 10, 1), {"host": "a"}, clock)
        self.endpoint = Endpoint(centre.output())
        self.sender = Sender(self.endpoint, spool, clock, Pace(10_000), chance=lambda: 0.0)

    async def collect(self):
        """As App does it in its turn."""
        lines = await self.runner.look()
        self.spool.correct(self.clock.shift)
        self.spool.put(lines, self.clock.ms(), skew=self.clock.skew())

    async def turns(self, count, *, send=True):
        for _ in range(count):
            self.clock.pass_(10)
            await self.collect()
            if send:
                self.sender._live_at = 0
                self.sender.turn()


@pytest.fixture
def host(centre, tmp_path, still_clock):
    made = []

    def build(error=0, *, told=False, **bounds):
        clock = still_clock(wall=TRUE + error, told=told)
        clock.error = error
        spool = Spool(tmp_path / "spool.db", Options(min_free=Size(0), **bounds))
        made.append(Host(centre, spool, clock))
        return made[-1]

    yield build
    for one in made:
        one.endpoint.close()
        one.spool.close()


def stamps(centre):
    """What arrived, in seconds after TRUE, to the nearest ten: a ``Date`` has whole seconds only."""
    return sorted(round((int(line.rpartition(b" ")[2]) / 1e6 - TRUE) / 10_000) * 10 for line in centre.lines)


pytestmark = pytest.mark.may_block


async def test_a_machine_without_a_battery_starts_in_1970_and_its_points_get_the_centre_s_time(centre, host):
    one = host(-TRUE)
    await one.turns(3, send=False)
    assert not one.clock.credible
    await one.turns(2)
    assert stamps(centre) == [10, 20, 30, 40, 50]
    assert one.clock.offset_ms == pytest.approx(TRUE, abs=1000)


async def test_points_of_1970_wait_while_the_centre_is_away_and_are_put_right_when_the_clock_is_set(centre, host):
    centre.vanish()
    one = host(-TRUE, max_age=Duration(3600))
    await one.turns(3)
    one.clock.jump(TRUE)
    await one.turns(3)
    centre.start()
    await one.turns(3)
    assert stamps(centre) == [10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert one.spool.tally.dropped == 0


async def test_points_of_1970_are_not_sent_to_a_centre_that_does_not_tell_its_time(centre, host):
    centre.tells_time = False
    one = host(-TRUE)
    await one.turns(3)
    assert stamps(centre) == []
    assert one.spool.tally.spooled == 3
    one.clock.jump(TRUE)
    await one.turns(1)
    assert stamps(centre) == [10, 20, 30, 40]


async def test_a_centre_that_does_not_tell_its_time_is_asked_once(centre, host):
    centre.tells_time = False
    one = host()
    await one.turns(3)
    assert [len(lines) for _, _, lines, _ in centre.requests] == [0, 1, 1, 1]


async def test_two_threads_that_notice_a_wrong_clock_move_its_points_once(centre, host, some_lines):
    one = host(7 * HOUR)
    await one.turns(200, send=False)
    one.clock.compare(one.clock.true_ms() - 500, 0)
    threads = [threading.Thread(target=one.spool.correct, args=(one.clock.shift,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    await one.turns(1)
    assert stamps(centre) == [10 * n for n in range(1, 202)]


async def test_a_clock_that_took_local_time_for_utc_and_was_set_before_the_first_contact(centre, host):
    one = host(7 * HOUR)
    await one.turns(3, send=False)
    one.clock.jump(-7 * HOUR)
    await one.turns(3, send=False)
    await one.turns(1)
    assert stamps(centre) == [10, 20, 30, 40, 50, 60, 70]


async def test_nothing_is_sent_with_a_time_to_come(centre, host):
    one = host(HOUR)
    await one.turns(3)
    assert stamps(centre) == [10, 20, 30]
    assert centre.requests[0][2] == []  # the first one only asks for the time


@pytest.mark.parametrize(("step", "seen"), [(HOUR, 30), (-HOUR, 30 - 3600), (10 * YEAR, 30), (-TRUE, 30)])
async def test_a_clock_that_is_set_wrong_while_running_is_seen_and_kept_to_the_centre_s_time(centre, host, step, seen):
    one = host(told=True)
    await one.turns(2)
    one.clock.jump(step)
    await one.turns(1)
    assert stamps(centre) == sorted([10, 20, seen])
    assert one.clock.offset_ms == pytest.approx(-step, abs=1500)
    one.clock.jump(-step)
    await one.turns(1)
    assert stamps(centre) == sorted([10, 20, seen, 40])


async def test_a_clock_that_jumps_ahead_while_the_centre_is_away_does_not_empty_the_spool(centre, host):
    centre.vanish()
    one = host(max_age=Duration(3600))
    await one.turns(3)
    one.clock.jump(10 * YEAR)
    await one.turns(3)
    assert one.spool.tally.dropped == 0
    centre.start()
    await one.turns(1)
    assert stamps(centre) == [10, 20, 30, 40, 50, 60, 70]


async def test_with_a_clock_that_is_right_old_points_are_given_up(centre, host):
    one = host(max_age=Duration(3600))
    await one.turns(1)
    centre.vanish()
    await one.turns(1)
    one.clock.pass_(3601)
    await one.turns(1)
    assert (one.spool.tally.dropped, one.spool.tally.spooled) == (1, 1)


async def test_a_machine_that_slept_has_a_gap_and_no_burst(centre, host):
    one = host(told=True)
    await one.turns(2)
    one.clock.suspend(3 * 3600)
    await one.turns(2)
    assert stamps(centre) == [10, 20, 10_830, 10_840]
    assert one.clock.shift(one.clock.skew()) == 0


async def test_what_is_moved_stays_in_order_and_in_the_balance(centre, host, some_lines):
    centre.vanish()
    one = host(-TRUE)
    await one.turns(130)
    one.clock.jump(TRUE)
    centre.start()
    await one.turns(20)
    assert stamps(centre) == [10 * n for n in range(1, 151)]
    assert one.spool.tally.collected == one.spool.tally.delivered == 150


def test_the_machine_s_own_clocks_agree():
    clock = Clock()
    assert clock.credible
    assert clock.offset_ms is None
    assert clock.shift(clock.skew()) == 0
    before = clock.ms()
    clock.compare(before - 500, 0)
    offset = clock.offset_ms
    assert before - clock.ms() <= offset <= 1  # late by no more than it took
    clock.compare(0, 0)  # a centre in 1970 is not believed
    assert clock.offset_ms == offset


def test_lines_that_were_made_just_before_the_clock_was_set_are_moved_and_those_after_are_not():
    before, after = b"m n=1i %d" % ((TRUE + 7 * HOUR) * 10**6), b'm s="a b" %d' % (TRUE * 10**6)
    assert move_late([before, after], -7 * HOUR, TRUE) == [b"m n=1i %d" % (TRUE * 10**6), after]
