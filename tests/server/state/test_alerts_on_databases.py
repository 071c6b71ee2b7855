"""The way of a result, from the judge to the courier, on every database of state."""

import asyncio

from judging import judge_on
from parts import wait_until
from sqlalchemy import select

from alerts import outbox, tables
from alerts.channels import Unreachable
from alerts.courier import Courier
from alerts.incident import acknowledge, messages, open_incidents, recent
from alerts.route import Contact, Via, connect
from alerts.state import Policy
from alerts.state_rows import all_states
from alerts.subject_info import SubjectInfo
from collectors.result import Reason, Result, Status
from server.ledger.running_time import RunningTime
from server.ledger.writing import Ledger
from server.state.migrate import upgrade

START = 1_780_000_000_000


class Channel:
    """Fails once, then delivers."""

    def __init__(self):
        self.kinds = None

    async def send(self, _recipient, message):
        if self.kinds is None:
            self.kinds = []
            raise Unreachable("no route")
        self.kinds.append(message.kind)
        return "id"

    async def close(self):
        pass


async def test_a_problem_and_its_recovery_are_told_once_each(database):
    await asyncio.to_thread(upgrade, database.engine)
    channel, now = Channel(), START
    courier = Courier(
        database,
        {"mail": channel},
        lambda: now,
        lambda: now,
        owner="me",
        chance=lambda: 0.0,
        in_thread=asyncio.to_thread,
    )
    running = RunningTime(database, lambda: now, "test")
    await running.start()
    judge = await judge_on(
        database,
        lambda _check: Policy(interval=60),
        lambda _check, _subject: SubjectInfo(name="SIMPUS", criticality=5),
        connect([Contact("piket", (Via("mail", "piket@kota.example"),))], [], {"mail"}),
        ledger=Ledger(running),
        clock=lambda: now,
        planned=courier.wake,
    )
    carrying = asyncio.create_task(courier.run())
    for minute, status in enumerate([Status.UP, Status.DOWN, Status.DOWN]):
        now = START + minute * 60_000
        await judge.observe([Result("web", "service/simpus", status, Reason.OK, now)], now)
    await wait_until(lambda: channel.kinds == ["problem"])
    [one] = await database.read(open_incidents)
    await database.write(lambda tx: acknowledge(tx, one.id, by="sari", note="", at=now))
    now += 60_000
    await judge.observe([Result("web", "service/simpus", Status.UP, Reason.OK, now)], now)
    await wait_until(lambda: channel.kinds == ["problem", "recovery"])
    await courier.stop(5)
    await carrying
    [row] = await database.read(lambda tx: recent(tx, subject="service/simpus"))
    assert (row.opened, row.closed) == (START + 60_000, START + 180_000)
    assert [one.status for one in await database.read(lambda tx: messages(tx, row.id))] == ["sent", "sent"]
    assert [one.subject for one in await database.read(all_states)] == ["service/simpus"]


async def test_two_leases_at_once_never_get_the_same_message(database):
    await asyncio.to_thread(upgrade, database.engine)
    contacts = [Contact(f"c{n}", (Via("mail", f"c{n}@kota.example"),)) for n in range(8)]
    judge = await judge_on(
        database,
        lambda _check: Policy(interval=60, confirm=1),
        lambda _check, _subject: SubjectInfo(name="SIMPUS"),
        connect(contacts, [], {"mail"}),
        clock=lambda: START,
    )
    await judge.observe([Result("web", "service/simpus", Status.DOWN, Reason.REFUSED, START)], START)

    def take():
        with database.engine.begin() as tx:
            return outbox.lease(tx, "mail", "me", START)

    taken = await asyncio.gather(*(asyncio.to_thread(take) for _ in range(8)))
    ids = [row.id for row in taken if isinstance(row, outbox.Leased)]
    assert len(set(ids)) == len(ids) > 0
    leased = await database.read(lambda tx: tx.execute(select(tables.outbox.c.status)).scalars().all())
    assert leased.count("leased") == len(ids)
