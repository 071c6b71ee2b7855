"""Lateness: how punctual the schedule is, by job and by kind of check. Pure; times are ms since epoch, stretches ms."""

from collections.abc import Iterable
from typing import Final

import msgspec

from collectors.point import Point

MEASUREMENT: Final = "internal_schedule"
_SKIPPED_SHARE: Final = 0.1


class Lateness(msgspec.Struct):
    """How punctual one job is: its runs and skipped due times so far, and the last run's delays.

    ``late_ms`` is from ``due`` to ``started``; ``waited_ms`` is the part of it that was spent waiting for a slot.
    """

    job: str
    kind: str
    interval: float
    runs: int = 0
    skipped: int = 0
    due: int = 0
    started: int = 0
    late_ms: int = 0
    waited_ms: int = 0
    took_ms: int = 0


class Tally(msgspec.Struct):
    """The jobs of one kind together: counts that grow, and the worst delays since they were last asked for."""

    jobs: int = 0
    runs: int = 0
    skipped: int = 0
    late_ms: int = 0
    waited_ms: int = 0
    took_ms: int = 0


class Punctuality:
    """Takes down what becomes of each job's due times; ``at`` is the centre's clock."""

    def __init__(self) -> None:
        self.jobs: dict[str, Lateness] = {}
        self._tallies: dict[str, Tally] = {}
        self._next: dict[str, int] = {}
        self._waiting: dict[str, tuple[int, int]] = {}
        self._judged: tuple[int, int] = (0, 0)

    def add(self, job: str, kind: str, interval: float) -> None:
        """Know a job from now on; one that is known keeps its counts, unless it is of another kind now."""
        known = self.jobs.get(job)
        if known is not None and known.kind != kind:
            self.remove(job)
            known = None
        if known is None:
            self._tallies.setdefault(kind, Tally()).jobs += 1
            known = self.jobs[job] = Lateness(job, kind, interval)
        known.interval = interval
        self.forget_due(job)

    def remove(self, job: str) -> None:
        """Know a job no more; its looks stay in the counts of its kind."""
        known = self.jobs.pop(job, None)
        if known is not None:
            self._tallies[known.kind].jobs -= 1
            self.give_up(job)
            self.forget_due(job)

    def forget_due(self, job: str) -> None:
        """Expect the next due time of a job whenever it comes: it was planned anew."""
        self._next.pop(job, None)

    def handed(self, job: str, due: int) -> int:
        """Record that the due time ``due`` has come; return the first one that was not served.

        Those between that one and ``due`` passed without a look and are skipped.
        """
        step = round(self.jobs[job].interval * 1000)
        first = min(self._next.get(job, due), due)
        self._next[job] = due + step
        self.skip(job, round((due - first) / step))
        return first

    def skip(self, job: str, times: int = 1) -> None:
        """Record due times without a look."""
        known = self.jobs[job]
        known.skipped += times
        self._tallies[known.kind].skipped += times

    def ask(self, job: str, due: int, at: int) -> None:
        """Record that a look asks for a slot."""
        self._waiting[job] = due, at

    def start(self, job: str, at: int) -> None:
        """Record that a look has its slot; up to here nothing of it is response time. One of a job that is gone counts nowhere."""
        known = self.jobs.get(job)
        if known is None or job not in self._waiting:
            return
        due, asked = self._waiting.pop(job)
        known.runs += 1
        known.due, known.started = due, at
        # a clock that was set back is no look ahead of time
        known.late_ms, known.waited_ms = max(0, at - due), max(0, at - asked)
        tally = self._tallies[known.kind]
        tally.runs += 1
        tally.late_ms = max(tally.late_ms, known.late_ms)
        tally.waited_ms = max(tally.waited_ms, known.waited_ms)

    def end(self, job: str, at: int) -> None:
        """Record that a look is over."""
        known = self.jobs.get(job)
        if known is None:
            return
        known.took_ms = max(0, at - known.started)
        tally = self._tallies[known.kind]
        tally.took_ms = max(tally.took_ms, known.took_ms)

    def give_up(self, job: str) -> None:
        """Record that a look ended before it had a slot."""
        self._waiting.pop(job, None)

    def take(self, at: int) -> dict[str, Tally]:
        """Return a tally for each kind, looks that wait now included, and begin the worst delays anew."""
        for job, (due, asked) in self._waiting.items():
            if job not in self.jobs:
                continue
            tally = self._tallies[self.jobs[job].kind]
            tally.late_ms = max(tally.late_ms, at - due)
            tally.waited_ms = max(tally.waited_ms, at - asked)
        taken = {kind: msgspec.structs.replace(tally) for kind, tally in sorted(self._tallies.items())}
        for tally in self._tallies.values():
            tally.late_ms = tally.waited_ms = tally.took_ms = 0
        return taken

    def trouble(self, taken: dict[str, Tally], late: float) -> str:
        """Return in one line what is wrong with what was taken, given the seconds a look may be late; "" when nothing is.

        Skipped due times are those since the last time this was asked.
        """
        runs, skipped = sum(one.runs for one in taken.values()), sum(one.skipped for one in taken.values())
        more_runs, more_skipped = runs - self._judged[0], skipped - self._judged[1]
        self._judged = runs, skipped
        kind, worst = max(taken.items(), key=lambda item: item[1].late_ms, default=("", Tally()))
        said = []
        if worst.late_ms > late * 1000:
            waited = f", after waiting {worst.waited_ms / 1000:.1f} s for a slot" if worst.waited_ms else ""
            said.append(
                f"a look of kind {kind} started {worst.late_ms / 1000:.1f} s after it was due{waited} (limit {late:g} s)"
            )
        if more_skipped > _SKIPPED_SHARE * (more_runs + more_skipped):
            said.append(f"{more_skipped} of {more_runs + more_skipped} due times passed without a look")
        return "; ".join(said)


def to_points(taken: dict[str, Tally], host: str, at: int) -> Iterable[Point]:
    """Write tallies as Points: measurement ``internal_schedule``, tags host and type (the kind of check)."""
    for kind, tally in taken.items():
        yield Point(MEASUREMENT, {"host": host, "type": kind}, msgspec.structs.asdict(tally), at * 1_000_000)
