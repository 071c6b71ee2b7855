"""What a poll says of a device that answers well, badly or not at all."""

import asyncio
import errno
import os
import socket
import time

import pytest

from collectors.result import Reason, Status
from collectors.snmp import Device
from collectors.snmp.interfaces import COLUMNS, FALLBACKS, NAMES, NUMBERS
from collectors.snmp.session import Denied, Garbled
from configs.units import Duration

NOW = 1_700_000_000_123_000_000
TWO_PORTS = {NAMES["ifDescr"]: {"1": b"eth0", "2": b"eth1"}, NAMES["ifName"]: {"1": b"e0", "2": b"e1"}}


async def test_a_device_that_answers_is_up(options, fake):
    fake.columns = {**TWO_PORTS, NUMBERS["ifOperStatus"]: {"1": 1, "2": 2}}
    polled = await Device(options(), fake).poll(NOW)
    result = polled.result
    assert (result.check, result.subject, result.at) == ("snmp/sw-1", "device/sw-1", NOW // 1_000_000)
    assert (result.status, result.reason) == (Status.UP, Reason.OK)
    assert result.facts == {
        "address": "127.0.0.1",
        "interfaces": 2,
        "sysName": "sw-lantai-2",
        "uptime": 3600.0,
        "rebooted": False,
    }
    device, first, second = polled.points
    assert (device.measurement, device.tags, device.time) == (
        "device",
        {"source": "sw-1", "agent_host": "127.0.0.1"},
        NOW,
    )
    assert device.fields == {
        "sysDescr": "Switch 24",
        "sysObjectID": "1.3.6.1.4.1.9.1.1",
        "sysName": "sw-lantai-2",
        "sysUpTime": 3600.0,
        "interfaces": 2,
    }
    assert first.tags["sysName"] == "sw-lantai-2"
    assert (second.measurement, second.tags["ifName"], second.fields["ifOperStatus"]) == ("interface", "e1", 2)


async def test_the_secret_is_used_and_never_shown(options, fake):
    polled = await Device(options(community="sangat-rahasia"), fake).poll(NOW)
    assert fake.credentials.community == "sangat-rahasia"
    assert "sangat-rahasia" not in f"{polled} {fake.credentials!r} {fake.credentials} {options()!r}"


async def test_32_bit_counters_are_asked_for_only_where_rows_lack_the_64_bit_ones(options, fake):
    octets, narrow = NUMBERS["ifHCInOctets"], FALLBACKS["ifHCInOctets"][1]
    fake.columns = {**TWO_PORTS, **{NUMBERS[wide]: {"1": 1, "2": 2} for wide in FALLBACKS}}
    await Device(options(), fake).poll(NOW)
    assert not set(fake.asked) & {oid for _, oid in FALLBACKS.values()}
    fake.columns |= {octets: {"1": 1}, narrow: {"1": 1, "2": 22}}
    polled = await Device(options(), fake).poll(NOW)
    assert [point.fields.get("ifInOctets") for point in polled.points[1:]] == [None, 22]


@pytest.mark.parametrize("call", ["open", "get"])
async def test_a_silent_device_is_down(options, fake, silence, call):
    fake.fails[call] = silence
    polled = await Device(options(), fake).poll(NOW)
    assert polled.points == []
    assert (polled.result.status, polled.result.reason) == (Status.DOWN, Reason.SNMP_SILENT)
    assert polled.result.detail == "127.0.0.1: no answer, asked 3 times (or to another community)"
    assert "uptime" not in polled.result.facts


@pytest.mark.parametrize(
    ("error", "reason"), [(Denied("wrong user"), Reason.SNMP_AUTH), (Garbled("not understood"), Reason.PROTOCOL)]
)
async def test_a_device_that_refuses_is_down_for_its_own_reason(options, fake, error, reason):
    fake.fails["get"] = error
    result = (await Device(options(), fake).poll(NOW)).result
    assert (result.status, result.reason, result.detail) == (Status.DOWN, reason, f"127.0.0.1: {error}")


async def test_a_device_that_shows_nothing_is_alive_but_not_well(options, fake):
    fake.scalars = {}
    polled = await Device(options(), fake).poll(NOW)
    assert (polled.result.status, polled.result.reason) == (Status.DEGRADED, Reason.SNMP_AUTH)
    assert "neither system group nor interfaces" in polled.result.detail


async def test_a_device_that_hides_its_system_group_still_shows_its_interfaces(options, fake):
    fake.scalars = {}
    fake.columns = TWO_PORTS
    polled = await Device(options(), fake).poll(NOW)
    assert polled.result.status is Status.UP
    assert "sysName" not in polled.result.facts
    assert [point.measurement for point in polled.points] == ["device", "interface", "interface"]
    assert polled.points[0].fields == {"interfaces": 2}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (socket.EAI_NONAME, Reason.NAME_NOT_FOUND),
        (socket.EAI_NODATA, Reason.NAME_NOT_FOUND),
        (socket.EAI_AGAIN, Reason.RESOLVER_FAILED),
    ],
)
async def test_a_name_that_does_not_resolve_is_told_so(options, fake, monkeypatch, code, reason):
    async def unknown(*_, **__):
        raise socket.gaierror(code, "what the resolver said")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    result = (await Device(options(address="sw-1.invalid"), fake).poll(NOW)).result
    assert (result.status, result.reason) == (Status.DOWN, reason)
    assert result.detail == "sw-1.invalid: what the resolver said"


@pytest.mark.parametrize("code", [errno.ENETUNREACH, errno.EHOSTUNREACH])
async def test_a_device_that_the_network_cannot_reach_is_told_so(options, fake, silence, monkeypatch, code):
    async def no_route(*_, **__):
        raise OSError(code, "")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_datagram_endpoint", no_route)
    fake.fails["get"] = silence
    result = (await Device(options(), fake).poll(NOW)).result
    assert (result.status, result.reason) == (Status.DOWN, Reason.UNREACHABLE)
    assert result.detail == f"127.0.0.1: {os.strerror(code).lower()}"


async def test_a_secret_that_cannot_be_read_is_not_held_against_the_device(options, fake, tmp_path):
    device = Device(options(), fake)
    (tmp_path / "secrets" / "community").unlink()
    result = (await device.poll(NOW)).result
    assert (result.status, result.reason) == (Status.UNKNOWN, Reason.BUG)
    assert "cannot read the secret file" in result.detail
    (tmp_path / "secrets" / "community").write_text("geheim")
    assert (await device.poll(NOW)).result.status is Status.UP


async def test_half_a_table_is_kept(options, fake, silence):
    fake.columns = {**TWO_PORTS, NUMBERS["ifOperStatus"]: {"1": 1, "2": 1}}
    fake.fails[NUMBERS["ifInErrors"]] = silence
    polled = await Device(options(), fake).poll(NOW)
    assert (polled.result.status, polled.result.reason) == (Status.DEGRADED, Reason.LOSS)
    assert polled.result.detail == "9 of 20 columns of interfaces: no answer, asked 3 times"
    assert [point.fields["ifOperStatus"] for point in polled.points[1:]] == [1, 1]


async def test_a_description_that_did_not_come_costs_no_row(options, fake, silence):
    fake.columns = TWO_PORTS
    fake.fails[COLUMNS["ifAlias"]] = silence
    polled = await Device(options(), fake).poll(NOW)
    assert polled.result.detail == "19 of 20 columns of interfaces: no answer, asked 3 times"
    assert len(polled.points) == 3


async def test_rows_without_their_names_are_not_written(options, fake, silence):
    fake.columns = TWO_PORTS
    fake.fails[NAMES["ifPhysAddress"]] = silence
    polled = await Device(options(), fake).poll(NOW)
    assert [point.measurement for point in polled.points] == ["device"]


async def test_a_slow_device_ends_its_poll_in_four_fifths_of_its_interval(options, fake):
    async def crawl(column):
        await asyncio.sleep(0.15)
        return await type(fake).walk(fake, column)

    fake.columns = TWO_PORTS
    fake.walk = crawl
    start = time.monotonic()
    polled = await Device(options(interval=Duration(2.5)), fake).poll(NOW)
    assert 1.9 < time.monotonic() - start < 10
    assert (polled.result.status, polled.result.reason) == (Status.DEGRADED, Reason.SLOW)
    assert len(polled.points) == 3


async def test_a_table_without_an_end_is_told(options, fake):
    fake.columns = TWO_PORTS
    fake.endless = {NAMES["ifName"]}
    polled = await Device(options(), fake).poll(NOW)
    assert polled.result.status is Status.UP
    assert polled.result.facts["walk_incomplete"] is True
    assert len(polled.points) == 3


async def test_a_session_is_kept_while_all_is_well_and_made_anew_when_not(options, fake, silence):
    device = Device(options(), fake)
    for _ in range(3):
        await device.poll(NOW)
    assert fake.connects == 1
    fake.fails["get"] = silence
    await device.poll(NOW)
    assert fake.connects == 2  # within the same poll, before it believes that the device is silent
    del fake.fails["get"]
    assert (await device.poll(NOW)).result.status is Status.UP
    assert fake.connects == 3


async def test_a_restart_of_the_device_is_seen(options, fake):
    device, minute = Device(options(), fake), 60_000_000_000
    seen = []
    for uptime in (360_000, 366_000, 500, 0, 6_500):
        fake.scalars["1.3.6.1.2.1.1.3.0"] = uptime
        facts = (await device.poll(NOW + len(seen) * minute)).result.facts
        seen.append(facts.get("rebooted"))
    assert seen == [False, False, True, None, False]  # a zero is "unknown", not a start


async def test_a_full_counter_of_497_days_is_no_restart(options, fake):
    device = Device(options(), fake)
    fake.scalars["1.3.6.1.2.1.1.3.0"] = 2**32 - 1000
    await device.poll(NOW)
    fake.scalars["1.3.6.1.2.1.1.3.0"] = 5000
    facts = (await device.poll(NOW + 60_000_000_000)).result.facts
    assert (facts["uptime"], facts["rebooted"]) == (50.0, False)


async def test_a_device_that_does_not_know_its_uptime_has_no_such_field(options, fake):
    del fake.scalars["1.3.6.1.2.1.1.3.0"]
    polled = await Device(options(), fake).poll(NOW)
    assert "sysUpTime" not in polled.points[0].fields
    assert "uptime" not in polled.result.facts


async def test_doubles_are_warned_of_once(options, fake, caplog):
    fake.columns = {**TWO_PORTS, NAMES["ifName"]: {"1": b"p", "2": b"p"}}
    device = Device(options(), fake)
    for _ in range(3):
        await device.poll(NOW)
    assert [record.message for record in caplog.records] == [
        "sw-1: interfaces without a name of their own are called p#2"
    ]
