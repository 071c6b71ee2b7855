"""kill -9 while hundreds of looks a second are judged: what the ledger holds afterwards is what was told before, within the beat."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from postgresql import Server
from sqlalchemy import create_engine, select

from alerts import tables
from alerts.incident import open_incidents
from alerts.state_rows import all_states
from collectors.result import Status
from server.ledger import running_time
from server.ledger.record import newest
from server.state import tables as own
from server.state.database import Database
from server.state.migrate import upgrade

pytestmark = [pytest.mark.may_block, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("PANTAU_TEST_KILLS", "8"))

# The judge, the ledger and the beat of a centre in a process of their own, 500 looks a second. Each line it prints is a moment of looks
# that were told as written, or a state that was believed.
CHILD = """
import asyncio, json, random, sys, time
from judging import judge_on
from alerts.route import connect
from alerts.state import Policy
from alerts.subject_info import SubjectInfo
from collectors.result import Reason, Result, Status
from configs.clock import Clock
from server.ledger.running_time import RunningTime
from server.ledger.writing import Ledger
from server.state.database import Database

url, seed, subjects = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


async def main():
    began = time.monotonic()
    database, clock, chance = Database(url), Clock(), random.Random(seed)
    running = RunningTime(database, clock.now, "test")
    await running.start()
    judge = await judge_on(
        database,
        lambda _check: Policy(interval=1, confirm=2),
        lambda _check, _subject: SubjectInfo(name="SIMPUS"),
        connect([], [], set()),
        clock=clock,
        ledger=Ledger(running, lambda: clock.tick() and None),
        moment=1.0,
    )
    print(json.dumps({"start": time.monotonic() - began, "states": len(judge.states.all())}), flush=True)

    async def beat():
        while True:
            await judge.commit()
            await asyncio.sleep(2)

    async def moment(number):
        at = clock.now()
        looks = [
            Result("http", f"service/s{one}", *chance.choices(KINDS, [95, 5])[0], at)
            for one in range(number % 10, min(subjects, 500), 10)
        ]
        seen = judge.see(looks, clock.steady())
        flips = [[one.state.subject, one.flip.to_status, one.flip.at] for one in seen if one.flip]
        await judge.written()
        told = {"at": at, "looks": [[one.subject, one.status] for one in looks], "flips": flips}
        print(json.dumps(told), flush=True)

    beating, telling, number = asyncio.create_task(beat()), set(), 0
    while True:
        telling.add(asyncio.create_task(moment(number)))
        telling = {task for task in telling if not task.done()}
        number += 1
        await asyncio.sleep(0.1)

KINDS = [(Status.UP, Reason.OK), (Status.DOWN, Reason.REFUSED)]
asyncio.run(main())
"""


def run_and_kill(url, seed, subjects, seconds):
    """Return what the judge told until it was killed."""
    command = [sys.executable, "-c", CHILD, url, str(seed), str(subjects)]
    paths = os.environ | {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}
    with subprocess.Popen(command, cwd=ROOT, env=paths, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            first = json.loads(process.stdout.readline())
            time.sleep(seconds)
        finally:
            before = time.time_ns() // 1_000_000
            os.killpg(process.pid, signal.SIGKILL)
        return first, [json.loads(line) for line in process.stdout if line.endswith(b"\n")], before


def check(engine, told, killed):
    """Fail unless the database holds what was told as written, and the beat leaves out what was not."""
    with engine.connect() as tx:
        [*_, (_, beat)] = running_time.running(tx, 0, killed + 1, killed + 3_600_000) or [(0, 0)]
        assert told == [] or max(one["at"] for one in told) <= beat + 1
        assert killed - beat <= 5_000  # a moment, the beat, and a machine that is busy
        states = {one.subject: one for one in all_states(tx)}
        newest_look, flips = {}, []
        for one in told:
            flips += one["flips"]
            for subject, status in one["looks"]:
                newest_look[subject] = one["at"], status
        for subject, (at, status) in newest_look.items():
            believed, span = states[subject], newest(tx, "http", subject)
            assert believed.last_at >= at
            if believed.last_at == at:
                assert believed.last_status == status
            assert span.last_ms == believed.last_at
            assert span.status == believed.status or believed.pending_status is not None
        table = tables.flip
        there = {(row.subject, row.to_status, row.at_ms) for row in tx.execute(select(table))}
        assert {(subject, status, at) for subject, status, at in flips} <= there
        opened = {one.subject for one in open_incidents(tx)}
        assert opened == {one.subject for one in states.values() if one.status is Status.DOWN}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def database_url(request, tmp_path):
    """An empty database of state of each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'state.db'}"
        upgrade_of(url)
        yield url
        return
    server = Server()
    with server.running():
        url = server.make("state")
        upgrade_of(url)
        yield url


def upgrade_of(url):
    database = Database(url)
    upgrade(database.engine)
    database.close()


def test_what_was_told_is_there_after_a_kill(database_url):
    url, engine, told, chance = database_url, create_engine(database_url), [], random.Random(4242)
    for number in range(KILLS):
        _, more, killed = run_and_kill(url, number, 500, chance.uniform(0.1, 2.5))
        told += more
        check(engine, told, killed)
    with engine.connect() as tx:
        rows = tx.execute(select(own.span).order_by(own.span.c.subject, own.span.c.start_ms)).all()
    for before, after in pairwise(rows):
        assert before.subject != after.subject or before.end_ms <= after.start_ms
    assert told
    engine.dispose()
