"""The look at the store itself: a database that hangs is down, not a look that never ends."""

import asyncio

from collectors.result import Reason, Status
from server.jobs import store_job


class Hanging:
    async def health(self):
        await asyncio.sleep(60)


async def test_a_database_that_hangs_is_down(monkeypatch):
    monkeypatch.setattr("server.jobs._STORE_TIMEOUT", 0.05)
    (result,) = await store_job(Hanging(), 15.0).look(7)
    assert (result.status, result.reason, result.at) == (Status.DOWN, Reason.STORE_UNREADABLE, 7)
    assert result.detail == "the store does not answer within 0.05 s"
