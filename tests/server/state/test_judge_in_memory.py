"""Looks judged in memory and written in batches lead to what looks lead to that are judged on the rows, one transaction each."""

import asyncio
import random

import pytest
from judging import judge_on, save
from sqlalchemy import delete, select

from alerts import incident, state, state_rows, tables
from alerts.route import Contact, Via, connect
from alerts.state import Policy
from alerts.subject_info import SubjectInfo
from alerts.tables import StateAway
from collectors.result import Reason, Result, Status
from server.ledger import record
from server.ledger.running_time import RunningTime
from server.ledger.writing import Ledger
from server.state import tables as own
from server.state.migrate import upgrade

START = 1_780_000_000_000
INTERVAL = 60
POLICIES = {
    "http": Policy(interval=INTERVAL, confirm=2, unstable=(3, 10), blind_for=300.0),
    "tls": Policy(interval=INTERVAL, confirm=3, recover=2, counts=False, unstable=(5, 10), flaps=(3, 900.0)),
    "rule/load": Policy(interval=INTERVAL, confirm=1, hold=150.0, recover_hold=90.0),
}
SUBJECTS = [f"service/s{number}" for number in range(4)]
REASONS = {Status.UP: Reason.OK, Status.DEGRADED: Reason.SLOW, Status.DOWN: Reason.REFUSED, Status.UNKNOWN: Reason.BUG}
TABLES = (tables.flip, tables.incident, tables.state, own.span)


def about(_check, subject):
    return SubjectInfo(name=subject, criticality=3)


def looks(chance, count):
    """Yield looks of one moment at a time: moods that last, single looks that differ, gaps of all lengths."""
    at, mood = START, {}
    for _ in range(count):
        at += chance.choices([INTERVAL * 1000, 10_000, 170_000, 36_000_000], [90, 5, 4, 1])[0]
        moment = []
        for check in POLICIES:
            for subject in SUBJECTS:
                key = (check, subject)
                if chance.random() < 0.1 or key not in mood:
                    mood[key] = chance.choices(list(Status), [60, 10, 25, 5])[0]
                if chance.random() < 0.05:
                    continue  # no look
                status = chance.choice(list(Status)) if chance.random() < 0.1 else mood[key]
                detail = f"no. {chance.randrange(1000)}"
                moment.append(Result(check, subject, status, REASONS[status], at, detail=detail, took=0.25))
        if chance.random() < 0.05:
            moment += moment[:3]  # repeats
        yield at, moment


def on_the_rows(tx, result):
    """Judge one look as it was done before there was a memory."""
    policy = POLICIES[result.check]
    before = state_rows.load(tx, result.check, result.subject)
    step = state.step(before, result, policy, steady=result.at)
    if step.state is not before:
        save(tx, step.state)
    if step.seen is not None:
        record.record(tx, step.seen)
    if step.flip is not None:
        incident.follow(tx, step.flip, incident.severity_of(policy, 3, step.flip.to_status))


def content(tx):
    """Return the rows of every table, without their numbers."""
    rows = {}
    for table in TABLES:
        columns = [column for column in table.c if column.name not in {"id", "incident_id"}]
        rows[table.name] = sorted(map(str, tx.execute(select(*columns)).all()))
    return rows


async def judged(database, chance, count, *, trouble=True):
    """Judge looks in memory; commits, databases that are away and restarts come at any time."""
    running, now = RunningTime(database, lambda: START, "test"), START
    await running.start()

    async def restarted():
        routes = connect([Contact("piket", (Via("mail", "piket@kota.example"),))], [], {"mail"})
        judge = await judge_on(database, POLICIES.__getitem__, about, routes, clock=lambda: now, ledger=Ledger(running))
        judge._moment = 1000.0  # only flips and we write
        return judge

    judge, write = await restarted(), database.write

    async def away(_work):
        raise StateAway("pulled out")

    async def unanswered(work):
        await write(work)
        raise StateAway("pulled out before it answered")

    for now, moment in looks(random.Random(chance.random()), count):
        judge.see(moment, now)
        mishap = chance.random() if trouble else 1.0
        if mishap < 0.05:
            database.write = chance.choice([away, unanswered])
        elif mishap < 0.2:
            database.write = write
            await judge.commit()
        elif mishap < 0.22 and database.write is write:
            await judge.commit()
            judge = await restarted()
        elif mishap < 0.5:
            await asyncio.sleep(0)
    database.write = write
    await judge.commit()
    return judge


@pytest.mark.parametrize("seed", range(5))
async def test_memory_and_rows_lead_to_equal_states_flips_and_spans(database, seed):
    await asyncio.to_thread(upgrade, database.engine)
    await compare(database, random.Random(seed), 100)


async def compare(database, chance, count):
    """Fail unless both ways lead to equal tables; ``count`` moments of some twelve looks."""
    drawn = chance.random()
    judge = await judged(database, random.Random(drawn), count)
    after = await database.read(content)
    believed = {(one.check, one.subject): state_rows.to_row(one) for one in judge.states.all()}
    rows = {(one.check, one.subject): state_rows.to_row(one) for one in await database.read(state_rows.all_states)}
    assert believed == rows
    assert judge.states.incidents == {
        (one.check, one.subject): one.id for one in await database.read(incident.open_incidents)
    }

    def again(tx):
        for table in (tables.delivery_attempt, tables.outbox, *TABLES, tables.audit):
            tx.execute(delete(table))
        for _, moment in looks(random.Random(random.Random(drawn).random()), count):
            for result in moment:
                on_the_rows(tx, result)

    await database.write(again)
    expected = await database.read(content)
    for name, rows_of_table in expected.items():
        assert after[name] == rows_of_table, name


async def test_one_row_that_cannot_be_written_costs_no_other(database, caplog):
    await asyncio.to_thread(upgrade, database.engine)
    running = RunningTime(database, lambda: START, "test")
    await running.start()
    broken = {"service/s1"}

    def about_some(check, subject):
        if subject in broken:
            raise ValueError("nobody knows it")
        return about(check, subject)

    judge = await judge_on(database, POLICIES.__getitem__, about_some, connect([], [], set()), ledger=Ledger(running))
    for minute in range(3):
        at = START + minute * INTERVAL * 1000
        await judge.observe([Result("http", subject, Status.DOWN, Reason.REFUSED, at) for subject in SUBJECTS], at)
    opened = await database.read(incident.open_incidents)
    assert {one.subject for one in opened} == {"service/s0", "service/s2", "service/s3"}
    assert "a flip" in caplog.text or "could not be written" in caplog.text
    broken.clear()
    for later in (60_000, 120_000):
        await judge.observe([Result("http", "service/s1", Status.DOWN, Reason.REFUSED, at + later)], at + later)
    opened = await database.read(incident.open_incidents)
    assert len(opened) == 4
    assert {one.subject for one in await database.read(state_rows.all_states) if one.status is Status.DOWN} == set(
        SUBJECTS
    )


async def test_what_a_stranger_sent_is_no_poison(database):
    await asyncio.to_thread(upgrade, database.engine)
    running = RunningTime(database, lambda: START, "test")
    await running.start()
    judge = await judge_on(database, POLICIES.__getitem__, about, connect([], [], set()), ledger=Ledger(running))
    odd = "nul \0 and a lone surrogate \udc80"
    for minute in range(2):
        at = START + minute * INTERVAL * 1000
        looked = [
            Result("http", subject, Status.DOWN, Reason.CONTENT, at, detail=odd, facts={"said": odd})
            for subject in (*SUBJECTS, f"host/{odd}")
        ]
        await judge.observe(looked, at)
    assert len(await database.read(incident.open_incidents)) >= len(SUBJECTS)
    assert len(await database.read(lambda tx: tx.execute(select(own.span)).all())) >= len(SUBJECTS)
