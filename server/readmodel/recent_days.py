"""The last ninety days of subjects; what is finished is counted once and kept, since the overview shows it all the time."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar
from zoneinfo import ZoneInfo

from alerts.tables import Database
from server.evaluation import days
from server.evaluation.days import Day
from server.inventory.register import Register

T = TypeVar("T")

DAYS: Final = 90
_FINISHED_FOR: Final = 600_000  # a late span can still mend a finished day
_TODAY_FOR: Final = 10_000


class Kept(Generic[T]):
    """One answer, kept for ``for_ms``; whoever asks while it is being made waits for it."""

    def __init__(self, for_ms: int) -> None:
        self._for = for_ms
        self._lock = asyncio.Lock()
        self._key: str | None = None
        self._until = 0
        self._answer: T | None = None

    async def get(self, key: str, now: int, make: Callable[[], Awaitable[T]]) -> T:
        """Return the answer that belongs to ``key``; made anew when it is another one or too old at ``now`` (steady ms)."""
        async with self._lock:
            if self._answer is None or self._key != key or not now < self._until:
                self._answer = await make()
                self._key, self._until = key, now + self._for
            return self._answer


class RecentDays:
    """Answers with days, oldest first and today last; days are those of ``zone``."""

    def __init__(
        self, database: Database, register: Register, zone: str, clock: Callable[[], int], steady: Callable[[], int]
    ) -> None:
        self._database = database
        self._register = register
        self._zone = zone
        self._local = ZoneInfo(zone)
        self._clock = clock
        self._steady = steady
        self._finished = Kept[dict[str, list[Day]]](_FINISHED_FOR)
        self._today = Kept[dict[str, list[Day]]](_TODAY_FOR)

    async def all(self, subjects: Sequence[str]) -> dict[str, list[Day]]:
        """Return the days of every service; ``subjects`` is the same list each time, but for those that retire."""
        today = self._date(self._clock())
        first, yesterday = today - dt.timedelta(DAYS - 1), today - dt.timedelta(1)
        key = f"{today} {len(subjects)}"
        steady = self._steady()
        finished = await self._finished.get(key, steady, lambda: self._ask(subjects, first, yesterday))
        last = await self._today.get(key, steady, lambda: self._ask(subjects, today, today))
        return {subject: [*finished.get(subject, ()), *last.get(subject, ())] for subject in subjects}

    async def one(self, subject: str) -> list[Day]:
        """Return the days of one subject, counted now."""
        today = self._date(self._clock())
        return (await self._ask([subject], today - dt.timedelta(DAYS - 1), today))[subject]

    async def _ask(self, subjects: Sequence[str], first: dt.date, last: dt.date) -> dict[str, list[Day]]:
        now = self._clock()
        return await self._database.read(
            lambda tx: days.days(
                tx, subjects, first=first, last=last, zone=self._zone, now=now, register=self._register
            )
        )

    def _date(self, at: int) -> dt.date:
        return dt.datetime.fromtimestamp(at / 1000, self._local).date()
