"""The agent as a process, with collectors made for tests."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from agent.packing import unpack

COLLECTORS = '''
import asyncio, time
import msgspec
from collectors.point import Point

class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass

class Counter:
    def __init__(self, options, roots):
        self.n = 0
    async def collect(self, now):
        self.n += 1
        return [Point("counter", {}, {"n": self.n}, now)]

class Hung(Counter):
    """As a dead file server: a thread that never comes back."""
    async def collect(self, now):
        return await asyncio.to_thread(time.sleep, 600)

class Lacking(Counter):
    async def collect(self, now):
        open("/proc/no/such/thing")
'''


class Agent:
    def __init__(self, folder, centre):
        self.folder = folder
        self.centre = centre
        self.file = folder / "agent.toml"
        self.log = folder / "agent.log"
        self.env = {}
        self.prefix = []
        self.process = None
        (folder / "mine.py").write_text(COLLECTORS)
        self.write()

    def write(self, extra="", collectors="[collectors.counter]\ntype = 'mine:Counter'\n", internal="0s"):
        fresh = self.file.with_suffix(
            ".new"
        )  # so that an agent that reads them meanwhile finds the old or the new ones
        fresh.write_text(
            f"""
            {extra}
            [agent]
            host = "srv-1"
            interval = "200ms"
            state_dir = "state"
            internal = "{internal}"
            [output]
            url = "{self.centre.url}"
            interval = "200ms"
            timeout = "5s"
            [spool]
            min_free = "1MB"
            {collectors}"""
        )
        fresh.replace(self.file)

    def command(self, *arguments):
        return [*self.prefix, Path(sys.executable).with_name("pantau-agent"), "--settings", self.file, *arguments]

    def environment(self):
        environ = {name: value for name, value in os.environ.items() if name != "JOURNAL_STREAM"}
        return {**environ, "PYTHONPATH": str(self.folder), **self.env}

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command(), stderr=log, env=self.environment())
        return self.process

    def run(self, *arguments, timeout=90):
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def end(self, number=signal.SIGTERM):
        """Send a signal; return the exit code and how long the end took."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(60), time.monotonic() - began

    def catches_hangups(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        return caught >> (signal.SIGHUP - 1) & 1

    def state(self):
        return self.folder / "state" / "spool.db-wal"

    def query(self, text):
        db = sqlite3.connect(f"file:{self.folder}/state/spool.db?mode=ro", uri=True)
        try:
            return db.execute(text).fetchall()
        except sqlite3.OperationalError:
            return []  # not made yet
        finally:
            db.close()

    def spooled(self):
        return {line for (body,) in self.query("SELECT body FROM batch") for line in unpack(body)}

    def tally(self):
        counts = self.query("SELECT collected, delivered, dropped, quarantined, rejected FROM tally")[0]
        return *counts, self.query("SELECT COALESCE(SUM(lines), 0) FROM batch")[0][0]
