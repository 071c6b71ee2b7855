"""A session that answers from tables, an agent that answers as it is told, and a real snmpd."""

import asyncio
import bisect
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import parts
import pytest
from pyasn1.codec.ber import decoder, encoder
from pysnmp.proto import api
from pysnmp.proto.rfc1905 import EndOfMibView, NoSuchObject

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
            "timeout": Duration(2),
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


V2C = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]
TYPES = {
    "2": lambda value: V2C.Integer(int(value)),
    "4": lambda value: V2C.OctetString(value.encode()),
    "4x": lambda value: V2C.OctetString(bytes.fromhex(value)),
    "5": lambda value: V2C.Null(""),
    "6": V2C.ObjectIdentifier,
    "65": lambda value: V2C.Counter32(int(value)),
    "66": lambda value: V2C.Gauge32(int(value)),
    "67": lambda value: V2C.TimeTicks(int(value)),
    "70": lambda value: V2C.Counter64(int(value)),
}


class Agent(asyncio.DatagramProtocol):
    """An agent of version 2c. ``objects`` is what it has: OID as numbers -> value; ``asked`` is what it was asked.

    ``fate`` may answer in its place: given the kind ("get", "next", "bulk"), the OIDs and the repetitions, it returns what to send
    (bytes, or varbinds, or varbinds and an error status), or None to let the agent answer.
    """

    def __init__(self, objects):
        self.objects = objects
        self.order = sorted(objects)
        self.asked = []
        self.fate = lambda kind, oids, repetitions: None

    def connection_made(self, transport):
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data, sender):
        message, _ = decoder.decode(data, asn1Spec=V2C.Message())
        question = V2C.apiMessage.get_pdu(message)
        kind = {"GetNextRequestPDU": "next", "GetBulkRequestPDU": "bulk"}.get(type(question).__name__, "get")
        oids = [tuple(oid) for oid, _ in V2C.apiPDU.get_varbinds(question)]
        repetitions = int(V2C.apiBulkPDU.get_max_repetitions(question)) if kind == "bulk" else 1
        self.asked.append((kind, oids, repetitions))
        answer = self.fate(kind, oids, repetitions)
        if answer is None:
            answer = self.honest(kind, oids, repetitions)
        if isinstance(answer, bytes):
            self.transport.sendto(answer, sender)
            return
        varbinds, status = answer if isinstance(answer, tuple) else (answer, 0)
        response = V2C.apiMessage.get_response(message)
        pdu = V2C.apiMessage.get_pdu(response)
        V2C.apiPDU.set_varbinds(pdu, [(V2C.ObjectIdentifier(oid), value) for oid, value in varbinds])
        V2C.apiPDU.set_error_status(pdu, status)
        self.transport.sendto(encoder.encode(response), sender)

    def honest(self, kind, oids, repetitions):
        if kind == "get":
            return [(oid, self.objects.get(oid, NoSuchObject())) for oid in oids]
        start = bisect.bisect_right(self.order, oids[0])
        found = [(oid, self.objects[oid]) for oid in self.order[start : start + repetitions]]
        return found if len(found) == repetitions else [*found, ((1, 3, 6, 1, 99), EndOfMibView())]


def numbers(oid):
    return tuple(int(part) for part in oid.split("."))


def recording(text):
    """Read lines of ``OID|type|value``, as snmpsim writes them."""
    lines = (line.split("|", 2) for line in text.splitlines())
    return {numbers(oid): TYPES[kind](value) for oid, kind, value in lines}


@pytest.fixture
async def agent():
    """Start an agent with the objects of a recording, given as text."""
    transports = []

    async def start(text):
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Agent(recording(text)), ("127.0.0.1", 0)
        )
        transports.append(transport)
        return protocol

    yield start
    for transport in transports:
        transport.close()


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
        end = time.monotonic() + 60
        while not log.exists() or "NET-SNMP version" not in log.read_text():
            if self.process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"snmpd did not start: {log.read_text() if log.exists() else ''}")
            time.sleep(0.02)

    def stop(self, how=signal.SIGKILL) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, how)
            self.process.wait(60)
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
