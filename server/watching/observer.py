"""Observer: hands each result to the judge, then to whoever keeps or shows what was seen."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Final

from alerts import state
from alerts.judge import Judge
from alerts.tables import Database
from collectors.result import Result, to_point
from server.store.recorder import Recorder
from server.watching.feed import Feed
from server.watching.scheduler import Schedule
from server.watching.watched import Watched

_log: Final = logging.getLogger("pantau.server")


class Observer:
    """The way of a result through the centre, and of a check that nobody watches any more."""

    def __init__(self, watched: Watched, judge: Judge, recorder: Recorder, feed: Feed) -> None:
        self._watched = watched
        self._judge = judge
        self._recorder = recorder
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
        """Judge a result, keep it as a point, publish it, and let ``schedule`` look again soon when it may be a change."""
        kind, _, rest = result.subject.partition("/")
        if not self._watched.names(result.check, result.subject):
            return  # its look began before the settings changed
        if kind == "host" and result.at <= self._forgotten.get(rest.partition("/")[0], -1):
            return
        observed = await self._judge.observe(result)
        planned = self._watched.checks.get(result.check)
        if planned is not None:
            self._recorder.add([to_point(result, planned.type)])
            if observed.state.pending_status is not None:
                schedule.recheck(result.check, planned.recheck)
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
