"""A session that answers from tables, and a real snmpd."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import parts
import pytest

from collectors.snmp.session import Options, Silent, Walked
from configs.secret import Secret
from configs.units import Duration

SYSTEM = {
    "1.3.6.1.2.1.1.1.0": b"Switch 24",
    "1.3.6.1.2.1.1.2.0": "1.3.6.1.4.1.9.1.1",
    "1.3.6.1.2.1.1.3.0": 360_000,
    "1.3.6.1.2.1.1.5.0": b"sw-lantai-2",
}


class FakeSession:
    """Answers from ``scalars`` and ``columns`` (OID -> index -> value); ``fails`` maps an OID or a call to what it raises."""

    def __init__(self, scalars=SYSTEM, columns=None):
        self.scalars = dict(scalars)
        self.columns = columns or {}
        self.fails = {}
        self.endless = set()
        self.asked = []
        self.connects = 0

    def __call__(self, options, address, credentials):
        self.connects += 1
        self.address = address
        self.credentials = credentials
        return self

    async def open(self):
        self._fail("open")

    async def get(self, oids):
        self._fail("get")
        return {oid: self.scalars[oid] for oid in oids if oid in self.scalars}

    async def walk(self, column):
        self.asked.append(column)
        self._fail(column)
        return Walked(self.columns.get(column, {}), whole=column not in self.endless)

    def _fail(self, call):
        if call in self.fails:
            raise self.fails[call]


@pytest.fixture
def fake():
    return FakeSession()


@pytest.fixture
def silence():
    return Silent("no answer, asked 3 times")


@pytest.fixture
def deaf_port():
    """A UDP port of 127.0.0.1 where somebody listens and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        yield deaf.getsockname()[1]


@pytest.fixture
def options(tmp_path, deaf_port):
    """Make the options of a device with a community that does not answer; further settings replace these."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()

    def make(**settings):
        defaults = {
            "id": "sw-1",
            "address": "127.0.0.1",
            "port": deaf_port,
            "timeout": Duration(0.3),
            "retries": 1,
            "interval": Duration(10),
        }
        if settings.get("version") != "3":
            defaults["community"] = "geheim"
        given = {**defaults, **settings}
        for key in {"community", "auth_key", "priv_key"} & given.keys():
            file = secrets / key
            file.write_text(given[key])
            given[key] = Secret("file", str(file))
        return Options(**given)

    return make


class Snmpd:
    """net-snmp's agent on a port of its own, with its own configuration and memory."""

    def __init__(self, folder: Path) -> None:
        self.binary = parts.require("snmpd", "snmpd")
        self.folder = folder
        self.port = parts.free_port(socket.SOCK_DGRAM)
        self.process: subprocess.Popen | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "snmpd.conf").write_text(
            f"""agentaddress udp:127.0.0.1:{self.port}
            rocommunity geheim 127.0.0.1
            view nothing included .1.3.6.1.99
            rocommunity empty 127.0.0.1 -V nothing
            createUser shaaes SHA "authpass12" AES "privpass12"
            rouser shaaes priv
            createUser sha256aes256 SHA-256 "authpass12" AES-256 "privpass12"
            rouser sha256aes256 priv
            createUser md5des MD5 "authpass12" DES "privpass12"
            rouser md5des priv
            createUser shaonly SHA "authpass12"
            rouser shaonly auth
            sysName uji-switch
            sysLocation Ruang server
            """
        )

    def start(self) -> None:
        log = self.folder / "log"
        self.process = subprocess.Popen(
            [
                self.binary,
                "-f",
                "-Lf",
                log,
                "-C",
                "-c",
                self.folder / "snmpd.conf",
                f"--persistentDir={self.folder / 'memory'}",
            ],
            env={**os.environ, "MIBS": ""},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        end = time.monotonic() + 10
        while not log.exists() or "NET-SNMP version" not in log.read_text():
            if self.process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"snmpd did not start: {log.read_text() if log.exists() else ''}")
            time.sleep(0.02)

    def stop(self, how=signal.SIGKILL) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, how)
            self.process.wait(10)
            (self.folder / "log").unlink()
            self.process = None

    def forget(self) -> None:
        """Lose what it remembers over a restart: its engine's id and boots."""
        shutil.rmtree(self.folder / "memory")


@pytest.fixture
def own_snmpd(tmp_path):
    """A snmpd that this test may stop."""
    snmpd = Snmpd(tmp_path / "snmpd")
    snmpd.start()
    yield snmpd
    snmpd.stop()


@pytest.fixture(scope="session")
def snmpd(tmp_path_factory):
    """A snmpd for all tests that only ask."""
    snmpd = Snmpd(tmp_path_factory.mktemp("snmpd"))
    snmpd.start()
    yield snmpd
    snmpd.stop()
