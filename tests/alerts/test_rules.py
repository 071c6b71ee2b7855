"""Rules over stored series: thresholds with hysteresis, silent hosts, and a store that cannot be read."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from alerts.rules import Rule, evaluate
from alerts.state import of_check, step
from collectors.point import Point
from collectors.result import Reason, Result, Status
from configs.read import SettingsError, Source
from configs.units import Duration
from server.store import Latest, StoreUnavailable

UP, DEGRADED, DOWN, UNKNOWN = Status.UP, Status.DEGRADED, Status.DOWN, Status.UNKNOWN
NOW = 1_780_000_000_000
DISK = Rule("disk", measurement="disk", field="used_percent", above=90.0, recover=85.0, by=("path",))
AGENT = Rule("silent", type="absence", window=Duration(60))


class Shelf:
    """A store that holds what it is given."""

    def __init__(self, *points):
        self.points, self.asked = points, []

    async def latest(self, measurement, fields, *, since, where=None):
        self.asked.append((measurement, list(fields), since, where))
        return [
            Latest(point.tags, point.fields, point.time)
            for point in self.points
            if point.measurement == measurement and point.time >= since
        ]


class Away:
    async def latest(self, *_arguments, **_more):
        raise StoreUnavailable("database is locked")


def disk(percent, host="srv-1", path="/var", age=0):
    return Point("disk", {"host": host, "path": path}, {"used_percent": percent}, (NOW - age * 1000) * 1_000_000)


def believed(rule, subject, status):
    """A state of a rule whose hard status is ``status``."""
    state = step(None, Result(rule.check, subject, UP, Reason.OK, NOW - 60_000), rule.policy).state
    return replace(state, status=status)


async def look(rule, store=None, known=(), seen=None, listening_since=0):
    results = await evaluate(
        rule,
        store or Shelf(),
        known=known,
        seen=seen or {},
        at=NOW,
        listening_since=listening_since,
        unavailable=StoreUnavailable,
    )
    assert all(result.check == rule.check and result.at == NOW for result in results)
    return {result.subject: result.status for result in results}, results


async def test_subjects_are_hosts_and_the_parts_that_by_names():
    store = Shelf(disk(95.0), disk(10.0, path="/"), disk(50.0, host="srv-2"))
    found, results = await look(DISK, store)
    assert found == {"host/srv-1/path=/var": DEGRADED, "host/srv-1/path=/": UP, "host/srv-2/path=/var": UP}
    assert results[0].reason is Reason.THRESHOLD
    assert results[0].detail == "disk used_percent = 95 (limit > 90)"
    assert results[0].facts == {"used_percent": 95.0}
    assert store.asked == [("disk", ["used_percent"], (NOW - 300_000) * 1_000_000, None)]


async def test_series_that_fall_together_count_by_the_worst():
    rule = Rule("low", measurement="disk", field="used_percent", below=20.0)
    found, _ = await look(rule, Shelf(disk(10.0, path="/"), disk(50.0)))
    assert found == {"host/srv-1": DEGRADED}


async def test_series_without_the_host_or_a_tag_of_by_are_left_out():
    nameless = Point("disk", {"path": "/"}, {"used_percent": 99.0}, NOW * 1_000_000)
    text = Point("disk", {"host": "a", "path": "/"}, {"used_percent": "voll"}, NOW * 1_000_000)
    assert (await look(DISK, Shelf(nameless, text)))[0] == {}


@pytest.mark.parametrize(
    ("hard", "value", "status"),
    [
        (UP, 89.0, UP),
        (UP, 90.0, UP),
        (UP, 90.1, DEGRADED),
        (DEGRADED, 89.0, DEGRADED),
        (DEGRADED, 85.1, DEGRADED),
        (DEGRADED, 85.0, UP),
        (UNKNOWN, 89.0, UP),
    ],
)
async def test_it_is_over_only_when_the_value_is_back_at_recover(hard, value, status):
    known = [believed(DISK, "host/srv-1/path=/var", hard)]
    assert (await look(DISK, Shelf(disk(value)), known))[0] == {"host/srv-1/path=/var": status}


@pytest.mark.parametrize(("value", "status"), [(11.0, DEGRADED), (14.9, DEGRADED), (15.0, UP)])
async def test_hysteresis_below_a_limit(value, status):
    rule = Rule("free", measurement="disk", field="used_percent", below=10.0, recover=15.0)
    known = [believed(rule, "host/srv-1", DEGRADED)]
    assert (await look(rule, Shelf(disk(value)), known))[0] == {"host/srv-1": status}


async def test_a_series_that_went_silent_is_unknown_never_up():
    known = [believed(DISK, "host/srv-1/path=/var", DEGRADED), believed(DISK, "host/srv-1/path=/", UP)]
    found, results = await look(DISK, Shelf(disk(95.0, age=301)), known)
    assert set(found.values()) == {UNKNOWN}
    assert {result.reason for result in results} == {Reason.SILENT}


async def test_a_store_that_cannot_be_read_makes_every_known_subject_unknown():
    known = [believed(DISK, "host/srv-1/path=/var", DEGRADED)]
    found, [result] = await look(DISK, Away(), known)
    assert found == {"host/srv-1/path=/var": UNKNOWN}
    assert result.reason is Reason.STORE_UNREADABLE


async def test_a_silent_host_is_down():
    found, _ = await look(AGENT, seen={"a": NOW - 60_000, "b": NOW - 60_001, "c": NOW + 5})
    assert found == {"host/a": UP, "host/b": DOWN, "host/c": UP}


async def test_silence_before_the_centre_listened_is_not_held_against_a_host():
    seen = {"a": NOW - 3_600_000}
    assert (await look(AGENT, seen=seen, listening_since=NOW - 30_000))[0] == {"host/a": UNKNOWN}
    assert (await look(AGENT, seen=seen, listening_since=NOW - 61_000))[0] == {"host/a": DOWN}


async def test_a_host_that_is_expected_and_never_wrote_is_down_after_a_while():
    rule = replace(AGENT, hosts=("a", "baru"))
    seen = {"a": NOW, "other": NOW}
    assert (await look(rule, seen=seen, listening_since=NOW - 10_000))[0] == {"host/a": UP, "host/baru": UNKNOWN}
    assert (await look(rule, seen=seen, listening_since=NOW - 90_000))[0] == {"host/a": UP, "host/baru": DOWN}


async def test_a_host_that_was_believed_in_is_not_forgotten():
    known = [believed(AGENT, "host/lama", UP)]
    assert (await look(AGENT, known=known))[0] == {"host/lama": DOWN}


async def test_for_is_the_confirmation_of_a_rule(centre):
    rule = replace(DISK, hold=Duration(300), by=())
    centre.policy = rule.policy
    for minute, percent in enumerate([50, 95, 95, 80, 95, 95, 95, 95, 95, 95]):
        at = NOW + minute * 60_000
        known = await centre.database.read(lambda tx: of_check(tx, rule.check))
        store = Shelf(Point("disk", {"host": "a"}, {"used_percent": percent}, at * 1_000_000))
        for result in await evaluate(
            rule, store, known=known, seen={}, at=at, listening_since=0, unavailable=StoreUnavailable
        ):
            observed = await centre.judge().observe(result)
    assert observed.flip is not None
    assert observed.flip.at == NOW + 4 * 60_000
    [one] = await centre.open()
    assert (one.check, one.subject, one.severity) == ("rule/disk", "host/a", "high")


def read(text):
    source = Source("[[rule]]\n" + text, Path("server.toml"))
    return source.parse(Rule, source.tree["rule"][0], ("rule", 0))


def test_a_rule_is_written_with_the_words_of_its_readers():
    rule = read(
        'id = "disk"\nmeasurement = "disk"\nfield = "used_percent"\nwhere = { fstype = "ext4" }\nby = ["path"]\nabove = 90\n'
        'recover = 85\nfor = "5m"\narti = "Disk penuh"\ndampak = "Semua"\nlangkah = "Hapus log."\nseverity = "medium"\n'
    )
    assert (rule.hold, rule.meaning, rule.impact, rule.todo) == (300, "Disk penuh", "Semua", "Hapus log.")
    assert (rule.policy.hold, rule.policy.severity, rule.policy.counts) == (300, "medium", False)
    assert read('id = "a"\ntype = "absence"').policy.counts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('id = "a"\nabove = 1', "needs measurement and field"),
        ('id = "a"\nmeasurement = "m"\nfield = "f"', "needs either above or below"),
        ('id = "a"\nmeasurement = "m"\nfield = "f"\nabove = 1\nbelow = 0', "needs either above or below"),
        ('id = "a"\nmeasurement = "m"\nfield = "f"\nabove = 1\nrecover = 2', "wrong side"),
        ('id = "a"\nmeasurement = "m"\nfield = "f"\nabove = 1\nhosts = ["x"]', "absence rules"),
        ('id = "a"\ntype = "absence"\nabove = 1', "takes no above"),
        ('id = "a"\ntype = "absence"\nwindow = "0s"', "longer than nothing"),
        ('id = "a"\nlangkahh = "x"', "did you mean 'langkah'"),
    ],
)
def test_a_rule_that_cannot_be_evaluated_is_refused(text, message):
    with pytest.raises(SettingsError, match=message):
        read(text)
