"""Lateness: how punctual the schedule is, by job and by kind of check. Pure; times are ms of steady time, stretches ms."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from collectors.point import Point

MEASUREMENT: Final = "internal_schedule"
_SKIPPED_SHARE: Final = 0.1
_BOUNDS: Final[tuple[int, ...]] = tuple(step * 10**power for power in range(6) for step in (1, 2, 5))  # ms, up to 500 s


class Lateness(msgspec.Struct):
    """How punctual one job is: its runs and skipped due times so far, and the last run's delays.

    ``due`` is on the wall clock, for people. ``late_ms`` is from due to started, ``waited_ms`` the part of it that was spent waiting
    for a slot; ``took_ms`` is the look, ``written_ms`` from its end to committed, ``committed_ms`` from due to committed.
    """

    job: str
    kind: str
    interval: float
    runs: int = 0
    skipped: int = 0
    due: int = 0
    late_ms: int = 0
    waited_ms: int = 0
    took_ms: int = 0
    written_ms: int = 0
    committed_ms: int = 0


class Tally(msgspec.Struct):
    """The jobs of one kind together: counts that grow, and the delays since they were last asked for, each the worst of its own.

    ``delay_ms`` is from due to committed without the look itself: what the centre added. ``committed_p50_ms`` and
    ``committed_p95_ms`` are read from buckets of 1, 2, 5, 10 … ms, by straight line inside one.
    """

    jobs: int = 0
    runs: int = 0
    skipped: int = 0
    late_ms: int = 0
    waited_ms: int = 0
    took_ms: int = 0
    written_ms: int = 0
    delay_ms: int = 0
    committed_ms: int = 0
    committed_p50_ms: int = 0
    committed_p95_ms: int = 0


_WORST: Final = ("late_ms", "waited_ms", "took_ms", "written_ms", "delay_ms", "committed_ms")


class Round(msgspec.Struct, eq=False):
    """A look of ``job`` on its way: when it was due, asked for a slot, got it, and was over; None what has not come yet."""

    job: str
    due: int
    asked: int
    started: int | None = None
    ended: int | None = None


class Punctuality:
    """Records what becomes of each job's due times; ``at`` is steady time.

    ``jobs`` are by id; ``tallies`` are those by kind that were taken last.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, Lateness] = {}
        self.tallies: Mapping[str, Tally] = {}
        self._tallies: dict[str, Tally] = {}
        self._buckets: dict[str, list[int]] = {}
        self._next: dict[str, int] = {}
        self._rounds: set[Round] = set()
        self._judged: dict[str, tuple[int, int]] = {}

    def add(self, job: str, kind: str, interval: float) -> None:
        """Know a job from now on; one that is known keeps its counts, unless it is of another kind now."""
        known = self.jobs.get(job)
        if known is not None and known.kind != kind:
            self.remove(job)
            known = None
        if known is None:
            self._tallies.setdefault(kind, Tally()).jobs += 1
            self._buckets.setdefault(kind, [0] * (len(_BOUNDS) + 1))
            known = self.jobs[job] = Lateness(job, kind, interval)
        known.interval = interval
        self._next.pop(job, None)

    def remove(self, job: str) -> None:
        """Know a job no more; its looks stay in the counts of its kind."""
        known = self.jobs.pop(job, None)
        if known is not None:
            self._tallies[known.kind].jobs -= 1
            self._rounds = {under_way for under_way in self._rounds if under_way.job != job}
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
        """Record due times without a look; those of a job that is gone count nowhere."""
        known = self.jobs.get(job)
        if known is not None:
            known.skipped += times
            self._tallies[known.kind].skipped += times

    def ask(self, job: str, due: int, at: int) -> Round:
        """Record that a look asks for a slot; returns its round. From here on, one of a job that is gone counts nowhere."""
        asked = Round(job, due, at)
        if job in self.jobs:
            self._rounds.add(asked)
        return asked

    def start(self, under_way: Round, at: int, wall: int) -> None:
        """Record that a look has its slot; up to here nothing of it is response time. ``wall`` is now on the wall clock."""
        under_way.started = at
        if under_way not in self._rounds:
            return
        known = self.jobs[under_way.job]
        known.runs += 1
        self._tallies[known.kind].runs += 1
        known.late_ms, known.waited_ms = at - under_way.due, at - under_way.asked
        known.due = wall - known.late_ms
        self._worst(known.kind, late_ms=known.late_ms, waited_ms=known.waited_ms, delay_ms=known.late_ms)

    def end(self, under_way: Round, at: int) -> None:
        """Record that a look is over."""
        under_way.ended = at
        if under_way in self._rounds and under_way.started is not None:
            known = self.jobs[under_way.job]
            known.took_ms = at - under_way.started
            self._worst(known.kind, took_ms=known.took_ms)

    def commit(self, under_way: Round, at: int) -> None:
        """Record that what a look showed is written for good."""
        if under_way not in self._rounds or under_way.ended is None:
            return
        self._rounds.discard(under_way)
        known = self.jobs[under_way.job]
        known.written_ms, known.committed_ms = at - under_way.ended, at - under_way.due
        self._buckets[known.kind][bisect_left(_BOUNDS, known.committed_ms)] += 1
        self._worst(known.kind, **_so_far(under_way, at))

    def give_up(self, under_way: Round) -> None:
        """Expect no more of a round: it was committed, cut off, or waits for a database that is away."""
        self._rounds.discard(under_way)

    def take(self, at: int) -> dict[str, Tally]:
        """Return a tally for each kind, what is under way now included, and begin the delays anew."""
        for under_way in self._rounds:
            self._worst(self.jobs[under_way.job].kind, **_so_far(under_way, at))
        taken = {kind: msgspec.structs.replace(tally) for kind, tally in sorted(self._tallies.items())}
        for kind, tally in taken.items():
            tally.committed_p50_ms = min(_quantile(self._buckets[kind], 0.50), tally.committed_ms)
            tally.committed_p95_ms = min(_quantile(self._buckets[kind], 0.95), tally.committed_ms)
        for kind, tally in self._tallies.items():
            self._buckets[kind] = [0] * (len(_BOUNDS) + 1)
            for name in _WORST:
                setattr(tally, name, 0)
        self.tallies = taken
        return taken

    def trouble(self, taken: Mapping[str, Tally], late: float, backlog: int = 0) -> str:
        """Return in one line what is wrong with what was taken, given the seconds a look may be late; "" when nothing is.

        ``backlog`` is the ms that the oldest look waits to be written. Skipped due times are those since this was last asked.
        """
        said = [*_delays(taken, late)]
        if backlog > late * 1000:
            said.append(f"what was seen waits {backlog / 1000:.1f} s to be written (limit {late:g} s)")
        for kind, tally in taken.items():
            runs, skipped = self._judged.get(kind, (0, 0))
            self._judged[kind] = tally.runs, tally.skipped
            more, due = tally.skipped - skipped, tally.skipped - skipped + tally.runs - runs
            if more > _SKIPPED_SHARE * due:
                said.append(f"{more} of {due} due times of kind {kind} passed without a look")
        return "; ".join(said)

    def _worst(self, kind: str, **delays: int) -> None:
        tally = self._tallies[kind]
        for name, ms in delays.items():
            if ms > getattr(tally, name):
                setattr(tally, name, ms)


def to_points(taken: Mapping[str, Tally], host: str, at: int) -> Iterable[Point]:
    """Write tallies as Points: measurement ``internal_schedule``, tags host and type (the kind of check); ``at`` is wall ms."""
    for kind, tally in taken.items():
        yield Point(MEASUREMENT, {"host": host, "type": kind}, msgspec.structs.asdict(tally), at * 1_000_000)


def _so_far(under_way: Round, at: int) -> dict[str, int]:
    """Return the delays of a round if it got on just now."""
    if under_way.started is None:
        late = at - under_way.due
        return {"late_ms": late, "waited_ms": at - under_way.asked, "delay_ms": late, "committed_ms": late}
    if under_way.ended is None:
        return {}
    written = at - under_way.ended
    delay = under_way.started - under_way.due + written
    return {"written_ms": written, "delay_ms": delay, "committed_ms": at - under_way.due}


def _delays(taken: Mapping[str, Tally], late: float) -> Iterable[str]:
    """Yield which kind of look started too late, or was written too late although it started in time."""
    kind, worst = max(taken.items(), key=lambda item: item[1].late_ms, default=("", Tally()))
    if worst.late_ms > late * 1000:
        waited = f", after waiting {worst.waited_ms / 1000:.1f} s for a slot" if worst.waited_ms else ""
        yield f"a look of kind {kind} started {worst.late_ms / 1000:.1f} s after it was due{waited} (limit {late:g} s)"
        return
    kind, worst = max(taken.items(), key=lambda item: item[1].delay_ms, default=("", Tally()))
    if worst.delay_ms > late * 1000:
        yield (
            f"what a look of kind {kind} showed was written {worst.delay_ms / 1000:.1f} s late,"
            f" its own time left out (limit {late:g} s)"
        )


def _quantile(buckets: list[int], share: float) -> int:
    """Return the ms within which that share of looks was committed, by straight line inside a bucket; 0 of no looks."""
    wanted = share * sum(buckets)
    for number, count in enumerate(buckets):
        if count and wanted <= count:
            low = _BOUNDS[number - 1] if number else 0
            high = _BOUNDS[min(number, len(_BOUNDS) - 1)]
            return round(low + (high - low) * wanted / count)
        wanted -= count
    return 0
