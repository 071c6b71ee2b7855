"""Rules over stored series: thresholds with hysteresis, silent hosts, and a store that cannot be read."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from alerts.rules import RULES, Evidence
from alerts.rules.planned import RuleTable, plan, read_rules
from alerts.state import step
from alerts.state_rows import all_states
from collectors.point import Point
from collectors.result import Reason, Result, Status
from configs.plugin import find
from configs.read import SettingsError, Source
from server.store import Latest, StoreUnavailable

UP, DEGRADED, DOWN, UNKNOWN = Status.UP, Status.DEGRADED, Status.DOWN, Status.UNKNOWN
NOW = 1_780_000_000_000
SERVER = Path("server.toml")


def rule(**table):
    """A rule as its table of settings plans it."""
    return plan(Source("[[rule]]\n", SERVER), table, ("rule", 0))


def disk_rule(**table):
    return rule(measurement="disk", field="used_percent", **table)


DISK = disk_rule(id="disk", above=90.0, recover=85.0, by=["path"])
AGENT = rule(id="silent", type="absence", window="60s")


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


def believed(planned, subject, status):
    """A state of a rule whose hard status is ``status``."""
    state = step(
        None, Result(planned.check, subject, UP, Reason.OK, NOW - 60_000), planned.policy, steady=NOW - 60_000
    ).state
    return replace(state, status=status)


async def look(planned, store=None, known=(), seen=None, listening_since=0, steady=NOW):
    states = {state.subject: state for state in known}
    results = await planned.evaluate(Evidence(NOW, steady, store or Shelf(), states, seen or {}, listening_since))
    assert all(result.check == planned.check and result.at == NOW for result in results)
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
    low = disk_rule(id="low", below=20.0)
    found, _ = await look(low, Shelf(disk(10.0, path="/"), disk(50.0)))
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
    free = disk_rule(id="free", below=10.0, recover=15.0)
    known = [believed(free, "host/srv-1", DEGRADED)]
    assert (await look(free, Shelf(disk(value)), known))[0] == {"host/srv-1": status}


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


async def test_silence_is_counted_in_steady_time_whatever_the_wall_clock_says():
    found, results = await look(AGENT, seen={"a": 5_000, "b": 4_000}, listening_since=0, steady=64_500)
    assert found == {"host/a": UP, "host/b": DOWN}
    assert [result.detail for result in results] == ["last data 60 s ago", "last data 60 s ago"]


async def test_silence_before_the_centre_listened_is_not_held_against_a_host():
    seen = {"a": NOW - 3_600_000}
    assert (await look(AGENT, seen=seen, listening_since=NOW - 30_000))[0] == {"host/a": UNKNOWN}
    assert (await look(AGENT, seen=seen, listening_since=NOW - 61_000))[0] == {"host/a": DOWN}


async def test_a_host_that_is_expected_and_never_wrote_is_down_after_a_while():
    expected = rule(id="silent", type="absence", window="60s", hosts=["a", "baru"])
    seen = {"a": NOW, "other": NOW}
    assert (await look(expected, seen=seen, listening_since=NOW - 10_000))[0] == {"host/a": UP, "host/baru": UNKNOWN}
    assert (await look(expected, seen=seen, listening_since=NOW - 90_000))[0] == {"host/a": UP, "host/baru": DOWN}


async def test_a_host_that_was_believed_in_is_not_forgotten():
    known = [believed(AGENT, "host/lama", UP)]
    assert (await look(AGENT, known=known))[0] == {"host/lama": DOWN}


async def test_for_is_the_confirmation_of_a_rule(centre):
    lasting = disk_rule(id="disk", above=90.0, recover=85.0, **{"for": "5m"})
    centre.policy = lasting.policy
    for number, percent in enumerate([50, 95, 95, 80, *[95] * 11]):
        centre.clock.now = at = NOW + number * 30_000
        known = await centre.database.read(all_states)
        store = Shelf(Point("disk", {"host": "a"}, {"used_percent": percent}, at * 1_000_000))
        for result in await lasting.evaluate(Evidence(at, at, store, {state.subject: state for state in known})):
            observed = await centre.observe(result)
    assert observed.flip is not None
    assert observed.flip.at == NOW + 4 * 30_000
    [one] = await centre.open()
    assert (one.check, one.subject, one.severity) == ("rule/disk", "host/a", "high")


def written(text):
    source = Source("[[rule]]\n" + text, SERVER)
    return read_rules(source, source.tree["rule"])


def test_a_rule_is_written_with_the_words_of_its_readers():
    planned = written(
        'id = "disk"\nmeasurement = "disk"\nfield = "used_percent"\nwhere = { fstype = "ext4" }\nby = ["path"]\nabove = 90\n'
        'recover = 85\nfor = "5m"\narti = "Disk penuh"\ndampak = "Semua"\nlangkah = "Hapus log."\nseverity = "medium"\n'
    )["disk"]
    table = planned.table
    assert (table.hold, table.meaning, table.impact, table.todo) == (300, "Disk penuh", "Semua", "Hapus log.")
    assert (planned.policy.hold, planned.policy.severity, planned.policy.counts) == (300, "medium", False)
    assert written('id = "a"\ntype = "absence"')["a"].policy.counts


async def test_status_says_what_a_broken_rule_means_whatever_its_kind_says():
    low = disk_rule(id="disk", above=90.0, status="down")
    silent = rule(id="silent", type="absence", window="60s", status="degraded")
    assert (await look(low, Shelf(disk(95.0))))[0] == {"host/srv-1": DOWN}
    assert (await look(silent, seen={"a": NOW - 60_001}))[0] == {"host/a": DEGRADED}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('id = "a"\nabove = 1', "'measurement' is missing"),
        ('id = "a"\nmeasurement = "m"\nabove = 1', "'field' is missing"),
        ('id = "a"\nmeasurement = ""\nfield = "f"\nabove = 1', "'measurement' in"),
        ('id = "a"\nmeasurement = "m"\nfield = "f"', "needs either above or below"),
        ('id = "a"\nmeasurement = "m"\nfield = "f"\nabove = 1\nbelow = 0', "needs either above or below"),
        ('id = "a"\nmeasurement = "m"\nfield = "f"\nabove = 1\nrecover = 2', "wrong side"),
        ('id = "a"\nmeasurement = "m"\nfield = "f"\nabove = 1\nhosts = ["x"]', "absence rules"),
        ('id = "a"\nmeasurement = "m"\nfield = "f"\nabove = 1\nwindow = "0s"', "window must be longer than nothing"),
        ('id = "a"\ntype = "absence"\nabove = 1', "takes no above"),
        ('id = "a"\ntype = "absence"\nwindow = "0s"', "window must be longer than nothing"),
        ('id = "a"\ntype = "absence"\ninterval = "0s"', "interval must be longer than nothing"),
        ('id = "a"\nlangkahh = "x"', "did you mean 'langkah'"),
        ('id = "a"\ntype = "absense"', "unknown rule 'absense'; known: absence, threshold"),
        ('id = "a"\ntype = ["absence"]', "'type' in"),
        ('id = "a"\ntype = "absence"\n[[rule]]\nid = "a"\ntype = "absence"', "'a' is used twice"),
    ],
)
def test_a_rule_that_cannot_be_evaluated_is_refused(text, message):
    with pytest.raises(SettingsError, match=message):
        written(text)


class Strange:
    """A kind of rule that somebody else wrote; its store is away."""

    status = DEGRADED
    counts = False

    def __init__(self, target, options):
        self.target, self.options = target, options

    async def evaluate(self, evidence):
        await evidence.store.latest("m", ["f"], since=0)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of Strange."""

    weight: int


async def test_a_third_party_s_kind_is_named_by_its_path_and_needs_no_care_for_a_store_that_is_away():
    strange = rule(id="odd", type=f"{__name__}:Strange", weight=7)
    assert (strange.rule.options.weight, strange.rule.target.check) == (7, "rule/odd")
    found, [result] = await look(strange, Away(), [believed(strange, "host/a", UP)])
    assert found == {"host/a": UNKNOWN}
    assert (result.reason, result.detail) == (Reason.STORE_UNREADABLE, "database is locked")


@pytest.mark.parametrize("kind", sorted(RULES))
def test_a_kind_of_rule_keeps_its_own_settings_apart_from_those_of_every_rule(kind):
    plugin, options = find("rule", kind, RULES)
    assert options.__struct_config__.frozen
    assert options.__struct_config__.forbid_unknown_fields
    assert not set(options.__struct_encode_fields__) & set(RuleTable.__struct_encode_fields__)
    assert plugin.status in {DEGRADED, DOWN}


LOAD = {"id": "load", "measurement": "system", "field": "load1", "above": 8.0}
ENDS = rule(**LOAD, recovery={"field": "load15", "below": 4.0})


def load(now, lately=None):
    fields = {"load1": now} | ({} if lately is None else {"load15": lately})
    return Point("system", {"host": "a"}, fields, NOW * 1_000_000)


@pytest.mark.parametrize(
    ("now", "lately", "status"),
    [(9.0, 1.0, DEGRADED), (7.0, 5.0, DEGRADED), (7.0, 4.0, DEGRADED), (7.0, 3.9, UP), (7.0, None, DEGRADED)],
)
async def test_a_problem_is_over_when_its_recovery_is_true_as_well(now, lately, status):
    known = [believed(ENDS, "host/a", DEGRADED)]
    statuses, [result] = await look(ENDS, Shelf(load(now, lately)), known)
    assert statuses == {"host/a": status}
    assert ("must be < 4" in result.detail) == (status is DEGRADED and now <= 8)


async def test_what_is_well_needs_no_recovery():
    shelf = Shelf(load(7.0, 99.0))
    assert (await look(ENDS, shelf, [believed(ENDS, "host/a", UP)]))[0] == {"host/a": UP}
    assert len(shelf.asked) == 1


async def test_a_series_that_is_gone_is_told_apart_from_a_host_that_is_silent():
    plain = rule(**LOAD)
    known = [believed(plain, "host/a", UP)]
    assert plain.policy.blind_for == 3600
    _, [gone] = await look(plain, known=known, seen={"a": NOW - 1000})
    _, [silent] = await look(plain, known=known, seen={"a": NOW - 301_000})
    _, [never] = await look(plain, known=known)
    assert [one.reason for one in (gone, silent, never)] == [Reason.NO_DATA, Reason.SILENT, Reason.SILENT]
    assert {one.status for one in (gone, silent, never)} == {UNKNOWN}


async def test_no_data_for_that_somebody_asked_for_counts_whoever_is_silent():
    asked = rule(**LOAD, no_data_for="10m", by=["cpu"])
    assert asked.policy.blind_for == 600
    _, [silent] = await look(asked, known=[believed(asked, "host/a/cpu=0", UP)])
    assert silent.reason is Reason.NO_DATA
    assert DISK.policy.blind_for is None  # parts come and go
    assert rule(**LOAD, no_data_for="0s").policy.blind_for is None
    assert AGENT.policy.blind_for is None
