"""When the centre ran: gaps that nobody lived through, steps of the clock, transactions that are rolled back."""

import pytest
from sqlalchemy import create_engine, select

from configs.clock import Gap
from server.ledger.running_time import RunningTime, running
from server.state.tables import metadata, monitor_run

pytestmark = pytest.mark.may_block
T0 = 1_780_000_000_000
SECOND, HOUR = 1_000, 3_600_000


class Kept:
    """A database whose transactions are rolled back as long as it is ``broken``."""

    def __init__(self):
        self.engine = create_engine("sqlite://")
        metadata.create_all(self.engine)
        self.broken = False

    async def write(self, work):
        with self.engine.begin() as tx:
            done = work(tx)
            if self.broken:
                raise OSError("disk full")
            return done

    def runs(self):
        with self.engine.begin() as tx:
            query = select(monitor_run.c.start_ms, monitor_run.c.beat_ms).order_by(monitor_run.c.id)
            return [(start - T0, beat - T0) for start, beat in tx.execute(query)]

    def running(self, now):
        with self.engine.begin() as tx:
            return [(start - T0, end - T0) for start, end in running(tx, T0 - HOUR, T0 + now, T0 + now)]


class Centre:
    """Its running time, whose clock shows ``now`` ms after T0."""

    def __init__(self):
        self.database, self.now = Kept(), 0
        self.running_time = RunningTime(self.database, lambda: T0 + self.now, "test")

    async def beat(self, now):
        self.now = now
        await self.database.write(lambda tx: self.running_time.show_life(tx, T0 + now))

    def interrupt(self, before, after):
        self.running_time.interrupt(Gap(T0 + before, T0 + after))


@pytest.fixture
async def centre():
    made = Centre()
    await made.running_time.start()
    yield made
    made.database.engine.dispose()


async def test_a_gap_ends_the_run_where_it_begins_and_another_one_begins_after_it(centre, caplog):
    await centre.beat(10 * SECOND)
    centre.interrupt(11 * SECOND, 51 * SECOND)
    await centre.beat(52 * SECOND)
    await centre.beat(54 * SECOND)
    assert centre.database.runs() == [(0, 11 * SECOND), (51 * SECOND, 54 * SECOND)]
    assert centre.database.running(55 * SECOND) == [(0, 11 * SECOND), (51 * SECOND, 55 * SECOND)]
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == ["nobody watched for 40 s"]


async def test_a_sign_of_life_before_anybody_noticed_the_gap_does_not_fill_it(centre):
    await centre.beat(10 * SECOND)
    await centre.beat(51 * SECOND)  # the first thing that was done after the stop
    centre.interrupt(11 * SECOND, 51_500)
    await centre.beat(52 * SECOND)
    assert centre.database.runs() == [(0, 11 * SECOND), (51_500, 52 * SECOND)]


async def test_after_a_step_back_no_run_claims_the_future_and_nothing_is_counted_twice(centre, caplog):
    await centre.beat(2 * HOUR)
    centre.interrupt(2 * HOUR, HOUR)
    await centre.beat(HOUR + 2 * SECOND)
    assert centre.database.runs() == [(0, HOUR), (HOUR, HOUR + 2 * SECOND)]
    assert centre.database.running(HOUR + 2 * SECOND) == [(0, HOUR + 2 * SECOND)]
    assert "set back by 3600 s" in caplog.text


async def test_a_clock_that_was_set_back_before_the_beginning_leaves_an_empty_run(centre):
    centre.interrupt(SECOND, -HOUR)
    await centre.beat(-HOUR + SECOND)
    assert centre.database.running(-HOUR + SECOND) == [(-HOUR, -HOUR + SECOND)]


async def test_a_gap_whose_transaction_was_rolled_back_is_written_once_with_the_next(centre):
    centre.interrupt(11 * SECOND, 51 * SECOND)
    centre.database.broken = True
    for now in (52, 54):
        with pytest.raises(OSError, match="disk full"):
            await centre.beat(now * SECOND)
    centre.interrupt(60 * SECOND, 90 * SECOND)
    centre.database.broken = False
    for now in (91, 93, 95):
        await centre.beat(now * SECOND)
    runs = [(0, 11 * SECOND), (51 * SECOND, 60 * SECOND), (90 * SECOND, 95 * SECOND)]
    assert centre.database.runs() == runs


async def test_the_next_process_is_told_how_far_the_clock_was_ahead_of_the_steady_time_of_the_one_before(centre):
    told = []
    ahead = RunningTime(centre.database, lambda: T0 + 20 * SECOND, "test", ahead=lambda: 7 * SECOND)
    await ahead.start(lambda _tx, by: told.append(by))
    assert told == [0]
    await centre.database.write(lambda tx: ahead.show_life(tx, T0 + 30 * SECOND))
    await RunningTime(centre.database, lambda: T0 + 40 * SECOND, "test").start(lambda _tx, by: told.append(by))
    assert told == [0, 7 * SECOND]
