"""kill -9 at every point of a message's way: none lost anywhere, at most one double where the answer was lost with us."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from parts import free_port, wait_until

from alerts.incident import messages, recent

pytestmark = [pytest.mark.may_block, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]

# The centre's alerting in a process of its own. It observes an outage of one service, sends from the outbox, and dies at DIE.
CHILD = """
import asyncio, os, signal, sys, time
from judging import Told, judge_on
from alerts.subject_info import SubjectInfo
from alerts.channels import webhook
from alerts.courier import Courier
from alerts.route import Contact, Via, connect
from alerts.state import Policy
from collectors.result import Reason, Result, Status
from server.state.database import Database

path, url, die = sys.argv[1:]


def crash():
    os.kill(os.getpid(), signal.SIGKILL)


class Hook(webhook.Webhook):
    async def send(self, recipient, message):
        if die == "before_send":
            crash()
        taken = await super().send(recipient, message)
        if die == "after_answer":
            crash()
        return taken


async def main():
    database = Database(f"sqlite:///{path}")
    channels = {"hook": Hook("hook", webhook.Options(url=url))}
    clock = lambda: time.time_ns() // 1_000_000
    courier = Courier(
        database, channels, clock, clock, owner=os.urandom(8).hex(), chance=lambda: 0.5, in_thread=asyncio.to_thread
    )
    ledger = Told(write=(lambda *_: crash()) if die == "before_commit" else (lambda *_: None))
    judge = await judge_on(
        database,
        lambda _check: Policy(interval=1, confirm=1),
        lambda _check, _subject: SubjectInfo(name="SIMPUS", criticality=5),
        connect([Contact("noc", (Via("hook", "noc"),))], [], channels),
        clock=clock,
        ledger=ledger,
        planned=crash if die == "after_commit" else courier.wake,
    )
    if die == "draining":
        asyncio.get_running_loop().call_later(0.5, lambda: asyncio.ensure_future(courier.stop(30)))
    running = asyncio.ensure_future(courier.run())
    result = Result("web", "service/simpus", Status.DOWN, Reason.REFUSED, 1_780_000_000_000)
    await judge.observe([result], result.at)
    await running

asyncio.run(main())
"""


class Receiver:
    """What really arrived; answers late when told so."""

    def __init__(self):
        self.got, self.hold = [], False

    async def take(self, request):
        self.got.append(await request.json())
        if self.hold:
            await asyncio.sleep(60)
        return web.json_response({})


@pytest.fixture
async def receiver():
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    receiver.url = f"http://127.0.0.1:{free_port()}/"
    await web.TCPSite(runner, "127.0.0.1", int(receiver.url.rsplit(":", 1)[1].strip("/"))).start()
    yield receiver
    await runner.cleanup()


def start(database, receiver, die):
    path = database.engine.url.database
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, path, receiver.url, die],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


async def dead(process):
    await wait_until(lambda: process.poll() is not None, what="the crash")
    assert process.returncode == -signal.SIGKILL


async def sent(database):
    def read(tx):
        newest = recent(tx)
        return newest and [(row.kind, row.status) for row in messages(tx, newest[0].id)] == [("problem", "sent")]

    return await database.read(read)


@pytest.mark.parametrize(
    ("die", "doubles"),
    [
        ("before_commit", 0),
        ("after_commit", 0),
        ("before_send", 0),
        ("after_bytes", 1),
        ("after_answer", 1),
        ("draining", 1),
    ],
)
async def test_a_kill_loses_nothing(database, receiver, die, doubles):
    receiver.hold = die in {"after_bytes", "draining"}
    first = start(database, receiver, die)
    if receiver.hold:
        await wait_until(lambda: receiver.got, what="the first try")
        await asyncio.sleep(0.6 if die == "draining" else 0.1)
        os.kill(first.pid, signal.SIGKILL)
    await dead(first)
    if die == "before_commit":
        assert await database.read(recent) == []
    receiver.hold = False
    second = start(database, receiver, "never")
    try:
        await wait_until(lambda: sent(database), what="the message")
        await asyncio.sleep(0.3)
    finally:
        os.kill(second.pid, signal.SIGKILL)
        second.wait()
    assert 1 <= len(receiver.got) <= 1 + doubles
    assert len({message["key"] for message in receiver.got}) == 1
    assert [message["facts"]["repeated"] for message in receiver.got][1:] == [True] * (len(receiver.got) - 1)
