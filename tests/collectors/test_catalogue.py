"""Undocumented is red: what any collector or case writes stands in the catalogue, with unit, type and meaning."""

import asyncio
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from collectors.host import COLLECTORS, DEFAULT, Roots
from collectors.linereader import decode
from collectors.point import Point
from collectors.result import Reason, Result, Status, to_point
from configs.plugin import find

# measurements that collectors of this host do not write
ELSEWHERE = ("pantau_", "internal_", "interface", "device")
# no cases but the real servers, whose tests look into the catalogue as well
OF_SERVERS = ("mysql", "postgresql", "redis")
ROOT = Path(__file__).parents[2]
EXPECTED = sorted([*(ROOT / "tests/cases").glob("*/*/expected.lp"), *(ROOT / "tests/cases").glob("snmp/*.lp")])


def own(file):
    """The points of a case whose names are Pantau's: what a textfile holds is named by whoever wrote it."""
    points = decode(file.read_bytes(), now=0).points
    return [p for p in points if p.measurement == "textfile" or file.parts[-3] != "textfile"]


def test_the_cases_write_nothing_unknown(missing):
    assert EXPECTED
    assert [wrong for file in EXPECTED for wrong in missing(own(file))] == []


@pytest.mark.parametrize("name", COLLECTORS)
def test_this_host_writes_nothing_unknown(missing, name):
    plugin, shape = find("collector", name, COLLECTORS)
    everything = {
        "cpu": {"collect_cpu_time": True, "report_active": True},
        "mem": {"collect_extended": True},
        "kernel": {"collect": ("ksm", "psi")},
        "exec": {"commands": {"benar": ("true",)}},
        "procstat": {"exe": ("python",)},
        "nstat": {"fields": ("*",)},
        "interrupts": {"percpu": True},
    }
    collector = plugin(shape(**everything.get(name, {})), Roots())

    async def twice():
        return [*await collector.collect(0), *await collector.collect(10_000_000_000)]

    try:
        points = asyncio.run(twice())
    except OSError:
        # this host lacks what it reads: then the cases or the tests with the real server have asked the catalogue
        assert name not in DEFAULT
        assert name in OF_SERVERS or any(file.parts[-3] == name for file in EXPECTED)
        return
    assert points or name in {"textfile", "container"}
    assert missing(points) == []


def test_a_check_writes_nothing_unknown(missing):
    phases = dict.fromkeys(("dns", "connect", "tls", "first_byte", "transfer"), 0.1)
    result = Result("web", "service/web", Status.UP, Reason.OK, 0, took=0.5, phases=phases)
    assert missing([to_point(result, "http")]) == []


def test_what_is_not_in_the_catalogue_is_noticed(missing):
    wrong = Point("cpu", {"cpu": "cpu0", "colour": "red"}, {"usage_user": 1, "usage_fun": 1.0}, 0)
    assert missing([wrong, Point("weather", {}, {"rain": 1.0}, 0)]) == [
        "cpu: field usage_fun",
        "cpu: tag colour",
        "cpu: usage_user is float, written as int",
        "weather: field rain",
    ]


def test_the_catalogue_promises_nothing_of_hosts_that_no_case_shows(book):
    shown = {(p.measurement, name) for file in EXPECTED for p in own(file) for name in p.fields}
    host = [name for name in book.measurements if not name.startswith((*ELSEWHERE, *OF_SERVERS))]
    never = [
        (measurement, field)
        for measurement in host
        for field in book.measurements[measurement].fields
        if not any(m == measurement and fnmatchcase(name, field) for m, name in shown)
    ]
    assert never == []


def test_a_pattern_tells_of_fields_without_an_entry(book):
    assert book.field("nstat", "TcpRetransSegs").en == "TCP segments sent again"
    assert book.field("nstat", "TcpExtSomethingNew").unit == "number"
    assert book.field("sensors", "temp_alarm").unit == "code"
    assert book.field("sensors", "temp_input").unit == "°C"
    assert book.field("sensors", "noise_input") is None


def test_every_meaning_is_told_in_both_languages_and_they_differ(book):
    words = {}
    for name, entry in book.measurements.items():
        words[name] = (entry.id, entry.en)
        words |= {f"{name} tag {tag}": (told.id, told.en) for tag, told in entry.tags.items()}
        words |= {f"{name} field {field}": (told.id, told.en) for field, told in entry.fields.items()}
    empty = [where for where, (indonesian, english) in words.items() if not indonesian.strip() or not english.strip()]
    same = [where for where, (indonesian, english) in words.items() if indonesian == english]
    assert empty == []
    assert same == []


def test_texts_have_no_unit_and_percentages_are_never_counters(book):
    for entry in book.measurements.values():
        for name, field in entry.fields.items():
            assert (field.type == "text") == (field.unit == "text"), name
            assert not (field.grows and field.unit == "%"), name
