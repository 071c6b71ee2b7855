"""Observer: hands each result to the judge, then to whoever keeps or shows what was seen."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Final

from alerts.judge import Judge, Observed
from alerts.tables import StateAway
from collectors.point import Point
from collectors.result import Result, to_point
from server.watching.feed import RESYNC, Feed
from server.watching.scheduler import Schedule
from server.watching.watched import STATE_CHECK, Watched

_log: Final = logging.getLogger("pantau.server")


class Observer:
    """The way of a result through the centre, and of a check that nobody watches any more."""

    def __init__(self, watched: Watched, judge: Judge, keep: Callable[[Iterable[Point]], None], feed: Feed) -> None:
        self._watched = watched
        self._judge = judge
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

    async def observe(self, results: Sequence[Result], steady: int, schedule: Schedule) -> None:
        """Judge the results of a look that began at ``steady``, keep them as points, publish them; return when they are written.

        ``schedule`` looks again soon when one may be a change. Raises StateAway when they wait for the database of state.
        """
        wanted = [result for result in results if self._is_wanted(result)]
        observed = self._judge.see(wanted, steady)
        self._keep_points(wanted)
        for seen in observed:
            planned = self._watched.checks.get(seen.state.check)
            if planned is not None and seen.state.pending_status is not None:
                schedule.recheck(planned.id, planned.recheck)
            if seen.flip is None:
                self._publish("look", seen)
        if not observed:
            return
        first = not self._judge.away
        try:
            await self._judge.written()
        except StateAway:
            if first:
                schedule.recheck(STATE_CHECK, 0)  # its outage begins now, not at the next due time
                self._feed.publish(RESYNC, {})
            raise
        for seen in observed:
            if seen.flip is not None:
                self._publish("flip", seen)

    async def commit(self, schedule: Schedule) -> None:
        """Write what waits, and that the centre lives: the sign of life. Raises StateAway."""
        away = self._judge.away
        await self._judge.commit()
        if away:
            _log.warning("what waited for the database of state is written")
            schedule.recheck(STATE_CHECK, 0)
            self._feed.publish(RESYNC, {})

    async def finish(self) -> None:
        """Write what still waits as far as that can be done, since the centre ends now."""
        try:
            await self._judge.commit()
        except StateAway:
            _log.error("what waits to be written into the database of state is lost: unobserved")

    def _keep_points(self, results: Iterable[Result]) -> None:
        checks = self._watched.checks
        if points := [to_point(result, checks[result.check].type) for result in results if result.check in checks]:
            self._keep(points)

    def _is_wanted(self, result: Result) -> bool:
        """Return whether settings still name what was looked at, and nobody has forgotten the host since the look began."""
        kind, _, rest = result.subject.partition("/")
        forgotten = kind == "host" and result.at <= self._forgotten.get(rest.partition("/")[0], -1)
        return self._watched.names(result.check, result.subject) and not forgotten

    def _publish(self, event: str, seen: Observed) -> None:
        check, subject = seen.state.check, seen.state.subject
        incident = self._judge.incident_of(check, subject)
        status = seen.state.status.value
        self._feed.publish(event, {"subject": subject, "check": check, "status": status, "incident": incident})

    async def retire_unnamed(self) -> None:
        """Believe nothing any more by checks that settings do not name now: nobody would ever close their incidents."""
        for believed in self._judge.states.all():
            if not self._watched.names(believed.check, believed.subject):
                _log.info("%s of %s is not in the settings any more", believed.check, believed.subject)
                await self._judge.retire(believed.check, believed.subject, by="settings")
        await self._judge.retire_families(by="settings")
