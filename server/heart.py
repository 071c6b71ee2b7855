"""The heart of the centre: looks, judges, keeps the ledger and sends; no web, no ingest and no store in it.

The simulated city (``tests/simulation``) runs it as it is, on made time.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from alerts import outbox
from alerts.courier import Courier
from alerts.follow import Terms
from alerts.judge import Judge
from alerts.message import Look
from alerts.states import States
from alerts.tables import Database, StateAway
from collectors.point import Point
from collectors.result import Result
from server.ledger.running_time import RunningTime
from server.ledger.writing import Ledger
from server.outside import Outside
from server.watching.feed import Feed
from server.watching.observer import Observer
from server.watching.options import Options
from server.watching.scheduler import Job, Schedule
from server.watching.watched import Watched

if TYPE_CHECKING:
    from alerts.channels import Channel

_DRAIN: Final = 5.0  # seconds that a stop gives to messages on their way
_BEAT: Final = 2.0  # seconds between signs of life: the blur at the edge of an unobserved stretch after a kill
_TICK: Final = 0.5

Turn = tuple[Callable[[], Awaitable[None]], float]


class Heart:
    """The schedule, the judge, the ledger and the courier, connected. ``open`` it, ``start`` it, ``stop`` it.

    ``keep`` takes points of what looks showed, ``release`` is the version that the running time is written down with.
    """

    def __init__(
        self,
        database: Database,
        watched: Watched,
        terms: Terms,
        channels: "Mapping[str, Channel]",
        look: Look,
        limits: Options,
        outside: Outside,
        *,
        keep: Callable[[Iterable[Point]], None],
        feed: Feed,
        release: str,
    ) -> None:
        self._clock = clock = outside.clock
        self._to_retire = False
        self.courier = Courier(
            database,
            channels,
            clock.now,
            clock.steady,
            look=look,
            owner=outside.token(),
            chance=outside.chance,
            in_thread=outside.in_thread,
        )
        self.running_time = RunningTime(database, clock.now, release, ahead=clock.ahead)
        self.judge = Judge(
            database, terms, Ledger(self.running_time, self._notice_gap), clock, planned=self.courier.wake
        )
        self.observer = Observer(watched, self.judge, keep, feed)
        self.schedule = Schedule(clock=clock, tell=self._tell, limits=limits)

    @property
    def states(self) -> States:
        """What is believed now."""
        return self.judge.states

    async def open(self) -> None:
        """Begin the centre's own running time, and believe what the database says."""
        self._clock.tick()  # nobody was to watch until here
        await self.running_time.start(outbox.carry_over)
        await self.judge.load()

    async def retire_unnamed(self) -> None:
        """Believe nothing any more by checks that settings do not name. Raises StateAway: it is done once the database is back."""
        try:
            await self.observer.retire_unnamed()
        except StateAway:
            self._to_retire = True
            raise

    def start(self, jobs: Iterable[Job]) -> None:
        """Begin to look."""
        self._clock.tick()
        for job in jobs:
            self.schedule.add(job)
        self.schedule.start(now=True)

    def turns(self) -> Mapping[str, Turn]:
        """Return what is to be done again and again beside the looks, by name: the work, and the seconds between."""
        return {
            "beat": (self._beat, _BEAT),
            "clock": (self._tick, _TICK),
            "courier": (self.courier.run, 1.0),
        }

    def use(
        self,
        watched: Watched,
        terms: Terms,
        channels: "Mapping[str, Channel]",
        look: Look,
        jobs: Sequence[Job],
        limits: Options,
    ) -> None:
        """Go by other settings from now on: nothing here waits, or can fail."""
        self.judge.use(terms)
        self.observer.use(watched)
        self.courier.use(channels, look)
        self.schedule.replace(jobs, limits)

    async def stop(self) -> None:
        """Send what is on its way, a few seconds long, then accept no new looks: the time in which nobody looks is to be short."""
        await self.courier.stop(_DRAIN)
        await self.schedule.stop()

    async def finish(self) -> None:
        """Write what still waits, and the last sign of life, once the turns have ended."""
        await self.observer.finish()

    async def _tell(self, results: Sequence[Result], steady: int) -> None:
        await self.observer.observe(results, steady, self.schedule)

    async def _beat(self) -> None:
        await self.observer.commit(self.schedule)
        if self._to_retire:
            self._to_retire = False
            await self.retire_unnamed()

    async def _tick(self) -> None:
        self._notice_gap()

    def _notice_gap(self) -> None:
        gap = self._clock.tick()
        if gap is not None:
            self.running_time.interrupt(gap)
            self.judge.interrupt(gap.after - gap.before)
