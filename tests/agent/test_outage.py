"""The centre away, broken or slow for hours, on a compressed clock; and a data centre that comes back all at once."""

import gc
import os
import random
import tempfile
from pathlib import Path

import pytest

from agent.pace import Pace, phase
from agent.post import Answer, Endpoint, Unreachable
from agent.send import Sender
from agent.spool import Options, Spool
from configs.units import Duration, Size

SPOOL = Options(min_free=Size(0))


@pytest.fixture
def folder():
    """A folder in memory where there is one: hours of rounds wait for no disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


@pytest.fixture
def spool(folder):
    found = Spool(folder / "spool.db", SPOOL)
    yield found
    found.close()


class Host:
    """A sender by hand beside ten lines every ten seconds, with a clock that jumps from step to step."""

    def __init__(self, centre, spool, clock):
        self.spool, self.clock = spool, clock
        self.endpoint = Endpoint(centre.output(timeout=Duration(20)))
        self.sender = Sender(self.endpoint, spool, clock, Pace(10_000), chance=random.Random(5).random)
        self.put = 0
        self._next = clock.mono
        self._turn = clock.mono

    def collect(self, count=10):
        self.spool.put([self.line(self.put + n) for n in range(count)], self.clock.ms())
        self.put += count

    def line(self, number):
        return b"cpu,host=a,cpu=cpu%d usage_idle=%d.25,usage_user=1.5 %d" % (
            number % 10,
            number % 97,
            1_800_000_000_000_000_000 + number,
        )

    def run(self, seconds):
        """Let time pass; each event at its moment."""
        end = self.clock.mono + seconds
        while (moment := min(self._next, self._turn)) < end:
            self.clock.pass_(max(0.0, moment - self.clock.mono))
            if moment == self._next:
                self.collect()
                self._next += 10
            else:
                self._turn = self.clock.mono + max(0.01, min(self.sender.turn(), 10.0))
        self.clock.pass_(max(0.0, end - self.clock.mono))


@pytest.fixture
def host(centre, spool, clock):
    found = Host(centre, spool, clock)
    yield found
    found.endpoint.close()


def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.timeout(300)
def test_after_eight_hours_without_a_centre_the_newest_is_seen_at_once_and_nothing_is_missing(centre, host):
    seen, first = bytearray(40_000), []

    def note(lines):  # and keep none of them, so that this process' memory is that of an agent
        centre.requests.clear()
        first.append(int(lines[0].rpartition(b" ")[2]) - 1_800_000_000_000_000_000)
        for line in lines:
            seen[int(line.rpartition(b" ")[2]) - 1_800_000_000_000_000_000] = 1
        return (204, {}, "")

    centre.mood = note
    host.run(600)
    before = resident()
    centre.vanish()
    host.run(8 * 3600)
    assert host.spool.tally.spooled >= 8 * 360 * 10 - 20
    newest = host.put
    centre.start()
    first.clear()
    host.run(20)  # the usual pace and no more is waited while nobody answers
    assert first[0] >= newest - 10
    host.run(900)
    assert host.spool.tally.spooled <= 10
    assert seen[:newest] == b"\1" * newest
    assert host.spool.tally.collected == host.spool.tally.delivered + host.spool.tally.spooled == host.put
    assert resident() < 1.1 * before


def test_an_hour_of_500_costs_few_requests_and_no_line(centre, host):
    host.run(60)
    centre.mood = 500
    centre.requests.clear()
    host.run(3600)
    assert 10 < len(centre.requests) < 60  # pauses of up to five minutes
    centre.mood = "ok"
    host.run(600)
    assert host.spool.tally.delivered >= host.put - 10
    assert host.spool.tally.dropped == 0


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [
        ("120", 120, 133),
        ("1000000000", 600, 661),
        ("9" * 400, 600, 661),
        ("date", 90, 101),
        ("date before", 0.5, 4.1),
        ("-30", 0.5, 4.1),
        ("0", 0.5, 4.1),
        ("soon", 0.5, 4.1),
        ("", 0.5, 4.1),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_wish_to_be_left_alone_is_granted_within_reason(centre, host, clock, told, least, most, status):
    if told.startswith("date"):
        seconds = clock.true_ms() / 1000 + (-90 if "before" in told else 90 + 10)
        from email.utils import formatdate

        told = formatdate(seconds, usegmt=True)
    host.collect()
    clock.pass_(10)
    centre.mood = (status, {"Retry-After": told}, "")
    assert least <= host.sender.turn() <= most
    centre.mood = "ok"
    host.run(700)
    assert host.spool.tally.delivered >= host.put - 10


def test_a_centre_slower_than_the_interval_for_an_hour_holds_up_no_collecting(centre, host, clock):
    def slow(lines):
        clock.pass_(25)
        return "ok"

    centre.mood = slow
    host.run(3600)
    centre.mood = "ok"
    host.run(300)
    assert host.put >= 3500
    assert host.spool.tally.delivered >= host.put - 20
    assert host.spool.tally.dropped == 0


def test_an_answer_lost_after_the_centre_had_taken_the_lines_brings_them_once_more_and_no_others(centre, host):
    centre.mood = "lost_answer"
    host.run(15)
    centre.mood = "ok"
    host.run(30)
    twice = [line for line in set(centre.lines) if centre.lines.count(line) > 1]
    assert twice
    assert {line.rsplit(b" ", 1)[0]: line for line in twice}  # the same series and time: it overwrites itself
    assert set(centre.lines) == {host.line(number) for number in range(host.spool.tally.delivered)}


def test_accepted_with_holes_and_then_restarted_nothing_is_missing(centre, tmp_path, clock, some_lines):
    """Batches 0 and 4 of 5 are accepted, then the process ends without a word."""
    spool = Spool(tmp_path / "holes.db", SPOOL)
    for number in range(5):
        spool.put(some_lines(10, number * 10), clock.ms() + number)
    for group in (spool.oldest(10, before=clock.ms() + 1), spool.newest(10)):
        centre.lines += group.lines
        spool.settle(group, clock.ms())
    again = Spool(tmp_path / "holes.db", SPOOL)
    while group := again.newest(15):
        centre.lines += group.lines
        again.settle(group, clock.ms())
    assert set(centre.lines) == set(some_lines(50))
    assert len(centre.lines) <= 50 + 20
    for one in (spool, again):
        one.close()


class Stub:
    """Stands for the network of a simulation: notes who posted when."""

    def __init__(self, clock, centre):
        self.clock, self.centre = clock, centre

    def post(self, body):
        self.centre.posts.append(self.clock.mono)
        if not self.centre.up:
            raise Unreachable("Connection refused")
        return Answer(204)

    def close(self):
        pass


class Up:
    def __init__(self):
        self.up = True
        self.posts = []


def test_two_hundred_agents_that_start_together_or_find_the_centre_back_do_not_send_together(folder, still_clock):
    """Simulated: 200 senders on one clock, started in the same instant; from the 20th to the 40th second nobody answers."""
    up = Up()
    clock = still_clock()
    hosts = []
    for number in range(200):
        name = f"srv-{number:03}.kota.example"
        spool = Spool(folder / f"{number}.db", SPOOL)
        sender = Sender(
            Stub(clock, up), spool, clock, Pace(10_000, phase(name, 10_000)), chance=random.Random(number).random
        )
        hosts.append((sender, spool))
    began = clock.mono
    for step in range(600):
        clock.pass_(0.1)
        up.up = not 200 <= step < 400
        for sender, spool in hosts:
            if step % 100 == 0:
                spool.put([b"m n=%di 1" % step], clock.ms())
            if clock.mono >= min(sender._live_at, sender._backlog_at if sender._behind else sender._live_at):
                sender.turn()
    for _, spool in hosts:
        spool.close()
    per_second = [0] * 60
    for at in up.posts:
        per_second[min(59, int(at - began))] += 1
    assert sum(per_second) >= 1000
    assert max(per_second[:20]) < 2 * 20  # twice the average of 200 hosts in ten seconds
    assert max(per_second[40:]) < 2 * 20  # live data and what had waited
