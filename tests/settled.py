"""Settling in tests of the embedded store: points, questions to them, and which files there are."""

from unittest.mock import patch

from collectors.point import Point
from configs.units import Duration
from server.store import Aggregate, Range
from server.store.embedded.levels import DAY, HOUR
from server.store.embedded.store import Options

S = 10**9
T = 19_676 * DAY
AT_ONCE = Options(window=Duration(0.0))


async def settle_all(store):
    while await store.settle(everything=True):
        pass


async def settle_hours(store):
    """Settle what is due when a day is not over yet."""
    with (
        patch("server.store.embedded.settling._DAY_ROWS", 10**9),
        patch("server.store.embedded.settling._HOUR_QUIET", -1.0),
    ):
        while await store.settle():
            pass


def every_minute(host, start, minutes, value=0.0):
    return [Point("m", {"host": host}, {"f": value + minute}, start + minute * 60 * S) for minute in range(minutes)]


async def counted(store, start=T - DAY, end=T + 100 * DAY, step=HOUR):
    answer = await store.range(Range("m", "f", start, end, step, Aggregate.SUM))
    return dict(zip(answer[0].times, answer[0].values, strict=True)) if answer else {}


def files(store, kind="float"):
    return sorted((one.level, one.start, one.end - one.start) for one in store._tables.shelves[kind].files())
