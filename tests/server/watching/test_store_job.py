"""The look at the stores themselves: a database that hangs is down, not a look that never ends; each bucket is told by name."""

import asyncio

from collectors.result import Reason, Status
from server.store.buckets import Bucket, Buckets
from server.watching.jobs import store_job


class Fake:
    def __init__(self, wrong="", lost=""):
        self.wrong = wrong
        self.lost = lost

    async def damage(self):
        return self.lost

    async def health(self):
        return self.wrong


class Hanging:
    async def health(self):
        await asyncio.sleep(60)

    async def damage(self):
        return ""


async def look(*stores, **more):
    buckets = Buckets(
        [Bucket(name, store, 0.0, 0) for name, store in zip(("pantau", "lab", "old"), stores, strict=False)],
        **more,
    )
    (result,) = await store_job(buckets, 15.0).look(7)
    assert result.at == 7
    return result.status, result.reason, result.detail


async def test_a_database_that_hangs_is_down():
    told = "the store does not answer within 0.05 s"
    assert await look(Hanging(), patience=0.05) == (Status.DOWN, Reason.STORE_UNREADABLE, told)


async def test_trouble_of_another_bucket_is_told_by_its_name():
    assert await look(Fake(), Fake(), Fake()) == (Status.UP, Reason.OK, "")
    told = await look(Fake(), Fake("the disk is gone"), Fake())
    assert told == (Status.DEGRADED, Reason.STORE_UNREADABLE, "bucket lab: the disk is gone")
    told = await look(Fake("away"), Fake(), Fake("full"))
    assert told == (Status.DOWN, Reason.STORE_UNREADABLE, "away; bucket old: full")


async def test_damage_of_any_bucket_is_told_and_is_no_absence():
    told = await look(Fake(lost="1 damaged file is set aside"), Fake())
    assert told == (Status.DEGRADED, Reason.STORE_UNREADABLE, "bucket pantau: 1 damaged file is set aside")
    assert (await look(Fake("gone", "1 damaged file is set aside")))[0] is Status.DOWN
