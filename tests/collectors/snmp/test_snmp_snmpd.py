"""Against net-snmp's snmpd: versions and keys, right and wrong, stops and restarts, lost and late packets."""

import asyncio
import gc
import socket
import time
from contextlib import asynccontextmanager
from pathlib import Path

import parts
import pytest

from collectors.result import Reason, Status
from collectors.snmp import Device
from configs.units import Duration

pytestmark = pytest.mark.real
V3 = {
    "version": "3",
    "user": "shaaes",
    "auth": "SHA",
    "auth_key": "authpass12",
    "priv": "AES",
    "priv_key": "privpass12",
}


def now():
    return time.time_ns()


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


async def look(options):
    return await Device(options).poll(now())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        V3,
        {**V3, "user": "sha256aes256", "auth": "SHA256", "priv": "AES256"},
        {**V3, "user": "md5des", "auth": "MD5", "priv": "DES"},
        {"version": "3", "user": "shaonly", "auth": "SHA", "auth_key": "authpass12"},
        {"address": "localhost"},
    ],
    ids=["v2c", "sha-aes", "sha256-aes256", "md5-des", "auth-only", "by-name"],
)
async def test_it_reads_system_and_interfaces(snmpd, options, settings):
    polled = await look(options(port=snmpd.port, **settings))
    assert (polled.result.status, polled.result.detail) == (Status.UP, "")
    device, *interfaces = polled.points
    assert (device.fields["sysName"], device.fields["sysLocation"]) == ("uji-switch", "Ruang server")
    assert device.fields["sysUpTime"] > 0
    loopback = next(point for point in interfaces if point.tags["ifName"] == "lo")
    assert loopback.fields["ifHCInOctets"] > 0
    assert loopback.fields["ifType"] == 24
    assert "ifInOctets" not in loopback.fields
    assert len(interfaces) == device.fields["interfaces"]


@pytest.mark.parametrize(
    ("settings", "reason", "detail"),
    [
        (
            {"community": "salah", "timeout": Duration(0.3)},
            Reason.SNMP_SILENT,
            "no answer, asked 2 times (or to another community)",
        ),
        ({**V3, "user": "siapa"}, Reason.SNMP_AUTH, "wrong user or key"),
        ({**V3, "auth_key": "salahsalah"}, Reason.SNMP_AUTH, "wrong user or key"),
        ({**V3, "auth": "MD5"}, Reason.SNMP_AUTH, "wrong user or key"),
        ({**V3, "priv_key": "salahsalah"}, Reason.SNMP_AUTH, "wrong privacy key or protocol"),
        ({**V3, "priv": "DES"}, Reason.SNMP_AUTH, "wrong privacy key or protocol"),
        ({**V3, "priv": None, "priv_key": None}, Reason.SNMP_AUTH, "may not ask so"),
    ],
    ids=["community", "user", "auth-key", "auth-protocol", "priv-key", "priv-protocol", "level"],
)
async def test_wrong_credentials_are_told_apart_from_silence(snmpd, options, settings, reason, detail):
    given = {key: value for key, value in settings.items() if value is not None}
    polled = await look(options(port=snmpd.port, **given))
    assert (polled.result.status, polled.result.reason) == (Status.DOWN, reason)
    assert detail in polled.result.detail
    assert polled.points == []


async def test_a_community_that_may_see_nothing_is_told(snmpd, options):
    result = (await look(options(port=snmpd.port, community="empty"))).result
    assert (result.status, result.reason) == (Status.DEGRADED, Reason.SNMP_AUTH)


async def test_a_port_where_nobody_listens_is_told_from_silence(options):
    port = parts.free_port(socket.SOCK_DGRAM)
    polled = await look(options(port=port))
    assert (polled.result.status, polled.result.reason) == (Status.DOWN, Reason.SNMP_SILENT)
    assert polled.result.detail == f"127.0.0.1: nothing listens on UDP port {port}"


async def test_one_who_listens_and_never_answers_is_silent(options):
    result = (await look(options(timeout=Duration(0.3)))).result
    assert (result.status, result.reason) == (Status.DOWN, Reason.SNMP_SILENT)
    assert result.detail == "127.0.0.1: no answer, asked 2 times (or to another community)"


async def test_no_secret_is_in_what_a_device_that_does_not_answer_is_told_of(snmpd, options, deaf_port, caplog):
    secrets = {"community": "rahasia-komunitas", "auth_key": "rahasia-masuk", "priv_key": "rahasia-sandi"}
    keys = {key: secrets[key] for key in ("auth_key", "priv_key")}
    told = [
        repr(await look(options(port=port, timeout=Duration(0.3), **given)))
        for port in (snmpd.port, deaf_port, parts.free_port(socket.SOCK_DGRAM))
        for given in ({"community": secrets["community"]}, {**V3, **keys}, {**V3, "auth_key": secrets["auth_key"]})
    ]
    assert all("down" in text for text in told)
    assert [secret for secret in secrets.values() if secret in f"{told} {caplog.text}"] == []


@pytest.mark.parametrize("settings", [{}, V3], ids=["v2c", "v3"])
async def test_a_device_that_stops_and_starts_again(own_snmpd, options, settings):
    device = Device(options(port=own_snmpd.port, **settings))
    assert (await device.poll(now())).result.status is Status.UP
    await asyncio.sleep(1.1)
    assert (await device.poll(now())).result.facts["uptime"] > 1

    await asyncio.to_thread(own_snmpd.stop)
    silent = await device.poll(now())
    assert (silent.result.status, silent.result.reason) == (Status.DOWN, Reason.SNMP_SILENT)

    await asyncio.to_thread(own_snmpd.start)
    back = (await device.poll(now())).result
    assert back.status is Status.UP
    assert back.facts["rebooted"] is True


@pytest.mark.parametrize("forgets", [False, True], ids=["remembers", "forgets"])
async def test_a_restart_between_two_polls_is_no_alarm(own_snmpd, options, forgets):
    device = Device(options(port=own_snmpd.port, **V3))
    assert (await device.poll(now())).result.status is Status.UP
    await asyncio.to_thread(own_snmpd.stop)
    if forgets:
        await asyncio.to_thread(own_snmpd.forget)
    await asyncio.to_thread(own_snmpd.start)
    result = (await device.poll(now())).result
    assert (result.status, result.detail) == (Status.UP, "")


class Relay(asyncio.DatagramProtocol):
    """Passes packets to a device and back, as ``fate`` decides for each answer: None loses it, a number delays it."""

    def __init__(self, port, fate):
        self.port = port
        self.fate = fate
        self.answers = 0

    def connection_made(self, transport):
        self.transport = transport
        self.client = None
        self.behind = {}

    def datagram_received(self, data, sender):
        if sender[1] != self.port:
            self.client = sender
            self.transport.sendto(data, ("127.0.0.1", self.port))
            return
        self.answers += 1
        delay = self.fate(self.answers)
        if delay is not None:
            asyncio.get_running_loop().call_later(delay, self.transport.sendto, data, self.client)


@asynccontextmanager
async def relayed(port, fate):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Relay(port, fate), ("127.0.0.1", 0))
    yield transport.get_extra_info("sockname")[1]
    transport.close()


@pytest.mark.parametrize("settings", [{}, V3], ids=["v2c", "v3"])
async def test_lost_packets_are_asked_for_again(snmpd, options, settings):
    async with relayed(snmpd.port, lambda number: None if number % 4 == 0 else 0) as port:
        polled = await look(options(port=port, timeout=Duration(0.3), retries=3, interval=Duration(60), **settings))
    assert polled.result.status is Status.UP
    assert len(polled.points) > 1


@pytest.mark.parametrize("settings", [{}, V3], ids=["v2c", "v3"])
async def test_late_answers_are_not_taken_for_others(snmpd, options, settings):
    straight = await look(options(port=snmpd.port, **settings))
    async with relayed(snmpd.port, lambda number: 0.25 if number % 5 == 0 else 0) as port:
        polled = await look(options(port=port, timeout=Duration(0.2), retries=3, interval=Duration(60), **settings))
    assert polled.result.status is Status.UP

    def steady(points):
        names = ("ifIndex", "ifType", "ifMtu", "ifPhysAddress", "ifSpeed", "ifOperStatus")
        return [(point.tags["ifName"], [point.fields.get(name) for name in names]) for point in points[1:]]

    assert steady(polled.points) == steady(straight.points)


async def test_a_device_that_stops_answering_in_the_middle_keeps_what_came(snmpd, options):
    async with relayed(snmpd.port, lambda number: 0 if number < 9 else None) as port:
        polled = await look(options(port=port, timeout=Duration(0.5)))
    assert (polled.result.status, polled.result.reason) == (Status.DEGRADED, Reason.LOSS)
    assert len(polled.points) > 1


async def test_two_hundred_polls_leave_no_socket_behind(snmpd, options):
    well = Device(options(port=snmpd.port))
    secret = Device(options(port=snmpd.port, **V3))
    wrong = options(port=snmpd.port, **{**V3, "user": "siapa"})
    closed = options(port=parts.free_port(socket.SOCK_DGRAM), retries=0)
    silent = options(timeout=Duration(0.005), retries=0)
    await well.poll(now())
    await secret.poll(now())
    gc.collect()
    before = descriptors()
    for number in range(50):
        assert (await well.poll(now())).result.status is Status.UP
        assert (await secret.poll(now())).result.status is Status.UP
        await Device(wrong).poll(now())
        await Device(closed if number % 10 else silent).poll(now())
    await parts.wait_until(lambda: descriptors() <= before, what="the end of every socket")
