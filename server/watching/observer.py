"""Observer: hands each result to the judge, then to whoever keeps or shows what was seen."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Final

from alerts import state
from alerts.judge import Judge, Observed
from alerts.tables import Database
from collectors.point import Point
from collectors.result import Result, to_point
from server.watching.feed import RESYNC, Feed
from server.watching.scheduler import Schedule
from server.watching.unjudged import Unjudged
from server.watching.watched import STATE_CHECK, Watched

_log: Final = logging.getLogger("pantau.server")


class Observer:
    """The way of a result through the centre, and of a check that nobody watches any more."""

    def __init__(self, watched: Watched, judge: Judge, keep: Callable[[Iterable[Point]], None], feed: Feed) -> None:
        self._watched = watched
        self._judge = judge
        self._unjudged = Unjudged(judge.observe, self._is_wanted)
        self._keep = keep
        self._feed = feed
        self._forgotten: dict[str, float] = {}

    def use(self, watched: Watched) -> None:
        """Go by other settings from now on; results of what they do not name are dropped."""
        self._watched = watched

    @contextmanager
    def forgetting(self, host: str, clock: Callable[[], int]) -> Iterator[None]:
        """Ignore what looks that began before the end of the block say of a host: they may still know it. ``clock`` is ms."""
        self._forgotten[host] = inf
        try:
            yield
        finally:
            self._forgotten[host] = clock()

    async def observe(self, result: Result, schedule: Schedule) -> None:
        """Judge a result, keep it as a point, publish it, and let ``schedule`` look again soon when it may be a change.

        While the database of state is away it waits to be judged.
        """
        if not self._is_wanted(result):
            return
        first = not self._unjudged.waiting
        observed = await self._unjudged.observe(result)
        planned = self._watched.checks.get(result.check)
        if planned is not None:
            self._keep([to_point(result, planned.type)])
        if observed is None:
            if first:
                schedule.recheck(STATE_CHECK, 0)  # its outage begins now, not at the next due time
                self._feed.publish(RESYNC, {})
            return
        if planned is not None and observed.state.pending_status is not None:
            schedule.recheck(result.check, planned.recheck)
        self._publish(result, observed)

    async def catch_up(self, schedule: Schedule) -> None:
        """Judge what waited for the database of state, once it is back."""
        if not self._unjudged.waiting:
            return
        await self._unjudged.catch_up(self._publish)
        if not self._unjudged.waiting:
            schedule.recheck(STATE_CHECK, 0)

    async def finish(self) -> None:
        """Judge what still waits as far as that can be done, since the centre ends now."""
        await self._unjudged.catch_up(self._publish)
        self._unjudged.give_up()

    def _is_wanted(self, result: Result) -> bool:
        """Return whether settings still name what was looked at, and nobody has forgotten the host since the look began."""
        kind, _, rest = result.subject.partition("/")
        forgotten = kind == "host" and result.at <= self._forgotten.get(rest.partition("/")[0], -1)
        return self._watched.names(result.check, result.subject) and not forgotten

    def _publish(self, result: Result, observed: Observed) -> None:
        self._feed.publish(
            "look" if observed.flip is None else "flip",
            {
                "subject": result.subject,
                "check": result.check,
                "status": observed.state.status.value,
                "incident": observed.incident_id,
            },
        )

    async def retire_unnamed(self, database: Database) -> None:
        """Believe nothing any more by checks that settings do not name now: nobody would ever close their incidents."""
        for believed in await database.read(state.all_states):
            if not self._watched.names(believed.check, believed.subject):
                _log.info("%s of %s is not in the settings any more", believed.check, believed.subject)
                await self._judge.retire(believed.check, believed.subject, by="settings")
