"""Agents that answer oddly: too much, too little, in circles, with errors, with what is no SNMP."""

from functools import partial
from itertools import cycle

import pytest

from collectors.result import Reason, Status
from collectors.snmp import Device
from collectors.snmp.gufo import GufoSession
from collectors.snmp.interfaces import COLUMNS
from configs.units import Duration

NOW = 1_700_000_000_000_000_000
TOO_BIG, GENERAL_ERROR = 1, 5
PORTS = 30


def switch(alias="lantai"):
    """Write a recording of a switch with 30 ports."""
    rows = {
        COLUMNS["ifDescr"]: "4|port {0}",
        COLUMNS["ifName"]: "4|p{0}",
        COLUMNS["ifPhysAddress"]: "4x|02005e1000{0:02x}",
        COLUMNS["ifOperStatus"]: "2|1",
        COLUMNS["ifHCInOctets"]: "70|{0}00",
        COLUMNS["ifHCOutOctets"]: "70|{0}01",
        COLUMNS["ifHCInUcastPkts"]: "70|{0}",
        COLUMNS["ifHCOutUcastPkts"]: "70|{0}",
        COLUMNS["ifAlias"]: f"4|{alias}",
    }
    lines = ["1.3.6.1.2.1.1.5.0|4|sw"]
    lines += [f"{oid}.{port}|{value.format(port)}" for oid, value in rows.items() for port in range(1, PORTS + 1)]
    return "\n".join(lines)


def column(name):
    return tuple(int(part) for part in COLUMNS[name].split("."))


def within(name, oids):
    return oids[0][: len(column(name))] == column(name)


async def test_a_switch_is_read_in_few_requests(agent, options):
    device = await agent(switch())
    poller = Device(options(port=device.port))
    await poller.poll(NOW)
    device.asked.clear()
    polled = await poller.poll(NOW)
    assert len(polled.points) == 1 + PORTS
    assert len(device.asked) < 2 * len(COLUMNS)  # 30 rows are two answers, a column that is not there is one


@pytest.mark.parametrize("answers", [[], None], ids=["nothing", "the-question"])
async def test_an_agent_to_which_24_rows_are_too_big_is_asked_for_less_from_then_on(agent, options, answers):
    device = await agent(switch())

    def fate(kind, oids, repetitions):
        if kind != "bulk" or repetitions < 10:
            return None
        return ([] if answers == [] else [(oids[0], device.objects[1, 3, 6, 1, 2, 1, 1, 5, 0])]), TOO_BIG

    device.fate = fate
    poller = Device(options(port=device.port))
    for _ in range(2):
        polled = await poller.poll(NOW)
        assert (polled.result.status, polled.result.detail) == (Status.UP, "")
        assert "walk_incomplete" not in polled.result.facts
        assert [point.fields["ifAlias"] for point in polled.points[1:]] == ["lantai"] * PORTS
    assert [repetitions for _, _, repetitions in device.asked].count(24) == 1


async def test_answers_that_are_more_than_the_engine_reads_are_asked_for_in_parts(agent, options):
    device = await agent(switch(alias="x" * 250))
    polled = await Device(options(port=device.port)).poll(NOW)
    assert (polled.result.status, polled.result.detail) == (Status.UP, "")
    assert [point.fields["ifAlias"] for point in polled.points[1:]] == ["x" * 250] * PORTS


async def test_answers_that_are_lost_for_their_length_are_asked_for_in_parts(agent, options):
    device = await agent(switch())
    device.fate = lambda _, __, repetitions: b"" if repetitions == 24 else None  # asyncio sends nothing then
    poller = Device(options(port=device.port, timeout=Duration(0.5)))
    for _ in range(2):
        polled = await poller.poll(NOW)
        assert (polled.result.status, polled.result.detail) == (Status.UP, "")
        assert len(polled.points) == 1 + PORTS
    assert [repetitions for _, _, repetitions in device.asked].count(24) == 2  # one question, asked twice


async def test_an_error_in_one_column_costs_that_column_only(agent, options):
    device = await agent(switch())
    device.fate = lambda kind, oids, _: (
        ([(oids[0], device.objects[(*column("ifName"), 1)])], GENERAL_ERROR) if within("ifHCInOctets", oids) else None
    )
    polled = await Device(options(port=device.port)).poll(NOW)
    assert polled.result.status is Status.UP
    assert polled.result.facts["walk_incomplete"] is True
    assert len(polled.points) == 1 + PORTS
    assert all("ifHCInOctets" not in point.fields and "ifHCOutOctets" in point.fields for point in polled.points[1:])


@pytest.mark.parametrize(
    "rows",
    [[(3, 2, 1)], [(1, 2), (1, 2)], [(1,), (2,), (1,)], [(2, 2)]],
    ids=["backwards", "again", "in-circles", "twice-the-same"],
)
async def test_a_walk_that_does_not_move_on_ends(agent, options, rows):
    device = await agent(switch())
    turns = cycle(rows)
    name = device.objects[(*column("ifName"), 1)]
    device.fate = lambda _, oids, __: (
        [((*column("ifMtu"), row), name) for row in next(turns)] if within("ifMtu", oids) else None
    )
    polled = await Device(options(port=device.port)).poll(NOW)
    assert polled.result.status is Status.UP
    assert polled.result.facts["walk_incomplete"] is True
    assert len(polled.points) == 1 + PORTS
    assert len([oids for _, oids, _ in device.asked if within("ifMtu", oids)]) <= 3


async def test_a_table_without_an_end_is_cut_off(agent, options):
    device = await agent(switch())
    end = device.objects[(*column("ifName"), 1)]

    def more(_, oids, repetitions):
        if not within("ifMtu", oids):
            return None
        start = (*oids[0], 0)[len(column("ifMtu"))]
        return [((*column("ifMtu"), start + step), end) for step in range(1, repetitions + 1)]

    device.fate = more
    polled = await Device(options(port=device.port), partial(GufoSession, most_rows=100)).poll(NOW)
    assert polled.result.facts["walk_incomplete"] is True
    assert polled.result.facts["interfaces"] == 100


async def test_an_answer_to_something_else_is_no_value(agent, options):
    device = await agent(switch())
    strange = (1, 3, 6, 1, 2, 1, 99, 1, 0)
    device.fate = lambda kind, *_: [(strange, device.objects[(*column("ifName"), 1)])] if kind == "get" else None
    polled = await Device(options(port=device.port)).poll(NOW)
    assert polled.points[0].fields == {"interfaces": PORTS}


@pytest.mark.parametrize("junk", [b"hello", b"\x30\x05\x02\x01\x01\x04\x00", bytes(1000)])
async def test_what_is_no_snmp_is_told(agent, options, junk):
    device = await agent(switch())
    device.fate = lambda *_: junk
    polled = await Device(options(port=device.port)).poll(NOW)
    assert (polled.result.status, polled.result.reason) == (Status.DOWN, Reason.PROTOCOL)
    assert polled.points == []


async def test_one_packet_of_junk_costs_nothing(agent, options):
    device = await agent(switch())
    device.fate = lambda *_: b"hello" if len(device.asked) % 7 == 3 else None
    polled = await Device(options(port=device.port)).poll(NOW)
    assert (polled.result.status, polled.result.detail) == (Status.UP, "")
    assert len(polled.points) == 1 + PORTS


async def test_it_is_our_fault_when_this_machine_may_not_ask(options):
    polled = await Device(options(address="255.255.255.255", port=9)).poll(NOW)
    assert (polled.result.status, polled.result.reason) == (Status.UNKNOWN, Reason.BUG)
