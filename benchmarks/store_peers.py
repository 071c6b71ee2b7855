"""The servers that ``store.py`` measures: how each is started, written to, compacted and asked."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final

import aiohttp

from configs.secret import Secret
from server.store import Store
from server.store.embedded.store import Embedded
from server.store.embedded.store import Options as EmbeddedOptions
from server.store.influx.store import Influx as InfluxStore
from server.store.influx.store import Options as InfluxOptions

TOKEN: Final = "made-up-token-for-the-benchmark"
_QUIET: Final = 15  # seconds without work after which a server has compacted
_PATIENCE: Final = 1200


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[int]:
    """Run a server until the block ends; yields its process id when it listens."""
    with log.open("ab") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            _await_port(process, port, log)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(300)


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise SystemExit(f"{process.args!r} did not start: {log.read_text(errors='replace')[-2000:]}")


def cpu_seconds(pid: int) -> float:
    return time.clock_gettime((~pid << 3) | 2)  # the process's CPU clock


class Peer:
    """One kind of server."""

    name = ""
    write_path = "/api/v2/write"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    @staticmethod
    def program() -> str:
        """Return the path of its program, "" when it is missing here."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """Return the command that starts it."""
        raise NotImplementedError

    async def prepare(self) -> None:
        """Make what must be there before the first write."""

    async def compacted(self, pid: int) -> None:
        """Wait until the server does nothing any more."""
        quiet, last = 0, cpu_seconds(pid)
        for _ in range(_PATIENCE):
            await asyncio.sleep(1)
            now = cpu_seconds(pid)
            quiet = quiet + 1 if now - last < 0.05 else 0
            last = now
            if quiet >= _QUIET:
                return

    def after_stop(self) -> float:
        """Do what is left when the server has stopped; return the CPU seconds of it."""
        return 0.0

    def store(self) -> Store | None:
        """Return the way to ask it, None when it is asked by ``ask`` alone."""
        return None

    async def ask(self, question: str, end: int, host: str) -> int:
        """Ask one of the questions, of a host where it is of one; ``end`` is seconds since epoch. Return how many series answered."""
        raise NotImplementedError


class Pantau(Peer):
    """The centre's ingest with the embedded store."""

    name = "pantau"

    @staticmethod
    def program() -> str:
        """Return its path."""
        return sys.executable

    def command(self) -> list[str]:
        """Return the command that starts it."""
        return [sys.executable, str(Path(__file__).with_name("store.py")), "--serve", str(self.data), str(self.port)]

    async def compacted(self, pid: int) -> None:
        """Nothing to wait for: what would come later is done after the stop."""

    def after_stop(self) -> float:
        """Settle what the stop left open."""
        began = time.process_time()

        async def settle() -> None:
            for _ in range(2):  # the second start gives free space back
                store: Any = self.store()
                await store.open()
                while await store.settle(everything=True):
                    pass
                await store.close()

        asyncio.run(settle())
        return time.process_time() - began

    def store(self) -> Store:
        """Return the way to ask it."""
        return Embedded(EmbeddedOptions(), self.data / "store")


class Influx(Peer):
    """What both versions of InfluxDB share."""

    def store(self) -> Store:
        """Return the way to ask it."""
        (self.folder / "token").write_text(TOKEN)
        token = Secret("file", str(self.folder / "token")) if self.name == "influxdb2" else None
        return InfluxStore(InfluxOptions(url=self.url, org="pantau", bucket="pantau", token=token), self.folder)


class Influx1(Influx):
    """InfluxDB 1, as the package comes, but compacting sooner."""

    name = "influxdb1"
    write_path = "/write"

    @staticmethod
    def program() -> str:
        """Return its path."""
        return shutil.which("influxd") or ""

    def command(self) -> list[str]:
        """Return the command that starts it."""
        config = self.folder / "influxdb.conf"
        config.write_text(
            f"""reporting-disabled = true
            bind-address = "127.0.0.1:{free_port()}"
            [meta]
            dir = "{self.folder}/meta"
            [data]
            dir = "{self.data}/data"
            wal-dir = "{self.data}/wal"
            cache-snapshot-write-cold-duration = "5s"
            compact-full-write-cold-duration = "10s"
            [http]
            bind-address = "127.0.0.1:{self.port}"
            log-enabled = false
            [monitor]
            store-enabled = false
            """
        )
        return [self.program(), "-config", str(config)]

    async def prepare(self) -> None:
        """Make the database."""
        async with aiohttp.ClientSession() as session:
            await session.post(f"{self.url}/query", data={"q": "CREATE DATABASE pantau"})


class Influx2(Influx):
    """InfluxDB 2, as it comes, but compacting sooner."""

    name = "influxdb2"

    @staticmethod
    def program() -> str:
        """Return its path."""
        return os.environ.get("PANTAU_TEST_INFLUXD2", "")

    def command(self) -> list[str]:
        """Return the command that starts it."""
        return [
            self.program(), "--http-bind-address", f"127.0.0.1:{self.port}", "--reporting-disabled",
            "--bolt-path", f"{self.folder}/bolt", "--engine-path", str(self.data), "--sqlite-path", f"{self.folder}/sqlite",
            "--storage-cache-snapshot-write-cold-duration", "5s", "--storage-compact-full-write-cold-duration", "10s",
        ]  # fmt: skip

    async def prepare(self) -> None:
        """Make the database."""
        setup = {"username": "bench", "password": TOKEN, "org": "pantau", "bucket": "pantau", "token": TOKEN}
        async with aiohttp.ClientSession() as session:
            for _ in range(50):
                async with session.post(f"{self.url}/api/v2/setup", json=setup) as answer:
                    if answer.status == 201:
                        return
                await asyncio.sleep(0.2)


class Victoria(Peer):
    """VictoriaMetrics, flushed and merged before its disk is measured, and without its cache of answers."""

    name = "victoria"
    questions: ClassVar[dict[str, tuple[str, int, int]]] = {
        "one series, a day at 5 min": ('avg_over_time(cpu_usage_idle{host="HOST",cpu="cpu-total"}[5m])', 86400, 300),
        "top 10 hosts by CPU": ('topk(10, avg_over_time(cpu_usage_user{cpu="cpu-total"}[10m]))', 0, 600),
        "last value of 20,000 series": ('last_over_time({__name__=~".+_.+"}[1h])', 0, 600),
        "a month hourly": (
            'avg_over_time(cpu_usage_idle{host="HOST",cpu="cpu-total"}[1h])', 30 * 86400, 3600,
        ),
    }  # fmt: skip

    @staticmethod
    def program() -> str:
        """Return its path."""
        return shutil.which("victoria-metrics") or ""

    def command(self) -> list[str]:
        """Return the command that starts it."""
        return [
            self.program(), f"-storageDataPath={self.data}", f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=100y", "-search.latencyOffset=0s", "-search.disableCache",
        ]  # fmt: skip

    async def compacted(self, pid: int) -> None:
        """Flush and merge."""
        async with aiohttp.ClientSession() as session:
            await session.get(f"{self.url}/internal/force_flush")
            await session.get(f"{self.url}/internal/force_merge")
        await super().compacted(pid)

    async def ask(self, question: str, end: int, host: str) -> int:
        """Ask by PromQL."""
        query, back, step = self.questions[question]
        query = query.replace("HOST", host)
        form = {"query": query, "start": str(end - back), "end": str(end), "step": str(step)}
        url = f"{self.url}/api/v1/query_range"
        async with aiohttp.ClientSession() as session, session.post(url, data=form) as answer:
            body = await answer.json()
        return len(body["data"]["result"])


PEERS: Final[tuple[type[Peer], ...]] = (Pantau, Influx1, Influx2, Victoria)
