"""Send: a thread that brings the spool to the centre; live data first, the backlog with a share of the time."""

import logging
import random
import re
import threading
from collections.abc import Callable
from typing import Final

import msgspec

from agent.clock import Clock
from agent.deliver import Outcome, Pause, Verdict, deliver
from agent.pace import Pace
from agent.packing import pack
from agent.post import Answer, Endpoint, Unreachable
from agent.spool import Group, Spool
from agent.version import VERSION, apart

log = logging.getLogger("pantau.agent.send")

_GROUP_LINES: Final = 2000
_LEAST_LINES: Final = 50
_BACKLOG_SHARE: Final = 0.3
_LEAST_PAUSE: Final = 0.5
_FIRST_PAUSE: Final = 2.0
_LONGEST_PAUSE: Final = 300.0
_SLOW_PAUSE: Final = 60.0
_LONGEST_WISH: Final = 600.0
_LONGEST_NAP: Final = 10.0  # so that ``progress`` tells a long pause from a thread that hangs
_COMPLAINTS: Final = 100


class Counts(msgspec.Struct):
    """What the sender did since the start: posts, posts that failed, and how long the last delivery took."""

    posts: int = 0
    errors: int = 0
    took_ns: int = 0


class Sender:
    """Delivers from a thread of its own. ``turn`` does one step and may be called by hand instead of ``start``.

    ``progress`` is the monotonic time of the last step; ``lost`` tells that the centre takes nothing at the moment; ``version`` is the
    centre's, "" while it told none.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        spool: Spool,
        clock: Clock,
        pace: Pace,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.counts = Counts()
        self.progress = clock.monotonic()
        self.lost = False
        self.version = ""
        self._endpoint = endpoint
        self._next: tuple[Endpoint, Pace] | None = None
        self._spool = spool
        self._clock = clock
        self._pace = pace
        self._chance = chance
        self._stop = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="send", daemon=True)
        self._live_at = self.progress + pace.wait(clock.ms())
        self._backlog_at = 0.0
        self._group_lines = _GROUP_LINES
        self._asked = False
        self._trusted = False
        self._failures = 0
        self._since = 0.0
        self._verdict: Verdict | None = None
        self._behind = False
        self._fresh_from = 0
        self._complaints: set[str] = set()

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def use(self, endpoint: Endpoint, pace: Pace) -> None:
        """Go on with another address, from the next step on, which comes at once."""
        self._next = (endpoint, pace)
        self._woken.set()

    def stop(self, seconds: float) -> bool:
        """End the thread, cutting an exchange that is under way; True when it ended within ``seconds``."""
        self._stop = True
        self._woken.set()
        self._endpoint.abort()
        if self._thread.is_alive():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop:
            try:
                wait = self.turn()
            except Exception:
                log.exception("sending failed by a fault of Pantau's own; trying again in a minute")
                wait = _SLOW_PAUSE
            self._woken.wait(min(wait, _LONGEST_NAP))
            self._woken.clear()
        self._endpoint.close()

    def turn(self) -> float:
        """Send one group if one is due; return the seconds until the next step."""
        now = self.progress = self._clock.monotonic()
        if self._next is not None:
            self._endpoint.close()
            self._endpoint, self._pace = self._next
            self._next, self._trusted, self._failures = None, False, 0
            self._live_at = now
        if now >= self._live_at:
            self._live_at = now + self._pace.wait(self._clock.ms())
            self._fresh_from = self._clock.ms()
            if self._clock.offset_ms is None and not (self._asked and self._clock.credible) and not self._learn(now):
                return self._live_at - self._clock.monotonic()
            self._spool.correct(self._clock.shift)
            # while nothing is taken, the newest lines ask whether it is again: to pack many in vain is work
            self._send(self._spool.newest(_LEAST_LINES if self.lost else self._group_lines))
        elif self._behind and now >= self._backlog_at:
            self._send(self._spool.oldest(self._group_lines, before=self._fresh_from))
        due = min(self._live_at, self._backlog_at) if self._behind else self._live_at
        return max(0.0, due - self._clock.monotonic())

    def _learn(self, now: float) -> bool:
        """Ask for the centre's time by an empty write, before any stamp is believed; tell whether to go on and send."""
        try:
            self._post(pack([]))
        except Unreachable as error:
            self._pause(Pause(Verdict.OURS if error.ours else Verdict.UNREACHABLE, str(error)), now)
            return False
        self._asked = True
        self._spool.ages = self._clock.credible
        return self._clock.credible

    def _send(self, group: Group | None) -> None:
        if group is None:
            self._behind = False
            return
        began = self._clock.monotonic()
        outcome = deliver(group.lines, self._post, trusted=self._trusted, body=group.body)
        now = self._clock.monotonic()
        self.counts.took_ns = round((now - began) * 1e9)
        self._trusted = outcome.accepted
        if outcome.too_large:
            self._group_lines = max(_LEAST_LINES, self._group_lines // 2)
        if outcome.pause is None:
            if self.lost:
                self._live_at = now
            self._well(now)
        else:
            self._pause(outcome.pause, now)
        self._spool.settle(group, self._clock.ms(), rest=outcome.rest, rejected=outcome.rejected, poison=outcome.poison)
        self._complain(outcome)
        self._behind = outcome.pause is None and self._spool.tally.spooled > 0
        self._backlog_at = now + (now - began) * (1 - _BACKLOG_SHARE) / _BACKLOG_SHARE

    def _post(self, body: bytes) -> Answer:
        self.counts.posts += 1
        self.progress = self._clock.monotonic()
        answer = self._endpoint.post(body)
        if answer.date is not None and not answer.html:
            self._clock.compare(answer.date, self._clock.monotonic() - self.progress)
        if answer.version and answer.version != self.version:
            self.version = answer.version
            if apart(VERSION, answer.version):
                log.warning(
                    "this agent is %s, the centre %s: lines go through all the same; upgrade the older one",
                    VERSION,
                    answer.version,
                )
        return answer

    def _well(self, now: float) -> None:
        if self.lost:
            waiting = self._spool.tally.spooled
            log.warning("the centre takes data again after %.0f s; %d lines wait", now - self._since, waiting)
        self.lost = self._spool.durable = False
        self._failures, self._verdict = 0, None

    def _pause(self, pause: Pause, now: float) -> None:
        self.counts.errors += 1
        self._failures += 1
        if not self.lost:
            self._since = now
        if pause.verdict is not self._verdict:
            log.warning("the centre takes no data, everything is kept: %s", pause.why)
        self.lost = self._spool.durable = True
        self._verdict = pause.verdict
        self._live_at = now + self._how_long(pause)

    def _how_long(self, pause: Pause) -> float:
        """Return the seconds to wait; when nobody answers, never longer than the usual pace, which harms nobody."""
        if pause.verdict is Verdict.OURS:
            return _SLOW_PAUSE * (0.8 + 0.4 * self._chance())
        if pause.wish is not None and pause.wish > 0:
            return min(pause.wish, _LONGEST_WISH) * (1 + 0.1 * self._chance())
        longest = self._pace.interval_ms / 1000 if pause.verdict is Verdict.UNREACHABLE else _LONGEST_PAUSE
        return max(_LEAST_PAUSE, self._chance() * min(longest, _FIRST_PAUSE * 2.0 ** min(self._failures, 20)))

    def _complain(self, outcome: Outcome) -> None:
        """Log what was refused for good, once for each kind of complaint."""
        complaints = [outcome.complaint] if outcome.complaint else []
        complaints += [f"{why} [{line[:80]!r}]" for line, why in outcome.poison]
        for complaint in complaints:
            kind = re.sub(r"\d+", "#", complaint)
            if kind not in self._complaints and len(self._complaints) < _COMPLAINTS:
                self._complaints.add(kind)
                log.error("the centre refuses lines for good (told once for each kind): %s", complaint)
