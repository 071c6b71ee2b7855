"""Results wait while the database of state is away: in order, up to a bound, and none is judged before one that came earlier."""

import asyncio

import pytest

from alerts.tables import StateAway
from collectors.result import Reason, Result, Status
from server.watching.unjudged import Unjudged


class Judge:
    """Judges at once, or not while it is away."""

    def __init__(self):
        self.away, self.judged = False, []

    async def __call__(self, result):
        await asyncio.sleep(0)
        if self.away:
            raise StateAway("away")
        if result.detail == "poison":
            raise ValueError("poison")
        self.judged.append(result.at)
        return result


def look(at, detail=""):
    return Result("web", "service/web", Status.UP, Reason.OK, at, detail=detail)


@pytest.fixture
def judge():
    return Judge()


async def test_what_was_seen_meanwhile_is_judged_in_its_order_afterwards(judge):
    unjudged, told = Unjudged(judge), []
    judge.away = True
    assert await asyncio.gather(*(unjudged.observe(look(at)) for at in range(5))) == [None] * 5
    await unjudged.catch_up(lambda result, _observed: told.append(result.at))
    assert (unjudged.waiting, told) == (5, [])
    judge.away = False
    assert await unjudged.observe(look(5)) is None  # five wait before it
    await unjudged.catch_up(lambda result, _observed: told.append(result.at))
    assert judge.judged == told == [0, 1, 2, 3, 4, 5]
    assert await unjudged.observe(look(6)) == look(6)


async def test_a_look_that_comes_while_the_others_are_judged_is_not_judged_before_them(judge):
    unjudged = Unjudged(judge)
    judge.away = True
    await unjudged.observe(look(0))
    judge.away = False
    await asyncio.gather(unjudged.catch_up(lambda *_: None), unjudged.observe(look(1)))
    await unjudged.catch_up(lambda *_: None)
    assert judge.judged == [0, 1]


async def test_beyond_the_bound_the_oldest_go_and_it_is_said_once(judge, caplog):
    unjudged = Unjudged(judge, held=3)
    judge.away = True
    for at in range(6):
        await unjudged.observe(look(at))
    judge.away = False
    await unjudged.catch_up(lambda *_: None)
    assert judge.judged == [3, 4, 5]
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert said == [
        "3 results wait for the database of state; older ones go: unobserved",
        "3 older ones had to go: what they saw is unobserved",
    ]


async def test_one_that_cannot_be_judged_does_not_cost_the_others(judge):
    unjudged = Unjudged(judge)
    judge.away = True
    for at, detail in enumerate(["", "poison", ""]):
        await unjudged.observe(look(at, detail))
    judge.away = False
    await unjudged.catch_up(lambda *_: None)
    assert judge.judged == [0, 2]


async def test_what_is_lost_at_a_stop_is_said(judge, caplog):
    unjudged = Unjudged(judge)
    unjudged.give_up()
    assert caplog.records == []
    judge.away = True
    await unjudged.observe(look(1))
    unjudged.give_up()
    assert "1 results wait for the database of state and are lost: unobserved" in caplog.text
