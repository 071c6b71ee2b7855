"""Columns of IF-MIB become points: every row is kept, each with a name of its own, missing values are not there."""

import pytest

from collectors.point import Point
from collectors.snmp.interfaces import names, points, text

TAGS = {"source": "sw-1", "agent_host": "192.0.2.1", "sysName": "sw"}


def test_a_row_becomes_a_point_of_telegrafs_interface():
    columns = {
        "ifName": {"3": b"Gi0/3"},
        "ifDescr": {"3": b"GigabitEthernet0/3"},
        "ifAlias": {"3": b"uplink ke DC"},
        "ifPhysAddress": {"3": b"\x00\x1b\x21\x00\x00\x0a"},
        "ifOperStatus": {"3": 1},
        "ifHCInOctets": {"3": 2**63 - 1},
        "ifHCOutOctets": {"3": 2**64 - 1},
        "ifSpeed": {"3": 1_000_000_000},
    }
    assert points(columns, TAGS, 5) == [
        Point(
            "interface",
            {**TAGS, "ifName": "Gi0/3", "ifDescr": "GigabitEthernet0/3"},
            {
                "ifIndex": 3,
                "ifOperStatus": 1,
                "ifHCInOctets": 2**63 - 1,
                "ifSpeed": 1_000_000_000,
                "ifAlias": "uplink ke DC",
                "ifPhysAddress": "00:1b:21:00:00:0a",
            },
            5,
        )
    ]


def test_a_restart_that_deals_out_new_indexes_keeps_the_series():
    before = {"ifName": {"1": b"lan", "2": b"wan"}, "ifHCInOctets": {"1": 10, "2": 20}}
    after = {"ifName": {"7": b"wan", "9": b"lan"}, "ifHCInOctets": {"7": 21, "9": 11}}
    series = [
        {point.tags["ifName"]: (point.tags, point.fields["ifHCInOctets"]) for point in points(columns, TAGS, 0)}
        for columns in (before, after)
    ]
    assert {name: tags for name, (tags, _) in series[0].items()} == {
        name: tags for name, (tags, _) in series[1].items()
    }
    assert series[1]["wan"][1] == 21


def test_doubles_lose_nothing():
    columns = {"ifName": {"10": b"port", "2": b"port", "3": b"port", "4": b"other"}}
    assert names(columns) == {"2": "port", "3": "port#3", "4": "other", "10": "port#10"}
    assert len({point.tags["ifName"] for point in points(columns, TAGS, 0)}) == 4


def test_a_double_that_looks_like_our_own_stays_apart():
    assert len(set(names({"ifName": {"1": b"a", "2": b"a#3", "3": b"a"}}).values())) == 3


def test_without_a_name_the_description_serves_then_the_mac_then_the_index():
    columns = {
        "ifName": {"1": b"", "2": b"\0"},
        "ifDescr": {"1": b"eth0", "2": b""},
        "ifPhysAddress": {"2": b"\xaa\xbb\xcc\x00\x11\x22", "3": b""},
        "ifOperStatus": {"1": 1, "2": 1, "3": 2},
    }
    assert names(columns) == {"1": "eth0", "2": "aa:bb:cc:00:11:22", "3": "#3"}


def test_a_row_keeps_the_columns_it_has():
    columns = {"ifName": {"1": b"a", "2": b"b"}, "ifOperStatus": {"2": 2}, "ifHCInOctets": {"1": 5}}
    first, second = points(columns, TAGS, 0)
    assert first.fields == {"ifIndex": 1, "ifHCInOctets": 5}
    assert second.fields == {"ifIndex": 2, "ifOperStatus": 2}


def test_each_row_has_its_own_width_of_counter():
    columns = {
        "ifName": {"1": b"new", "2": b"old"},
        "ifHCInOctets": {"1": 2**40},
        "ifInOctets": {"1": 2**40 % 2**32, "2": 77},
    }
    new, old = points(columns, TAGS, 0)
    assert new.fields == {"ifIndex": 1, "ifHCInOctets": 2**40}
    assert old.fields == {"ifIndex": 2, "ifInOctets": 77}


def test_a_zero_is_a_value():
    (point,) = points({"ifName": {"1": b"a"}, "ifHCInOctets": {"1": 0}}, TAGS, 0)
    assert point.fields["ifHCInOctets"] == 0


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"lantai 2", "lantai 2"),
        ("lantai é".encode(), "lantai é"),
        (b"lantai \xe9", "lantai é"),
        (b"lantai \x81\xff", "6c616e7461692081ff"),
        (b"port 1\0\0", "port 1"),
        (b" two\r\nlines\t ", "two lines"),
        (b"", ""),
        (None, ""),
        ("1.3.6.1", "1.3.6.1"),
        (7, "7"),
    ],
)
def test_text_is_read_whatever_its_bytes_are(raw, shown):
    assert text(raw) == shown


def test_an_alias_that_is_no_text_does_not_cost_the_row():
    (point,) = points({"ifName": {"1": b"a"}, "ifAlias": {"1": b"\x81\x00"}}, TAGS, 0)
    assert point.fields == {"ifIndex": 1, "ifAlias": "8100"}
