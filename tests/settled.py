"""Settling in tests of the embedded store: points, questions to them, and which files there are."""

import msgspec

from collectors.point import Point
from configs.units import Duration
from server.store import Aggregate, Range
from server.store.embedded.levels import DAY, HOUR
from server.store.embedded.settling import Limits
from server.store.embedded.store import Options

S = 10**9
T = 19_676 * DAY
AT_ONCE = Options(window=Duration(0.0))
SMALL = Limits(hour_rows=1, day_rows=1, worth=0)  # a few rows make a file
SHORT = msgspec.structs.replace(SMALL, week=2 * DAY)  # and two days are a week, whose roll-ups are merged


async def settle_all(store, limits=None):
    while await store.settle(everything=True, limits=limits):
        pass


async def settle_hours(store, limits=SMALL):
    """Settle what is due when a day is not over yet."""
    while await store.settle(limits=msgspec.structs.replace(limits, day_rows=10**9, hour_quiet=-1.0)):
        pass


def every_minute(host, start, minutes, value=0.0):
    return [Point("m", {"host": host}, {"f": value + minute}, start + minute * 60 * S) for minute in range(minutes)]


async def counted(store, start=T - DAY, end=T + 100 * DAY, step=HOUR):
    answer = await store.range(Range("m", "f", start, end, step, Aggregate.SUM))
    return dict(zip(answer[0].times, answer[0].values, strict=True)) if answer else {}


def files(store, kind="float"):
    return sorted((one.level, one.start, one.end - one.start) for one in store._tables.shelves[kind].files())
