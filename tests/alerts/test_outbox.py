"""Messages owed: never lost, never doubled, never out of order. Contract 1 is checked for every history that hypothesis finds."""

import asyncio
import logging

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from parts import wait_until
from sqlalchemy import insert, select, update

from alerts import outbox, tables
from alerts.channels import Refused, Unreachable
from alerts.route import Contact, Via
from collectors.result import Status

UP, DEGRADED, DOWN = Status.UP, Status.DEGRADED, Status.DOWN
HOUR = 3_600_000


def outcomes(rows):
    return [(row.kind, row.status) for row in rows]


async def attempts(database):
    query = select(tables.delivery_attempt.c.outcome).order_by(tables.delivery_attempt.c.id)
    return list(await database.read(lambda tx: tx.execute(query).scalars().all()))


async def test_a_problem_and_its_recovery_arrive_once_each_in_order(centre):
    await centre.look(UP, DOWN, DOWN)
    await centre.settled()
    await centre.look(DOWN, DOWN, UP, UP)
    rows = await centre.settled()
    assert outcomes(rows) == [("problem", "sent"), ("recovery", "sent")]
    assert centre.channels["mail"].kinds == ["problem", "recovery"]
    first, second = (message for _, message in centre.channels["mail"].sent)
    assert first.key != second.key
    assert first.thread == second.thread


async def test_a_message_leaves_within_a_second_of_the_commit(centre):
    centre.tick = 600.0  # so that nothing but the commit itself can be what sends it
    sent, took = centre.channels["mail"].sent, []
    async with centre.courier() as courier:
        judge = await centre.judge(planned=courier.wake)
        for number in range(1, 6):
            await centre.look(UP, DOWN, subject=f"service/{number}", judge=judge)
            began = asyncio.get_running_loop().time()
            await centre.look(DOWN, subject=f"service/{number}", judge=judge)
            await wait_until(lambda number=number: len(sent) == number)
            took.append(asyncio.get_running_loop().time() - began)
    assert min(took) < 1  # a busy machine may be late, but not each time


async def test_an_incident_over_before_its_problem_left_is_told_in_one_message(centre):
    await centre.look(UP, DOWN, DOWN, UP)
    rows = await centre.settled()
    assert outcomes(rows) == [("problem", "superseded"), ("brief", "sent")]
    [(_, message)] = centre.channels["mail"].sent
    assert "sempat gangguan" in message.text


async def test_a_failing_channel_that_comes_back_after_the_recovery_tells_it_in_one_message(centre):
    centre.channels["mail"].script = [Unreachable("no route")]
    await centre.look(UP, DOWN, DOWN)
    await centre.settled()
    await centre.look(UP)
    assert outcomes(await centre.settled()) == [("problem", "superseded"), ("brief", "sent")]


async def test_who_never_got_the_problem_gets_no_closing_message(centre):
    centre.channels["mail"].script = [Refused("unknown recipient")]
    await centre.look(UP, DOWN, DOWN)
    await centre.settled()
    await centre.look(UP)
    assert outcomes(await centre.settled()) == [("problem", "dead"), ("recovery", "superseded")]
    assert centre.channels["mail"].sent == []


async def test_an_expired_problem_is_told_with_its_end(centre):
    centre.channels["mail"].script = [Unreachable("no route")]
    await centre.look(UP, DOWN, DOWN)
    await centre.settled()
    centre.clock.now += 25 * HOUR
    rows = await centre.settled()
    assert outcomes(rows) == [("problem", "dead")]
    centre.at = centre.clock.now
    await centre.look(UP)
    assert outcomes(await centre.settled()) == [("problem", "dead"), ("brief", "sent")]


async def test_a_lost_answer_still_gets_a_closing_message_but_no_late_problem(centre):
    centre.channels["mail"].script = [Unreachable("timeout", accepted=True)]
    await centre.look(UP, DOWN, DOWN)
    await centre.settled()
    await centre.look(UP)
    assert outcomes(await centre.settled()) == [("problem", "superseded"), ("recovery", "sent")]


async def test_a_message_whose_answer_was_lost_says_so_when_it_is_sent_again(centre):
    centre.channels["mail"].script = [Unreachable("timeout", accepted=True)]
    await centre.look(UP, DOWN, DOWN)
    await centre.settled()
    centre.clock.now += 2_000  # critical: no time is lost
    assert outcomes(await centre.settled()) == [("problem", "sent")]
    (_, first), (_, second) = centre.channels["mail"].tried
    assert first.key == second.key
    assert "mungkin terkirim ganda" not in first.text
    assert "mungkin terkirim ganda" in second.text


async def test_less_than_critical_waits_to_see_whether_it_is_still_true(centre):
    centre.channels["mail"].script = [Unreachable("timeout", accepted=True)]
    await centre.look(UP, DEGRADED, DEGRADED)
    assert outcomes(await centre.settled()) == [("problem", "queued")]
    centre.clock.now += 61_000
    assert outcomes(await centre.settled()) == [("problem", "sent")]


@pytest.mark.parametrize("chance", [0.0, 1.0])
async def test_a_message_that_may_have_arrived_is_not_sent_again_within_the_minute(centre, chance):
    centre.chance = chance
    centre.channels["mail"].script = [Unreachable("timeout", accepted=True)] * 2
    await centre.look(UP, DEGRADED, DEGRADED)
    for tries in (1, 2):
        await centre.settled()
        centre.clock.now += 59_999
        await centre.settled()
        assert await attempts(centre.database) == ["uncertain"] * tries
        centre.clock.now += 1
    assert outcomes(await centre.settled()) == [("problem", "sent")]


async def test_answers_that_stay_lost_do_not_double_for_ever(centre):
    centre.channels["mail"].script = [Unreachable("timeout", accepted=True)] * 9
    centre.chance = 0.0
    await centre.look(UP, DOWN, DOWN)
    assert outcomes(await centre.settled()) == [("problem", "dead")]
    assert await attempts(centre.database) == ["uncertain"] * 3


async def test_retry_after_stops_the_whole_channel(centre):
    centre.contacts.append(Contact("kabid", (Via("mail", "kabid@kota.example"),)))
    gate = asyncio.Event()
    centre.channels["mail"].script = [Unreachable("too many", retry_after=30), gate.wait]
    await centre.look(UP, DOWN, DOWN)
    async with centre.courier():
        await wait_until(lambda: len(centre.channels["mail"].tried) == 2)
        gate.set()
        await wait_until(lambda: len(centre.channels["mail"].sent) == 1)
    await centre.look(DOWN, DOWN, subject="service/sipd")
    centre.clock.now = centre.at - 2 * 60_000 + 29_000  # back inside of the 30 s that were asked for
    await centre.settled()
    assert len(centre.channels["mail"].tried) == 2
    centre.clock.now = centre.at
    await centre.settled()
    assert len(centre.channels["mail"].sent) == 4


async def test_nobody_can_ask_for_more_than_an_hour(centre):
    centre.channels["mail"].script = [Unreachable("too many", retry_after=1e9)]
    await centre.look(UP, DOWN, DOWN)
    await centre.settled()
    centre.clock.now += HOUR
    assert outcomes(await centre.settled()) == [("problem", "sent")]


async def test_a_dead_channel_does_not_delay_another(centre):
    async def hangs():
        await asyncio.sleep(60)

    centre.channels["hook"].script = [hangs] * 3
    centre.contacts = [Contact("piket", (Via("hook"), Via("mail", "piket@kota.example")))]
    async with centre.courier() as courier:
        judge = await centre.judge(planned=courier.wake)
        for subject in ("service/a", "service/b", "service/c"):
            await centre.look(DOWN, DOWN, subject=subject, judge=judge)
        await wait_until(lambda: len(centre.channels["mail"].sent) == 3)
        stopping = asyncio.create_task(courier.stop(0.1))
        await asyncio.wait_for(stopping, 30)


async def test_a_slow_recipient_does_not_delay_another_on_the_same_channel(centre):
    gate = asyncio.Event()
    centre.contacts.append(Contact("kabid", (Via("mail", "kabid@kota.example"),)))
    centre.channels["mail"].script = [gate.wait]
    await centre.look(UP, DOWN, DOWN)
    async with centre.courier():
        await wait_until(lambda: [to for to, _ in centre.channels["mail"].sent] == ["kabid@kota.example"])
        gate.set()


async def test_a_recovery_never_overtakes_its_problem(centre):
    gate = asyncio.Event()
    centre.channels["mail"].script = [gate.wait]
    await centre.look(UP, DOWN, DOWN)
    async with centre.courier() as courier:
        await wait_until(lambda: centre.channels["mail"].tried)
        await centre.look(UP, judge=await centre.judge(planned=courier.wake))
        await asyncio.sleep(0.2)
        assert len(centre.channels["mail"].tried) == 1
        gate.set()
        await wait_until(lambda: centre.channels["mail"].kinds == ["problem", "recovery"])


async def test_worse_news_replaces_what_was_not_sent_yet(centre):
    centre.channels["mail"].script = [Unreachable("no route")]
    await centre.look(UP, DEGRADED, DEGRADED)
    await centre.settled()
    await centre.look(DOWN, DOWN)
    assert outcomes(await centre.settled()) == [("problem", "superseded"), ("problem", "sent")]
    await centre.look(UP)
    await centre.settled()
    assert centre.channels["mail"].kinds == ["problem", "recovery"]


async def test_who_was_told_of_a_slow_service_is_told_that_it_is_down(centre):
    await centre.look(UP, DEGRADED, DEGRADED)
    await centre.settled()
    await centre.look(DOWN, DOWN)
    await centre.settled()
    await centre.look(DEGRADED, DEGRADED, DOWN, DOWN, UP)
    await centre.settled()
    assert centre.channels["mail"].kinds == ["problem", "update", "recovery"]
    assert "memburuk" in centre.channels["mail"].sent[1][1].title


async def test_back_off_grows_and_is_capped(centre):
    centre.channels["mail"].script = [Unreachable("no route")] * 14
    await centre.look(UP, DOWN, DOWN)
    waits = []
    async with centre.courier() as courier:
        for count in range(1, 13):
            await wait_until(lambda count=count: len(centre.channels["mail"].tried) == count, what=f"try {count}")

            async def due():
                query = select(tables.outbox.c.not_before_ms).where(tables.outbox.c.status == "queued")
                return await centre.database.read(lambda tx: tx.execute(query).scalar_one_or_none())

            at = await wait_until(due)
            waits.append(at - centre.clock.now)
            centre.clock.now = at
            courier.wake()
    assert waits == [min(600000, 2000 * 2**n) for n in range(12)]


async def test_a_bug_in_a_channel_is_not_the_end_and_spills_no_secret(centre, caplog):
    centre.channels["mail"].script = [ValueError("https://api/botSECRET/sendMessage")]
    centre.chance = 0.0
    await centre.look(UP, DOWN, DOWN)
    assert outcomes(await centre.settled()) == [("problem", "sent")]
    assert "ValueError" in caplog.text
    assert "SECRET" not in caplog.text


async def test_a_failing_channel_is_logged_once_and_once_when_it_is_back(centre, caplog):
    caplog.set_level(logging.INFO, "pantau.alerts")
    centre.channels["mail"].script = [Unreachable("no route")] * 3
    centre.chance = 0.0
    await centre.look(UP, DOWN, DOWN)
    await centre.settled()
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if "its messages wait" in line]) == 1
    assert len([line for line in lines if "works again after 3" in line]) == 1


async def test_leases_of_a_dead_courier_are_taken_at_the_next_start(centre):
    await centre.look(UP, DOWN, DOWN)
    lost = await centre.database.write(lambda tx: outbox.lease(tx, "mail", "dead", centre.clock.now))
    assert lost.attempt == 1
    rows = await centre.settled()
    assert outcomes(rows) == [("problem", "sent")]
    assert "mungkin terkirim ganda" in centre.channels["mail"].sent[0][1].text


async def test_a_lease_that_ran_out_is_taken_again(centre):
    await centre.look(UP, DOWN, DOWN)
    now = centre.clock.now
    await centre.database.write(lambda tx: outbox.lease(tx, "mail", "me", now))
    idle = await centre.database.write(lambda tx: outbox.lease(tx, "mail", "me", now + 1))
    assert idle == outbox.Idle(now + outbox.LEASE)
    again = await centre.database.write(lambda tx: outbox.lease(tx, "mail", "me", now + outbox.LEASE))
    assert (again.attempt, again.uncertain) == (2, 1)


def step(clock, hours):
    """Set the wall clock, while no time passes."""
    clock.stepped += hours * HOUR
    clock.now += hours * HOUR


@pytest.mark.parametrize("hours", [-1, 1, -48, 48])
async def test_a_step_of_the_wall_clock_delays_no_message_and_loses_none(centre, hours):
    centre.channels["mail"].script = [Unreachable("no route")]
    await centre.look(UP, DOWN, DOWN)
    async with centre.courier() as courier:
        await wait_until(lambda: len(centre.channels["mail"].tried) == 1)
        await wait_until(centre.is_settled)
        step(centre.clock, hours)
        centre.clock.now += 2000  # the pause after the first try
        courier.wake()
        await wait_until(lambda: centre.channels["mail"].sent)
        await wait_until(centre.is_settled)
    [row] = await centre.rows()
    assert (row.status, row.sent) == ("sent", centre.clock.now)


async def waiting(centre):
    return await centre.database.read(lambda tx: tx.execute(select(tables.outbox)).mappings().one())


@pytest.mark.parametrize("ahead", [-20 * HOUR, 20 * HOUR])
async def test_what_an_earlier_process_planned_on_its_own_scale_waits_no_longer_and_lives_no_less(centre, ahead):
    await centre.look(UP, DOWN, DOWN)
    now, row = centre.clock.now, await waiting(centre)  # its scale was ahead of the clock
    moved = {"not_before_ms": now + ahead, "expires_ms": row["expires_ms"] + ahead}

    def adopt(tx):
        tx.execute(update(tables.outbox).values(moved))
        tx.execute(insert(tables.channel_state).values(channel="mail", retry_at_ms=now + ahead))
        return outbox.adopt(tx, "me", ["mail"], now + 60_000, now + 60_000)

    assert await centre.database.write(adopt) == (0, 0)
    after = await waiting(centre)
    assert after["not_before_ms"] == (now + ahead if ahead < 0 else now + 60_000 + HOUR)
    life = row["expires_ms"] - now
    assert now + life <= after["expires_ms"] <= now + 60_000 + life
    leased = await centre.database.write(lambda tx: outbox.lease(tx, "mail", "me", now + 60_000 + HOUR))
    assert leased.attempt == 1


@pytest.mark.parametrize("ahead", [-7 * HOUR, 50_000, 2 * HOUR])
async def test_what_waits_is_carried_over_to_the_scale_of_the_next_process(centre, ahead):
    await centre.look(UP, DOWN, DOWN)
    now, row = centre.clock.now, await waiting(centre)
    steady = now - ahead  # of the process that wrote it: it was stopped for a while, or its clock was set
    asked = {"not_before_ms": steady + 300_000, "expires_ms": row["expires_ms"] - ahead}

    def carry(tx):
        tx.execute(update(tables.outbox).values(asked))
        tx.execute(insert(tables.channel_state).values(channel="mail", retry_at_ms=steady + 300_000))
        outbox.carry_over(tx, ahead)
        return outbox.adopt(tx, "me", ["mail"], now + 5000, now + 5000)

    await centre.database.write(carry)
    after = await waiting(centre)
    assert (after["not_before_ms"], after["expires_ms"]) == (now + 300_000, row["expires_ms"])

    async def lease(at):
        return await centre.database.write(lambda tx: outbox.lease(tx, "mail", "me", at))

    assert await lease(now + 299_999) == outbox.Idle(now + 300_000)
    assert (await lease(now + 300_000)).attempt == 1


async def test_messages_of_a_channel_that_is_gone_are_dead_letters(centre):
    await centre.look(UP, DOWN, DOWN)
    del centre.channels["mail"]
    rows = await centre.settled()
    assert outcomes(rows) == [("problem", "dead")]
    assert "settings" in rows[0].last_error


async def test_a_stop_waits_for_the_answer_of_a_running_send(centre):
    gate = asyncio.Event()
    centre.channels["mail"].script = [gate.wait]
    await centre.look(UP, DOWN, DOWN)
    async with centre.courier() as courier:
        await wait_until(lambda: centre.channels["mail"].tried)
        stopping = asyncio.create_task(courier.stop(5))
        await asyncio.sleep(0.05)
        gate.set()
        await stopping
    assert outcomes(await centre.rows()) == [("problem", "sent")]


async def test_a_cancelled_courier_does_not_lose_the_answer(centre):
    gate = asyncio.Event()
    centre.channels["mail"].script = [gate.wait]
    await centre.look(UP, DOWN, DOWN)
    async with centre.courier() as courier:
        await wait_until(lambda: centre.channels["mail"].tried)
        for task in courier._serving.values():
            task.cancel()
        await asyncio.sleep(0.05)
        gate.set()
        await wait_until(lambda: centre.channels["mail"].sent)
    assert outcomes(await centre.rows()) == [("problem", "sent")]


class Fate:
    """A channel whose tries end as a list of fates says.

    ``got`` is what was taken, or was the closing message and refused, of each incident: their messages may cross.
    """

    def __init__(self, fates):
        self.fates, self.got = list(fates), {}

    async def send(self, _recipient, message):
        fate = self.fates.pop(0) if self.fates else "ok"
        if fate == "ok" or (fate == "refused" and message.kind == "recovery"):
            self.got.setdefault(message.thread, []).append(message.kind)
        if fate == "away":
            raise Unreachable("no route")
        if fate == "refused":
            raise Refused("no")
        return ""

    async def close(self):
        pass


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(looks=[DEGRADED, DOWN, UP, DEGRADED, DOWN], fates=["away"] * 4)
@given(
    looks=st.lists(st.sampled_from([UP, DEGRADED, DOWN]), min_size=2, max_size=10),
    fates=st.lists(st.sampled_from(["ok", "away", "away", "refused"]), max_size=6),
)
@pytest.mark.timeout(300)
def test_who_got_a_problem_gets_exactly_one_closing_and_who_got_none_gets_none(make_centre, looks, fates):
    async def story():
        centre, channel = await asyncio.to_thread(make_centre), Fate(fates)
        centre.channels = {"mail": channel}
        for status in (UP, *looks):
            await centre.look(status)
            await centre.settled()
        channel.fates = []
        await centre.look(UP, UP)
        await centre.settled()
        await asyncio.to_thread(centre.database.close)
        return channel.got

    for kinds in asyncio.run(story()).values():
        told = 0
        for kind in kinds:
            if kind == "brief":
                assert not told, "a brief after a problem"
            elif kind == "recovery":
                assert told, "a closing message without a problem"
                told = 0
            else:
                assert kind == ("update" if told else "problem")
                told += 1
        assert not told, "a problem without its closing message"
