"""What is known of stretches in which nobody observed: their causes, and what rows of running time say."""

import pytest
from sqlalchemy import create_engine

from configs.clock import Gap
from server.ledger import running_time
from server.ledger.running_time import RunningTime
from server.ledger.unobserved import Unobserved, noticed, written
from server.state.tables import metadata

pytestmark = pytest.mark.may_block  # a database in memory

T0 = 1_780_000_000_000
MINUTE = 60_000


@pytest.mark.parametrize(
    ("gap", "cause"),
    [
        (Gap(T0, T0 + MINUTE, awake=MINUTE), "stopped"),
        (Gap(T0, T0 + MINUTE, awake=500), "asleep or set forward"),
        (Gap(T0, T0 + 60 * MINUTE, awake=MINUTE), "asleep or set forward"),
        (Gap(T0, T0 - MINUTE, awake=500), "set back"),
    ],
)
def test_the_cause_is_what_the_clocks_show(gap, cause):
    assert noticed(gap) == Unobserved(gap.before, gap.after, cause)


class Life:
    """Runs of the centre on a database of its own; times are seconds after T0."""

    def __init__(self, tx):
        self.tx = tx

    async def write(self, work):
        return work(self.tx)

    async def started(self, at, version="1"):
        await RunningTime(self, lambda: T0 + round(at * 1000), version).start()

    def lives(self, at):
        running_time.beat(self.tx, T0 + at * 1000)

    def told(self, most=100):
        return [((one.start - T0) / 1000, (one.end - T0) / 1000, one.cause) for one in written(self.tx, most)]


@pytest.fixture
def life():
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.begin() as tx:
        yield Life(tx)
    engine.dispose()


async def test_before_each_start_but_the_first_pantau_was_not_running(life):
    await life.started(0)
    life.lives(100)
    assert life.told() == []
    await life.started(110)
    life.lives(200)
    await life.started(400, "2")
    assert life.told() == [(200, 400, "not running"), (100, 110, "not running")]
    assert life.told(most=1) == [(200, 400, "not running")]


async def test_what_a_run_noticed_is_written_with_its_cause(life):
    await life.started(0)
    running_time.interrupted(life.tx, Gap(T0 + 100_000, T0 + 160_000, awake=60_000), "1")
    running_time.interrupted(life.tx, Gap(T0 + 200_000, T0 + 150_000), "1")
    assert life.told() == [(200, 150, "set back"), (100, 160, "stopped")]


async def test_a_clock_that_was_set_back_while_nothing_ran_says_so(life):
    await life.started(0)
    life.lives(7200)
    await life.started(1000)
    assert life.told() == [(7200, 1000, "set back")]


async def test_less_than_a_second_is_no_gap(life):
    await life.started(0)
    life.lives(100)
    await life.started(100.5)
    assert life.told() == []
