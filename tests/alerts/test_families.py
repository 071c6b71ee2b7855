"""Rules of one family are one incident, as bad as the worst of them."""

import random
from collections import Counter

import msgspec
import pytest
from judging import judge_on
from sqlalchemy import event, select

from alerts import incident, tables
from alerts.route import Contact, Route, Via, connect
from alerts.state import Policy
from alerts.subject_info import SubjectInfo
from alerts.tables import StateAway
from collectors.result import Reason, Result, Status

UP, DEGRADED, DOWN = Status.UP, Status.DEGRADED, Status.DOWN
WARN, CRIT = "rule/disk-warn", "rule/disk-crit"
POLICIES = {
    WARN: Policy(interval=60, confirm=1, severity="medium", family="family/disk", siblings=(CRIT,)),
    CRIT: Policy(interval=60, confirm=1, severity="critical", family="family/disk", siblings=(WARN,)),
}
HOST = "host/srv-1"


class City:
    """A judge of two rules of one family; ``look`` is one round of both."""

    def __init__(self, centre):
        self.centre, self.policies, self.at = centre, dict(POLICIES), centre.at
        self.contacts = [Contact("piket", (Via("mail", "piket@kota.example"),))]
        self.routes = []

    async def begin(self):
        routes = connect(self.contacts, self.routes, self.centre.channels)
        self.judge = await judge_on(
            self.centre.database,
            lambda check: self.policies[check],
            lambda check, _subject: SubjectInfo(name="SRV-1", meaning=check),
            routes,
            clock=self.centre.clock,
        )
        return self

    async def look(self, **statuses):
        self.at += 60_000
        self.centre.clock.now = self.at
        results = [
            Result(
                {"warn": WARN, "crit": CRIT}[name],
                HOST,
                status,
                {UP: Reason.OK, Status.UNKNOWN: Reason.NO_DATA}.get(status, Reason.THRESHOLD),
                self.at,
                name,
            )
            for name, status in statuses.items()
        ]
        return await self.judge.observe(results, self.at)

    async def open(self):
        return await self.centre.database.read(incident.open_incidents)


@pytest.fixture
async def city(centre):
    return await City(centre).begin()


async def test_two_rules_that_break_are_one_incident_whose_severity_rises_by_an_update(city):
    await city.look(warn=UP, crit=UP)
    await city.look(warn=DEGRADED, crit=UP)
    [first] = await city.open()
    assert (first.check, first.subject, first.status, first.severity) == ("family/disk", HOST, DEGRADED, "medium")
    seen = await city.look(warn=DEGRADED, crit=DEGRADED)
    assert {one.incident_id for one in seen} == {first.id}
    [worse] = await city.open()
    assert (worse.id, worse.severity, worse.detail) == (first.id, "critical", "crit")
    assert [row.kind for row in await city.centre.rows()] == ["problem", "update"]
    await city.look(warn=DEGRADED, crit=UP)
    assert [one.id for one in await city.open()] == [first.id]
    await city.look(warn=UP, crit=UP)
    assert await city.open() == []
    rows = await city.centre.settled()
    assert [row.kind for row in rows] == ["problem", "update", "recovery"] or rows[-1].kind in {"recovery", "brief"}
    closed = await city.centre.database.read(lambda tx: incident.get(tx, first.id))
    assert (closed.close_reason, closed.closed) == ("recovered", city.at)
    flips = await city.centre.database.read(lambda tx: incident.flips(tx, first.id))
    assert [one.check for one in flips] == [WARN, CRIT, CRIT, WARN]


async def test_both_in_one_moment_are_one_incident(city):
    await city.look(warn=UP, crit=UP)
    await city.look(warn=DEGRADED, crit=DOWN)
    [one] = await city.open()
    assert (one.status, one.severity) == (DOWN, "critical")
    await city.look(warn=UP, crit=UP)
    assert await city.open() == []


async def test_a_restart_between_makes_no_difference(city):
    await city.look(warn=UP, crit=UP)
    await city.look(warn=DEGRADED, crit=UP)
    await city.begin()
    await city.look(warn=DEGRADED, crit=DEGRADED)
    assert len(await city.open()) == 1
    await city.begin()
    await city.look(warn=UP, crit=DEGRADED)
    assert len(await city.open()) == 1
    await city.begin()
    await city.look(warn=UP, crit=UP)
    assert await city.open() == []


async def test_a_rule_that_leaves_the_settings_leaves_no_incident_behind(city):
    await city.look(warn=UP, crit=UP)
    await city.look(warn=DEGRADED, crit=DEGRADED)
    del city.policies[CRIT]
    await city.judge.retire(CRIT, HOST, by="settings")
    assert len(await city.open()) == 1  # the other rule is broken still
    del city.policies[WARN]
    closed = await city.judge.retire(WARN, HOST, by="settings")
    assert (closed.check, closed.close_reason) == ("family/disk", "retired")
    assert await city.open() == []
    assert city.judge.states.incidents == {}


async def test_a_family_that_is_no_more_leaves_no_incident_behind(city):
    await city.look(warn=UP, crit=UP)
    await city.look(warn=DEGRADED, crit=UP)
    city.policies = {check: Policy(interval=60, confirm=1, severity="high") for check in POLICIES}
    await city.judge.retire_families(by="settings")
    assert await city.open() == []


async def test_an_incident_that_began_before_its_rule_was_of_a_family_ends_as_it_began(city):
    city.policies = {check: Policy(interval=60, confirm=1, severity="high") for check in POLICIES}
    await city.look(warn=UP, crit=UP)
    await city.look(warn=DEGRADED, crit=UP)
    city.policies = dict(POLICIES)
    [before] = await city.open()
    assert before.check == WARN
    await city.look(warn=DEGRADED, crit=DEGRADED)
    assert {one.check for one in await city.open()} == {WARN, "family/disk"}
    await city.look(warn=UP, crit=DEGRADED)
    assert {one.check for one in await city.open()} == {"family/disk"}
    await city.look(warn=UP, crit=UP)
    assert await city.open() == []


async def test_the_order_of_recoveries_leaves_no_incident_behind_when_a_rule_joined_a_family_late(city):
    city.policies = {check: Policy(interval=60, confirm=1, severity="high") for check in POLICIES}
    await city.look(warn=UP, crit=UP)
    await city.look(warn=DEGRADED, crit=UP)
    city.policies = dict(POLICIES)
    await city.look(warn=DEGRADED, crit=DEGRADED)
    await city.look(warn=DEGRADED, crit=UP)
    assert {one.check for one in await city.open()} == {WARN}
    await city.look(warn=UP, crit=UP)
    assert await city.open() == []


async def test_what_is_broken_still_when_its_family_is_no_more_begins_anew(city):
    await city.look(warn=UP, crit=UP)
    await city.look(warn=DEGRADED, crit=UP)
    city.policies = {check: Policy(interval=60, confirm=1, severity="high") for check in POLICIES}
    await city.judge.retire_families(by="settings")
    await city.look(warn=DEGRADED, crit=UP)
    assert [one.check for one in await city.open()] == [WARN]
    await city.look(warn=UP, crit=UP)
    assert await city.open() == []


async def test_the_worst_rule_leaves_the_settings_and_the_incident_is_what_the_others_say(city):
    await city.look(warn=UP, crit=UP)
    await city.look(warn=DEGRADED, crit=DOWN)
    del city.policies[CRIT]
    await city.judge.retire(CRIT, HOST, by="settings")
    [left] = await city.open()
    assert (left.status, left.detail) == (DEGRADED, "warn")
    assert [row.kind for row in await city.centre.rows()].count("recovery") == 0


async def test_an_incident_is_not_over_while_one_of_its_rules_cannot_tell(city):
    city.policies = {check: msgspec.structs.replace(policy, blind_for=60.0) for check, policy in POLICIES.items()}
    await city.look(warn=UP, crit=UP)
    await city.look(warn=DEGRADED, crit=UP)
    for _ in range(3):
        await city.look(warn=DEGRADED, crit=Status.UNKNOWN)
    assert [one.status for one in await city.open()] == [DEGRADED]
    await city.look(warn=UP, crit=Status.UNKNOWN)
    assert [one.status for one in await city.open()] == [Status.UNKNOWN]
    await city.look(warn=UP, crit=UP)
    assert await city.open() == []


async def test_blindness_of_a_family_is_as_severe_as_the_rule_that_is_blind(city):
    city.policies = {check: msgspec.structs.replace(policy, blind_for=60.0) for check, policy in POLICIES.items()}
    await city.look(warn=UP, crit=UP)
    for _ in range(3):
        await city.look(warn=Status.UNKNOWN, crit=UP)
    assert [(one.status, one.severity) for one in await city.open()] == [(Status.UNKNOWN, "low")]


async def test_a_route_that_names_a_rule_hears_of_its_family_while_that_rule_is_broken(city):
    city.contacts.append(Contact("kabid", (Via("mail", "kabid@kota.example"),)))
    city.routes = [Route(("piket",), checks=(WARN,)), Route(("kabid",), checks=(CRIT,))]
    await city.begin()
    await city.look(warn=UP, crit=UP)
    await city.look(warn=DEGRADED, crit=UP)
    assert [(row.kind, row.recipient) for row in await city.centre.rows()] == [("problem", "piket@kota.example")]
    await city.look(warn=DEGRADED, crit=DEGRADED)
    assert [(row.kind, row.recipient) for row in await city.centre.rows()][1:] == [
        ("update", "piket@kota.example"),
        ("problem", "kabid@kota.example"),
    ]


async def test_first_looks_that_are_good_need_no_question_each(city):
    statements = []
    event.listen(
        city.centre.database.engine, "before_cursor_execute", lambda *call: statements.append(call[2]), named=False
    )
    good = [Result(check, f"host/srv-{n}", UP, Reason.OK, city.at, "") for check in (WARN, CRIT) for n in range(100)]
    await city.judge.observe(good, city.at)
    assert len(statements) < 20
    assert len(await city.centre.database.read(lambda tx: tx.execute(select(tables.flip)).all())) == len(good)


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_becomes_of_its_transactions_a_family_is_what_its_rules_say(city, seed):
    chance, database = random.Random(seed), city.centre.database
    write, flips = database.write, Counter()

    async def away(_work):
        raise StateAway("pulled out")

    async def unanswered(work):
        await write(work)
        raise StateAway("the answer is lost")

    for _ in range(120):
        city.at += 60_000
        city.centre.clock.now = city.at
        checks = chance.sample([WARN, CRIT], chance.randint(1, 2))
        statuses = chance.choices([UP, DEGRADED, DOWN], [60, 25, 15], k=2)
        moment = [
            Result(check, HOST, status, Reason.OK if status is UP else Reason.THRESHOLD, city.at, f"{check} {city.at}")
            for check, status in zip(checks, statuses, strict=False)
        ]
        flips.update((one.flip.check, one.flip.confirmed) for one in city.judge.see(moment, city.at) if one.flip)
        database.write = chance.choices([write, away, unanswered], [50, 25, 25])[0]
        try:
            await city.judge.commit()
        except StateAway:
            continue
        members = [one for one in city.judge.states.of_subject(HOST) if one.status is not UP]
        opened = await city.open()
        assert [one.check for one in opened] == ["family/disk"] * bool(members)
        if members:
            assert (opened[0].status is DOWN) == any(one.status is DOWN for one in members)
            assert opened[0].detail in {one.detail for one in members}
        assert city.judge.states.incidents == {(one.check, one.subject): one.id for one in opened}
    database.write = write
    await city.judge.commit()
    rows = await database.read(lambda tx: tx.execute(select(tables.flip)).all())
    assert Counter((row.check_id, row.confirmed_ms) for row in rows) == flips
