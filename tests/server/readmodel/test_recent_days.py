import asyncio
import datetime as dt

import pytest
from sqlalchemy import insert, update

from alerts import tables
from server.inventory.register import Register
from server.readmodel.recent_days import DAYS, Kept, RecentDays
from server.state import tables as own
from server.state.database import Database

DAY = 86_400_000
NOON = int(dt.datetime(2026, 6, 4, 12, tzinfo=dt.timezone(dt.timedelta(hours=7))).timestamp() * 1000)
SUBJECT = "service/x"


@pytest.fixture
async def town(tmp_path):
    """A quarter, its clock (a list of one) and its database, with a service that was up for a hundred days."""
    database = await asyncio.to_thread(Database, f"sqlite:///{tmp_path}/state.db")
    await asyncio.to_thread(tables.metadata.create_all, database.engine)
    start, end = NOON - 100 * DAY, NOON + 2 * DAY
    span = {"check_id": "x-http", "subject": SUBJECT, "status": "up", "reason": "ok", "start_ms": start, "counts": True}

    def fill(tx):
        tx.execute(insert(own.monitor_run).values(start_ms=start, beat_ms=end))
        tx.execute(insert(own.span).values(**span, last_ms=end - 1000, end_ms=end, looks=9))

    await database.write(fill)
    clock = [NOON]
    empty = Register(agencies={}, services={}, hosts={}, hours={})
    quarter = await asyncio.to_thread(RecentDays, database, empty, "Asia/Jakarta", lambda: clock[0], lambda: clock[0])
    yield quarter, clock, database
    await asyncio.to_thread(database.close)


async def states(quarter):
    days = (await quarter.all([SUBJECT]))[SUBJECT]
    return len(days), days[-1].date, {str(day.state) for day in days[:-1]}, str(days[-1].state)


async def test_ninety_local_days_end_today(town):
    quarter, clock, _ = town
    assert await states(quarter) == (DAYS, dt.date(2026, 6, 4), {"up"}, "up")
    assert await quarter.one(SUBJECT) == (await quarter.all([SUBJECT]))[SUBJECT]
    clock[0] += 12 * 3_600_000 + 1
    assert (await states(quarter))[1] == dt.date(2026, 6, 5)


async def test_today_is_soon_counted_again_and_finished_days_later(town):
    quarter, clock, database = town
    await states(quarter)
    await database.write(lambda tx: tx.execute(update(own.span).values(status="down")))
    assert (await states(quarter))[2:] == ({"up"}, "up")
    clock[0] += 10_000
    assert (await states(quarter))[2:] == ({"up"}, "down")
    clock[0] += 600_000
    assert (await states(quarter))[2:] == ({"down"}, "down")


async def test_who_asks_at_the_same_time_waits_for_the_same_answer():
    made = []

    async def make():
        made.append(1)
        await asyncio.sleep(0)
        return len(made)

    kept = Kept(1000)
    assert await asyncio.gather(*(kept.get("a", 0, make) for _ in range(5))) == [1] * 5
    assert await kept.get("b", 0, make) == 2
    assert await kept.get("b", 1000, make) == 3
