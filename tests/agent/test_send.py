import random
import threading

import pytest
from parts import wait_for

from agent.clock import Clock
from agent.deliver import Pause, Verdict
from agent.pace import Pace
from agent.post import Endpoint
from agent.send import Sender
from agent.spool import Options, Spool
from agent.version import VERSION
from configs.secret import Secret
from configs.units import Duration, Size


@pytest.fixture
def spool(tmp_path):
    found = Spool(tmp_path / "spool.db", Options(min_free=Size(0)))
    yield found
    found.close()


class Still:
    """A sender that is driven by hand with a clock that stands still."""

    def __init__(self, centre, spool, clock, **output):
        self.clock = clock
        self.endpoint = Endpoint(centre.output(**output))
        self.sender = Sender(self.endpoint, spool, clock, Pace(10_000), chance=lambda: 0.5)

    def turn(self, seconds=10.0):
        self.clock.pass_(seconds)
        return self.sender.turn()


@pytest.fixture
def still(centre, spool, clock):
    found = Still(centre, spool, clock)
    yield found
    found.sender._endpoint.close()


def test_it_sends_at_its_turn_and_not_before(centre, spool, still, clock, some_lines):
    spool.put(some_lines(5), clock.ms())
    assert still.turn(4) == pytest.approx(6)
    assert centre.lines == []
    assert still.turn(6) == pytest.approx(10)
    assert centre.lines == some_lines(5)
    assert (spool.tally.delivered, spool.tally.spooled) == (5, 0)


def test_lines_kept_between_turns_wait_for_the_turn(centre, spool, still, clock, some_lines):
    spool.put(some_lines(1), clock.ms())
    still.turn()
    spool.put(some_lines(5, 1), clock.ms())
    still.turn(5)
    assert len(centre.lines) == 1


def test_after_a_long_absence_live_data_goes_first_and_the_backlog_takes_its_share(centre, spool, still, some_lines):
    centre.vanish()
    for minute in range(20):
        spool.put(some_lines(1000, minute * 1000), still.clock.ms())
        still.turn(60)
    assert spool.tally.spooled == 20_000
    centre.start()
    wait = still.turn(60)
    assert centre.requests[0][2] == some_lines(1000, 19_000)
    assert wait == 0
    wait = still.turn(0.001)
    assert centre.requests[1][2] == some_lines(1000, 18_000) + some_lines(1000, 17_000)
    turns = 0
    while spool.tally.spooled:
        wait = still.turn(max(wait, 0.001))
        turns += 1
        assert turns < 60
    assert centre.requests[2][2] == some_lines(2000)  # then from the oldest end
    assert sorted(centre.lines) == sorted(some_lines(20_000))


def test_the_backlog_rests_after_each_piece_in_proportion_to_what_it_took(centre, spool, clock, some_lines):
    endpoint = Endpoint(centre.output())
    sender = Sender(endpoint, spool, clock, Pace(10_000), chance=lambda: 0.5)

    def slow(lines):
        clock.pass_(0.6)
        return "ok"

    centre.mood = slow
    for number in range(4):
        spool.put(some_lines(2000, number * 2000), clock.ms())
    clock.pass_(10)
    assert sender.turn() == pytest.approx(1.4, abs=0.05)  # 30 % of the time is for sending
    clock.pass_(1)
    assert sender.turn() == pytest.approx(0.4, abs=0.05)
    assert len(centre.requests) == 1
    endpoint.close()


PAUSES = [
    (Pause(Verdict.OURS, ""), 1, 60),
    (Pause(Verdict.LATER, ""), 1, 2),
    (Pause(Verdict.LATER, ""), 20, 150),  # half of 300 by full jitter
    (Pause(Verdict.UNREACHABLE, ""), 1, 2),
    (Pause(Verdict.UNREACHABLE, ""), 20, 5),  # never longer than the usual pace
    (Pause(Verdict.LATER, "", wish=120.0), 1, 126),
    (Pause(Verdict.LATER, "", wish=1e9), 1, 630),
    (Pause(Verdict.LATER, "", wish=-5.0), 1, 2),
    (Pause(Verdict.LATER, "", wish=0.0), 1, 2),
]


@pytest.mark.parametrize(("pause", "failures", "seconds"), PAUSES)
def test_how_long_it_waits(still, pause, failures, seconds):
    still.sender._failures = failures
    assert still.sender._how_long(pause) == pytest.approx(seconds)


def test_a_lost_centre_is_told_once_and_its_return_once(centre, spool, still, clock, some_lines, caplog):
    centre.vanish()
    for number in range(6):
        spool.put(some_lines(1, number), clock.ms())
        still.turn()
    centre.start()
    still.turn()
    assert [record.levelname for record in caplog.records if record.name == "pantau.agent.send"] == ["WARNING"] * 2
    assert "Connection refused" in caplog.text
    assert "takes data again after" in caplog.text
    assert not still.sender.lost


def test_a_rotated_token_loses_nothing_and_needs_no_restart(centre, spool, clock, some_lines, tmp_path):
    token = tmp_path / "token"
    token.write_text("old")
    still = Still(centre, spool, clock, token=Secret("file", str(token)))
    centre.mood = 401
    spool.put(some_lines(5), clock.ms())
    assert still.turn() == pytest.approx(60)
    assert spool.tally.spooled == 5
    token.write_text("new")
    centre.mood = "ok"
    still.turn(60)
    assert centre.requests[-1][1]["Authorization"] == "Token new"
    assert (spool.tally.delivered, spool.tally.spooled) == (5, 0)
    still.endpoint.close()


@pytest.mark.parametrize(
    ("theirs", "told"), [("9.0.0", True), ("0.0.9", True), (f"{VERSION}.post1", False), ("", False)]
)
def test_a_centre_of_another_version_gets_its_lines_and_is_told_of_once(
    centre, spool, still, clock, some_lines, caplog, theirs, told
):
    centre.mood = (204, {"X-Pantau-Version": theirs}, "")
    for _ in range(3):
        spool.put(some_lines(5), clock.ms())
        still.turn(10)
    assert (still.sender.version, spool.tally.delivered) == (theirs, 15)
    assert caplog.text.count(f"this agent is {VERSION}, the centre {theirs}") == told


@pytest.mark.parametrize(
    "mood", [404, 403, 500, (200, {"Content-Type": "text/html"}, "<html>"), (302, {}, ""), "reset"]
)
def test_nothing_is_lost_whatever_the_centre_answers(centre, spool, still, clock, some_lines, mood):
    centre.mood = mood
    spool.put(some_lines(5), clock.ms())
    still.turn()
    assert (spool.tally.spooled, spool.tally.delivered) == (5, 0)


def test_a_poison_line_is_quarantined_and_told_once(centre, spool, still, clock, some_lines, caplog):
    bad = b"m bad 1"
    centre.mood = lambda lines: (400, {}, "unable to parse") if bad in lines else "ok"
    for number in range(3):
        spool.put([*some_lines(10, number * 10), bad], clock.ms())
        still.turn()
    assert (spool.tally.delivered, spool.tally.quarantined, spool.tally.spooled) == (30, 3, 0)
    assert [one.line for one in spool.quarantined()] == [bad] * 3
    assert caplog.text.count("refuses lines for good") == 1


def test_a_conflict_of_types_is_told_once_for_each_field_and_not_repeated(
    centre, spool, still, clock, some_lines, caplog
):
    conflict = 'partial write: field type conflict: input field "{}" on measurement "cpu" is type float dropped={}'
    for number, field in enumerate(["n", "n", "usage", "n", "usage"]):
        centre.mood = (422, {}, conflict.format(field, number + 1))
        spool.put(some_lines(10, number * 10), clock.ms())
        still.turn()
    assert (spool.tally.rejected, spool.tally.delivered, spool.tally.spooled) == (15, 35, 0)
    told = [record.getMessage() for record in caplog.records if "refuses lines for good" in record.getMessage()]
    assert len(told) == 2
    assert 'input field "n" on measurement "cpu"' in told[0]
    assert 'input field "usage"' in told[1]


def test_a_body_that_is_too_large_is_cut_and_later_ones_are_smaller(centre, spool, still, clock, some_lines):
    centre.mood = lambda lines: (413, {}, "") if len(lines) > 600 else "ok"
    for number in range(8):
        spool.put(some_lines(500, number * 500), clock.ms())
    wait = still.turn()
    while spool.tally.spooled:
        wait = still.turn(max(wait, 0.001))
    refused = [len(lines) for _, _, lines, _ in centre.requests if len(lines) > 600]
    assert len(refused) <= 4
    assert sorted(centre.lines) == sorted(some_lines(4000))


def test_the_centre_s_clock_is_compared(centre, spool, still, clock, some_lines):
    spool.put(some_lines(1), clock.ms())
    still.turn()
    assert clock.offset_ms is not None


def test_new_settings_are_taken_at_once(centre, spool, still, clock, some_lines):
    centre.mood = 404
    spool.put(some_lines(5), clock.ms())
    still.turn()
    centre.mood = "ok"
    still.sender.use(Endpoint(centre.output(bucket="new")), Pace(10_000))
    still.turn(0.1)
    assert "bucket=new" in centre.requests[-1][0]
    assert spool.tally.delivered == 5


def test_it_stops_at_once_though_the_centre_hangs(centre, spool, some_lines):
    centre.mood = "hang"
    sender = Sender(Endpoint(centre.output(timeout=Duration(30))), spool, Clock(), Pace(100))
    spool.put(some_lines(5), 1)
    sender.start()
    wait_for(lambda: centre.requests, 5, "the request")
    assert sender.stop(8.0)
    assert spool.tally.spooled == 5


def test_every_point_arrives_though_the_centre_vanishes_fails_hangs_and_resets(centre, spool, some_lines):
    """Thirty rounds of live data against a centre that changes its mood at each, then recovers."""
    chance = random.Random(7)
    sender = Sender(Endpoint(centre.output(timeout=Duration(0.2))), spool, Clock(), Pace(100), chance=lambda: 0.05)
    sender.start()
    picky = lambda lines: (413, {}, "") if len(lines) > 10 else "ok"  # noqa: E731 - a mood
    moods = ["ok", 500, "hang", "reset", "lost_answer", "drip", (503, {"Retry-After": "0"}, ""), "vanish", picky]
    sent = 0
    for _ in range(30):
        mood = chance.choice(moods)
        if mood == "vanish":
            centre.vanish()
        else:
            if centre._server is None:
                centre.start()
            centre.mood = mood
        spool.put(some_lines(20, sent), Clock().ms())
        sent += 20
        threading.Event().wait(0.08)
    if centre._server is None:
        centre.start()
    centre.mood = "ok"
    wait_for(lambda: spool.tally.spooled == 0, 15, "draining")
    assert sender.stop(8.0)
    tally = spool.tally
    assert set(centre.lines) | {one.line for one in spool.quarantined()} == set(some_lines(sent))
    assert tally.collected == sent == tally.delivered + tally.dropped + tally.quarantined + tally.rejected
    assert tally.dropped == tally.rejected == 0
