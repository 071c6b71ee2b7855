"""What the service manager is told, by what gets ahead."""

import asyncio
import errno
from types import SimpleNamespace

import pytest
from parts import wait_until

from agent.app import App
from agent.clock import Clock
from agent.gather import Runner, Unit
from agent.settings import read
from agent.spool import Spool
from collectors.point import Point


class Systemd:
    watchdog = 0.02

    def __init__(self):
        self.told = []

    def tell(self, word):
        self.told.append(word)


@pytest.fixture
def app(tmp_path):
    file = tmp_path / "agent.toml"
    file.write_text("[output]\nurl = 'http://127.0.0.1:9'\ntimeout = '1ms'\n[spool]\nmin_free = '0B'\n")
    found = read(file)
    spool = Spool(tmp_path / "spool.db", found.spool)
    made = App(found, lambda: found, spool, Clock(), Systemd(), probe_again=0.01, stall=0.5)
    yield made
    spool.close()


class Turned:
    """A runner that had its last turn at ``turned``."""

    def __init__(self, turned):
        self.turned = turned
        self.off = turned < -3000
        self.unit = SimpleNamespace(interval=0.0)


@pytest.mark.parametrize(
    ("sender", "collectors", "lives"),
    [
        (0, [0], True),
        (0, [-60, 0], True),  # one that hangs is no reason
        (-60, [0], False),  # the sending thread hangs
        (0, [-60, -60], False),  # no collector has had its turn: the loop does not get ahead
        (0, [], True),
        (0, [-(10**6)], True),  # what its only collector reads is not there
    ],
)
async def test_a_word_of_life_needs_both_loops_to_get_ahead(app, sender, collectors, lives):
    now = app._clock.monotonic()
    app._sender.progress = now + (sender or 3600)
    never = asyncio.Event()
    tasks = {Turned(now + (turned or 3600)): asyncio.create_task(never.wait()) for turned in collectors}
    app._runners = tasks
    watch = asyncio.create_task(app._watch())
    if lives:
        await wait_until(lambda: app._systemd.told)
    else:
        await asyncio.sleep(0.3)
        assert app._systemd.told == []
    for task in (watch, *tasks.values()):
        task.cancel()
    await asyncio.wait([watch, *tasks.values()])


async def test_a_collector_whose_socket_comes_after_the_agent_is_asked_again_until_it_is_there(app):
    asked = []

    class Late:
        async def collect(self, now):
            asked.append(now)
            if len(asked) < 3:
                raise FileNotFoundError(errno.ENOENT, "no", "/run/docker.sock")
            return [Point("late", {}, {"n": 1}, now)]

    runner = Runner(Unit("late", Late(), 0.1, 1.0), {"host": "srv-1"}, Clock())
    task = asyncio.create_task(app._probe_and_run(runner))
    await asyncio.wait_for(app._inbox.wait(), 30)
    task.cancel()
    assert app._inbox.take()[0][0].startswith(b"late,host=srv-1 n=1i ")
