"""Reloads of a centre at work: no look is missed, no incident touched, nothing leaks; and the same as a process with signals."""

import asyncio
import contextlib
import gc
import math
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import psutil
import pytest
from aiohttp import CookieJar
from parts import daemon, free_port, wait_for, wait_until

from configs.clock import Clock
from server.admin.control_socket import Ask, ask
from server.app import running
from server.settings import read
from server.state.database import Database
from server.state.migrate import upgrade
from server.watching.jobs import check_job
from server.watching.scheduler import Schedule, phase
from server.web import accounts
from server.web.accounts import Passwords
from server.web.context import WEB

pytestmark = [pytest.mark.e2e, pytest.mark.may_block, pytest.mark.timeout(300)]

RELOADS = 100
STEADY = ("http-0", "http-1", "http-2", "tcp-0", "tcp-1", "tcp-2", "changing", "down")  # checks that are never left out
MESSAGES = "SELECT id, incident_id, kind, channel, recipient, idem_key, payload FROM outbox"
SERVER = """
[server]
listen = "127.0.0.1:{port}"
data = "data"
title = "{title}"
[ingest]
tokens = [{{ name = "test", token = {{ file = "token" }} }}]
[[rule]]
id = "disk-full"
measurement = "disk"
field = "used_percent"
above = {above}
interval = "1s"
[[channel]]
name = "hook"
type = "webhook"
url = "{hook}"
[[channel]]
name = "away"
type = "webhook"
url = "http://127.0.0.1:{closed}/"
[[contact]]
id = "piket"
channels = [{{ channel = "hook" }}, {{ channel = "away" }}]
{checks}
{more}
"""
CHECK = """
[[check]]
id = "{0}"
service = "portal"
type = "{1}"
interval = "1s"
timeout = "{3}"
recheck = "5m"
confirm = {4}
{2}
"""
SERVICES = """
[[agency]]
id = "kominfo"
name = "Dinas Kominfo"
[[service]]
id = "portal"
name = "Portal"
agency = "kominfo"
"""
BAD = ('[[route]]\ncontacts = ["nobody"]', "[server", '[[check]]\nid = "x"\nservice = "none"')


class City:
    """A centre in this process that looks at itself and at a closed port, and is written to."""

    def __init__(self, folder, hook):
        self.folder, self.hook, self.port, self.closed = folder, hook, free_port(), free_port()
        (folder / "token").write_text("made-up")
        (folder / "services.toml").write_text(SERVICES)
        self.base = f"http://127.0.0.1:{self.port}"
        self.statuses, self.events, self.stream_ended = [], [], False

    def checks(self, timeout):
        http = f'url = "{self.base}/ping"'
        tcp, down = (f'host = "127.0.0.1"\nport = {port}' for port in (self.port, self.closed))
        # a busy machine makes a look fail now and then, which is no reason for an incident here
        yield from (CHECK.format(f"http-{n}", "http", http, "1s", 20) for n in range(3))
        yield from (CHECK.format(f"tcp-{n}", "tcp", tcp, "1s", 20) for n in range(3))
        yield CHECK.format("changing", "http", http, timeout, 20)
        yield CHECK.format("down", "tcp", down, "1s", 1)

    def write(self, turn=0):
        """Write the settings of a turn: one third is bad, the others are each a little different."""
        timeout = ("1s", "900ms", "800ms", "700ms")[turn % 4]
        coming = CHECK.format("coming", "tcp", f'host = "127.0.0.1"\nport = {self.port}', "1s", 20) if turn % 2 else ""
        bad = BAD[turn // 3 % len(BAD)] if turn % 3 == 2 else ""
        text = SERVER.format(
            port=self.port,
            title=f"Kota {turn}",
            above=90 + turn % 5,
            hook=self.hook.url,
            closed=self.closed,
            checks="\n".join(self.checks(timeout)),
            more=coming + bad,
        )
        (self.folder / "server.toml").write_text(text)
        return not bad

    def add_user(self):
        (self.folder / "data").mkdir()
        with contextlib.closing(Database(read(self.folder / "server.toml").state_url)) as database:
            upgrade(database.engine)
            with database.engine.begin() as tx:
                accounts.add(
                    tx, name="sari", password=Passwords().make("rahasia-sekali"), role="operator", at=0, by="test"
                )

    async def log_in(self, session):
        async with session.get(f"{self.base}/login"):
            form = next(cookie.value for cookie in session.cookie_jar if cookie.key == "form")
        answer = {"name": "sari", "password": "rahasia-sekali", "csrf": form, "next": "/"}
        async with session.post(f"{self.base}/login", data=answer) as welcome:
            assert welcome.status == 200

    async def write_on(self, session):
        headers, address = {"Authorization": "Token made-up"}, f"{self.base}/api/v2/write?org=pantau&bucket=pantau"
        while True:
            lines = "\n".join(f"disk,host=h{n} used_percent=50 {time.time_ns()}" for n in range(20))
            async with session.post(address, data=lines, headers=headers) as answer:
                self.statuses.append(answer.status)
            await asyncio.sleep(0.02)

    async def listen(self, session):
        async with session.get(f"{self.base}/live") as stream:
            async for line in stream.content:
                self.events.append(line)
        self.stream_ended = True

    def rows(self, statement):
        with contextlib.closing(sqlite3.connect(self.folder / "data/state.db")) as database:
            return database.execute(statement).fetchall()

    def looks(self):
        """Return check -> (looks, slot of the last one) by the ledger, for those that are never left out."""
        found = self.rows("SELECT check_id, sum(looks), max(last_ms) FROM span GROUP BY check_id")
        # a look that begins within the very millisecond of its due time is written down as up to one before it
        return {
            name: (looks, int((last + 1) / 1000 - phase(name, 1.0))) for name, looks, last in found if name in STEADY
        }


class Witness:
    """A schedule of its own for the same checks, which nobody reloads: slots that it misses are the machine's fault."""

    def __init__(self, checks):
        self.clock = Clock()
        self.schedule = Schedule(clock=self.clock, tell=self._tell)
        for check in checks:
            self.schedule.add(check_job(check))
        self.schedule.start()

    async def _tell(self, _results, _steady):
        pass

    async def tick(self, _session):
        while True:
            self.clock.tick()
            await asyncio.sleep(0.5)

    def missed(self):
        return sum(job.skipped for job in self.schedule.punctuality.jobs.values())


@contextlib.asynccontextmanager
async def at_work(city, session, settings):
    """Write to the centre, listen to it and have a witness until the block ends."""
    witness = Witness(settings.watched.checks.values())
    work = [asyncio.create_task(part(session)) for part in (city.write_on, city.listen, witness.tick)]
    try:
        yield witness
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await witness.schedule.stop()


def held():
    """Return how many descriptors and how many bytes of memory this process has."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir())), psutil.Process().memory_info().rss


async def test_a_hundred_reloads_under_load_miss_no_look_and_touch_no_incident(tmp_path, hook):
    city = City(tmp_path, hook)
    city.write()
    await asyncio.to_thread(city.add_user)
    settings = read(tmp_path / "server.toml")
    async with (
        running(settings) as app,
        aiohttp.ClientSession(cookie_jar=CookieJar(unsafe=True)) as session,
    ):
        await city.log_in(session)
        async with at_work(city, session, settings) as witness:
            jobs = app[WEB].parts.punctuality.jobs
            await wait_until(lambda: all(jobs[f"{kind}-2"].runs > 3 for kind in ("http", "tcp")), 20, "looks")
            await wait_until(lambda: hook.posts and city.rows("SELECT 1 FROM outbox WHERE attempt > 0"), 20, "messages")
            incidents, messages = city.rows("SELECT * FROM incident"), city.rows(MESSAGES)
            before, missed = await asyncio.to_thread(city.looks), witness.missed()
            holding = []
            for turn in range(RELOADS):
                good = city.write(turn)
                answer = await ask(tmp_path / "data", Ask(reload=True))
                assert bool(answer.error) is not good, answer
                if turn % 5 == 0:
                    holding.append(held())
                await asyncio.sleep(0.1)
            await asyncio.sleep(1.5)
            after, missed = await asyncio.to_thread(city.looks), witness.missed() - missed
            heard = len(city.events)
            await wait_until(lambda: len(city.events) > heard, 10, "an event on the stream of before")
            assert not city.stream_ended

    slots = {name: after[name][1] - slot for name, (_, slot) in before.items()}
    looks = {name: after[name][0] - count for name, (count, _) in before.items()}
    assert all(number >= RELOADS * 0.1 for number in slots.values())
    # time in which this process did not get to run is none to the schedule, but counts in the slots, which are those of the wall clock
    stood_still = len(slots) * math.ceil(witness.clock.lost() / 1000)
    assert sum(abs(looks[name] - slots[name]) for name in slots) <= 2 * missed + stood_still, (looks, slots)
    assert city.rows("SELECT * FROM incident WHERE check_id = 'down'") == incidents
    assert city.rows("SELECT count(*) FROM incident") == [(1,)]
    assert city.rows(MESSAGES) == messages
    assert {row[0] for row in city.rows("SELECT DISTINCT status FROM outbox")} <= {"sent", "queued", "leased"}
    assert hook.kinds() == ["problem"]
    assert set(city.statuses) == {204}
    # the least of a quarter, once it has warmed up: looks on their way come and go
    (descriptors, memory), (descriptors_then, memory_then) = (
        map(min, zip(*quarter, strict=True)) for quarter in (holding[5:10], holding[15:])
    )
    assert descriptors_then <= descriptors + 4
    assert memory_then <= memory + 20_000_000


class Program:
    """The centre as a process of its own."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        (folder / "services.toml").write_text(SERVICES)
        self.log = folder / "server.log"

    def write(self, more=""):
        text = f'[server]\nlisten = "127.0.0.1:{self.port}"\ndata = "data"\n{more}\n'
        (self.folder / "server.toml").write_text(text)

    def running(self):
        command = [sys.executable, "-m", "server.cli.main", "server", "--settings", str(self.folder / "server.toml")]
        self.log.touch()
        about = self.log.stat()
        # as if journald read it
        return daemon(command, port=self.port, log=self.log, env={"JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}"})

    def reload(self):
        command = [sys.executable, "-m", "server.cli.main", "reload", "--settings", str(self.folder / "server.toml")]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        return ended.returncode, ended.stdout, ended.stderr

    def process(self):
        (found,) = [
            one
            for one in psutil.process_iter(["cmdline"])
            if str(self.folder / "server.toml") in (one.info["cmdline"] or ())
        ]
        return found


def test_a_process_reads_again_at_sighup_and_by_the_command_and_goes_on_by_good_settings(tmp_path):
    program = Program(tmp_path)
    program.write()
    assert program.reload() == (1, "", f"pantau: no centre runs on {tmp_path / 'data'}\n")
    with program.running():
        program.write('title = "Kota"')
        assert program.reload() == (0, "[server] changed: title\n", "")
        program.write("nonsense = 1")
        code, _, told = program.reload()
        assert (code, told.splitlines()[0]) == (
            2,
            "pantau: the new settings were refused, those from before stay in force:",
        )
        assert re.search(r"server.toml:\d+: unknown field 'nonsense'", told)

        process = program.process()
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: program.log.read_text().count("unknown field 'nonsense'") == 2, 20, "the refusal in the log")
        program.write('title = "Kota Lain"')
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: program.log.read_text().count("[server] changed: title") == 2, 20, "the new title")
        (tmp_path / "server.toml").write_text("[server")
        code, _, told = program.reload()
        assert code == 2
        assert "not valid TOML" in told
        assert process.is_running()
    told = program.log.read_text()
    assert "<6>pantau.server: the centre runs on" in told
    assert re.search(r"^<3>pantau.server: server.toml:\d+: unknown field 'nonsense'", told, re.MULTILINE)
    assert all(re.match(r"<[3-7]>", line) for line in told.splitlines())
