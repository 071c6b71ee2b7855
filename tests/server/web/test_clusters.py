"""Many faults of one kind are told together."""

import html
import re

import pytest
from sqlalchemy import insert, select, update

from alerts import tables

NOW = 1_780_561_800_000
SILENT = "rule/silent"


async def fall_silent(visitor, count, *, acked=0):
    def work(tx):
        for n in range(count):
            known = {
                "id": 100 + n,
                "check_id": SILENT,
                "subject": f"host/h{n:02d}",
                "status": "down",
                "severity": "high",
            }
            by = {"acked_ms": NOW, "acked_by": "sari"} if n < acked else {}
            tx.execute(
                insert(tables.incident).values(
                    reason="silent", opened_ms=NOW - n * 1000, confirmed_ms=NOW, **known, **by
                )
            )
        tx.execute(update(tables.incident).where(tables.incident.c.id == 30).values(closed_ms=NOW))

    await visitor.parts.database.write(work)


def cards(text):
    section = text[text.index('id="problems"') : text.index('id="services"')]
    found = re.findall(r'<li class="problem .*?</h3>', section, re.DOTALL)
    return [re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", one))).strip() for one in found]


@pytest.mark.parametrize(("count", "told"), [(3, 3), (4, 1), (50, 1)])
async def test_many_hosts_that_fall_silent_are_one_card(visit, count, told):
    visitor = await visit("operator")
    await fall_silent(visitor, count)
    _, text = await visitor.get("/")
    silent = [one for one in cards(text) if "data yang ditunggu" in one.lower() or re.search(r"\bh\d\d\b", one)]
    assert len(silent) == told
    for n in range(count):
        assert f'href="/incidents/{100 + n}"' in text
    if told == 1:
        assert str(count) in silent[0]
        assert f"dan {count - 3} lagi" in text
        assert f"dan {count - 3} lagi" in (await visitor.get("/wall"))[1]


async def test_what_somebody_handles_already_stands_apart(visit):
    visitor = await visit("operator")
    await fall_silent(visitor, 10, acked=5)
    _, text = await visitor.get("/")
    assert [" 5 " in one for one in cards(text)].count(True) == 2
    assert text.count("Saya tangani semua") == 1


async def test_one_click_handles_them_all(visit):
    visitor = await visit("operator")
    await fall_silent(visitor, 6)
    _, text = await visitor.get("/")
    ids = re.search(r'name="ids" value="([\d,]+,[\d,]+)"', text)[1]
    answer, _ = await visitor.post(
        "/incidents/ack", {"csrf": await visitor.csrf(), "ids": f"{ids},30,99999", "next": "/"}
    )
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    acked = select(tables.incident.c.id).where(tables.incident.c.acked_by == "operator").order_by(tables.incident.c.id)
    assert await visitor.parts.database.read(lambda tx: list(tx.scalars(acked))) == list(range(100, 106))
    noted = select(tables.audit.c.action).where(tables.audit.c.actor == "operator")
    assert (await visitor.parts.database.read(lambda tx: list(tx.scalars(noted)))).count("incident.acknowledge") == 6


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("evaluator", 403), ("operator", 303), ("admin", 303)])
async def test_handling_many_needs_the_role_and_the_token(visit, role, status):
    visitor = await visit(role)
    assert (await visitor.post("/incidents/ack", {"ids": "40"}))[0].status == 403
    assert (await visitor.post("/incidents/ack", {"ids": "40", "csrf": await visitor.csrf()}))[0].status == status


async def test_numbers_that_are_none_change_nothing(visit):
    visitor = await visit("operator")
    for ids, status in (("", 404), ("x", 404), ("1,", 404), ("40,1e3", 404), ("1," * 5000 + "1", 400)):
        answer, _ = await visitor.post("/incidents/ack", {"csrf": await visitor.csrf(), "ids": ids})
        assert (ids[:9], answer.status) == (ids[:9], status)
    acked = select(tables.incident.c.acked_by).where(tables.incident.c.id == 40)
    assert await visitor.parts.database.read(lambda tx: tx.scalar(acked)) is None
