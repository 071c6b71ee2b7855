"""The one door: state, flip, incident, messages, ledger and audit in one transaction."""

import json

import pytest
from sqlalchemy import select

from alerts import incident, tables
from alerts.incident import acknowledge, flips, get, open_of, recent, severity_of
from alerts.route import Contact, Via
from alerts.state import Policy
from alerts.state_rows import all_states
from alerts.tables import StateAway
from collectors.result import Reason, Result, Status

UP, DEGRADED, DOWN, UNKNOWN = Status.UP, Status.DEGRADED, Status.DOWN, Status.UNKNOWN


async def audit_of(database):
    query = select(tables.audit.c.actor, tables.audit.c.action).order_by(tables.audit.c.id)
    return [tuple(row) for row in await database.read(lambda tx: tx.execute(query).all())]


async def test_a_confirmed_failure_opens_one_incident_backdated_to_its_first_look(centre):
    first = await centre.look(UP)
    assert (first.flip.to_status, first.incident_id) == (UP, None)
    assert (await centre.look(DOWN)).incident_id is None
    began = centre.at
    opened = await centre.look(DOWN)
    assert opened.incident_id == (await centre.look(DOWN)).incident_id
    [one] = await centre.open()
    assert (one.opened, one.confirmed, one.severity, one.status) == (began, began + 60_000, "critical", DOWN)
    [row] = await centre.rows()
    assert (row.kind, row.channel, row.recipient, row.status) == ("problem", "mail", "piket@kota.example", "queued")


async def test_a_recovery_closes_it_at_the_first_good_look(centre):
    await centre.look(UP, DOWN, DOWN)
    closed = await centre.look(UP)
    assert await centre.open() == []
    [one] = await centre.database.read(recent)
    assert (one.id, one.closed, one.close_reason) == (closed.incident_id, centre.at, "recovered")
    history = await centre.database.read(lambda tx: flips(tx, one.id))
    assert [(flip.from_status, flip.to_status) for flip in history] == [(UP, DOWN), (DOWN, UP)]
    assert await audit_of(centre.database) == [("pantau", "incident.open"), ("pantau", "incident.close")]


async def test_what_was_bad_from_the_first_look_on_is_an_incident(centre):
    assert (await centre.look(DOWN, DOWN)).incident_id is not None
    [one] = await centre.open()
    assert one.opened == centre.at - 60_000


async def test_worse_and_better_stay_within_one_incident(centre):
    await centre.look(UP, DEGRADED, DEGRADED)
    [slow] = await centre.open()
    assert slow.severity == "high"
    await centre.look(DOWN, DOWN)
    [down] = await centre.open()
    assert (down.id, down.opened, down.status, down.severity) == (slow.id, slow.opened, DOWN, "critical")
    await centre.look(DEGRADED, DEGRADED)
    [again] = await centre.open()
    assert (again.id, again.status, again.severity) == (slow.id, DEGRADED, "critical")
    assert [row.kind for row in await centre.rows()] == ["problem", "update"]


async def test_silence_neither_opens_nor_closes(centre):
    await centre.look(UP, UNKNOWN, UNKNOWN, UNKNOWN)
    assert await centre.open() == []
    await centre.look(DOWN, DOWN, UNKNOWN, UNKNOWN)
    assert len(await centre.open()) == 1


async def test_a_result_seen_twice_changes_nothing(centre):
    await centre.look(UP, DOWN, DOWN)
    told, rows = len(centre.seen), await centre.rows()
    result = Result("web", "service/simpus", UP, Reason.OK, centre.at)
    for _ in range(3):
        observed = await centre.observe(result)
        assert observed.flip is None
    assert (len(centre.seen), await centre.rows()) == (told, rows)


async def test_a_restart_between_two_failures_does_not_forget_the_first(centre):
    await centre.look(UP, DOWN, judge=await centre.judge())
    assert (await centre.look(DOWN, judge=await centre.judge())).flip is not None


async def test_the_ledger_is_written_in_the_same_transaction(centre, caplog):
    await centre.look(UP, DOWN)

    def broken(_tx, _drawn, _at):
        raise StateAway("no ledger")

    judge = await centre.judge()
    judge._ledger.write = broken
    before = await centre.database.read(all_states)
    with pytest.raises(StateAway):
        await centre.look(DOWN, judge=judge)
    assert await centre.database.read(all_states) == before
    assert await centre.open() == []
    assert judge.states.get("web", "service/simpus").status is DOWN  # and is written when the database is back
    judge._ledger.write = lambda _tx, _drawn, _at: None
    await judge.commit()
    [one] = await centre.open()
    assert judge.states.incident_of("web", "service/simpus") == one.id
    assert centre.seen[-1].since < centre.seen[-1].at


async def test_planned_is_called_after_messages_were_planned_only(centre):
    calls = []
    judge = await centre.judge(planned=lambda: calls.append(centre.at))
    await centre.look(UP, DOWN, judge=judge)
    assert calls == []
    await centre.look(DOWN, DOWN, judge=judge)
    assert len(calls) == 1


async def test_an_acknowledgement_is_kept_and_audited(centre):
    await centre.look(UP, DOWN, DOWN)
    [one] = await centre.open()
    acked = await centre.database.write(lambda tx: acknowledge(tx, one.id, by="sari", note="cek listrik", at=centre.at))
    assert (acked.acked_by, acked.ack_note, acked.acked) == ("sari", "cek listrik", centre.at)
    assert ("sari", "incident.acknowledge") in await audit_of(centre.database)
    await centre.look(UP)
    late = await centre.database.write(lambda tx: acknowledge(tx, one.id, by="budi", note="", at=centre.at))
    assert late is None
    assert (await centre.database.read(lambda tx: get(tx, one.id))).acked_by == "sari"


async def test_retirement_closes_without_a_recovery(centre):
    await centre.look(UP, DOWN, DOWN)
    await centre.settled()
    closed = await (await centre.judge()).retire("web", "service/simpus", by="admin")
    assert closed.close_reason == "retired"
    assert await centre.database.read(all_states) == []
    await centre.settled()
    assert centre.channels["mail"].kinds == ["problem", "recovery"]
    _, last = centre.channels["mail"].sent[-1]
    assert "tidak dipantau lagi" in last.text
    assert "berfungsi kembali" not in last.text
    assert await (await centre.judge()).retire("web", "service/simpus", by="admin") is None


async def test_retirement_tells_nobody_who_was_not_told_of_the_problem(centre):
    await centre.look(UP, DOWN, DOWN)
    await (await centre.judge()).retire("web", "service/simpus", by="admin")
    rows = await centre.settled()
    assert [(row.kind, row.status) for row in rows] == [("problem", "superseded"), ("recovery", "superseded")]


async def test_incidents_of_different_subjects_are_apart(centre):
    await centre.look(DOWN, DOWN, subject="service/simpus")
    await centre.look(DOWN, DOWN, subject="service/sipd")
    assert [one.subject for one in await centre.open()] == ["service/sipd", "service/simpus"]
    only = await centre.database.read(lambda tx: recent(tx, subject="service/simpus"))
    assert len(only) == 1
    older = await centre.database.read(lambda tx: recent(tx, before_id=only[0].id + 1))
    assert older == only
    assert await centre.database.read(lambda tx: open_of(tx, "web", "service/lain")) is None


async def test_a_clock_set_back_closes_no_incident_before_it_opened(centre):
    await centre.look(UP, DOWN, DOWN)
    centre.at -= 3_600_000
    centre.clock.now = centre.at
    back = Result("web", "service/simpus", UP, Reason.OK, centre.at)
    judge = await centre.judge()
    await centre.observe(back, judge=judge, steady=centre.at + 3_660_000)
    [one] = await centre.database.read(recent)
    assert one.closed == one.opened


async def test_the_payload_holds_facts_in_the_language_of_the_contact(centre):
    centre.contacts = [Contact("en", (Via("mail", "en@kota.example"),), language="en")]
    await centre.look(UP, DOWN, DOWN)
    payload = await centre.database.read(lambda tx: tx.execute(select(tables.outbox.c.payload)).scalar_one())
    assert json.loads(payload)["language"] == "en"


@pytest.mark.parametrize(
    ("criticality", "status", "severity"),
    [
        (5, DOWN, "critical"),
        (5, DEGRADED, "high"),
        (3, DOWN, "high"),
        (3, DEGRADED, "medium"),
        (1, DOWN, "medium"),
        (1, DEGRADED, "low"),
    ],
)
def test_severity_follows_criticality(criticality, status, severity):
    assert severity_of(Policy(interval=60), criticality, status) == severity
    assert severity_of(Policy(interval=60, severity="low"), criticality, status) == "low"
    assert incident.rank("low") < incident.rank(severity) or severity == "low"


BLIND = Policy(interval=60, confirm=2, blind_for=120.0)


async def test_blindness_that_is_believed_is_a_milder_incident_that_nobody_is_told_of(centre):
    centre.policy = BLIND
    await centre.look(UP, UNKNOWN, UNKNOWN)
    assert await centre.open() == []
    await centre.look(UNKNOWN)
    [one] = await centre.open()
    assert (one.status, one.severity, one.opened) == (UNKNOWN, "high", centre.at - 120_000)
    await centre.look(UNKNOWN, UP)
    assert await centre.open() == []
    assert await centre.rows() == []
    history = await centre.database.read(lambda tx: flips(tx, one.id))
    assert [(flip.from_status, flip.to_status) for flip in history] == [(UP, UNKNOWN), (UNKNOWN, UP)]
    assert await audit_of(centre.database) == [("pantau", "incident.open"), ("pantau", "incident.close")]


async def test_blindness_that_ends_in_an_outage_becomes_its_incident(centre):
    centre.policy = BLIND
    await centre.look(UP, UNKNOWN, UNKNOWN, UNKNOWN)
    [blind] = await centre.open()
    await centre.look(DOWN, DOWN)
    [down] = await centre.open()
    assert (down.id, down.status, down.severity) == (blind.id, DOWN, "critical")
    assert [row.kind for row in await centre.rows()] == ["problem"]
    assert ("pantau", "incident.change") in await audit_of(centre.database)
    await centre.look(UP)
    await centre.settled()
    assert [row.kind for row in await centre.rows()] == ["problem", "brief"] or len(await centre.rows()) == 2


async def test_an_outage_stays_one_while_nobody_can_tell(centre):
    centre.policy = BLIND
    await centre.look(UP, DOWN, DOWN, *[UNKNOWN] * 20)
    [one] = await centre.open()
    assert one.status is DOWN
