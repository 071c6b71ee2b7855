"""Judge and ledger alone, in this process: results are made up, the database is real. What a look costs of CPU."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Final

from centre_figures import Table
from centre_process import Centre, postgresql

from alerts.judge import Judge
from collectors.result import Reason, Result, Status
from server.heart import Heart
from server.outside import real
from server.settings import read
from server.state.database import Database
from server.state.migrate import upgrade
from server.watching.feed import Feed

GOAL: Final = 50.0  # us of CPU a look
_SUBJECTS: Final = 1000
_RULE: Final = '[[rule]]\nid = "load"\nmeasurement = "system"\nfield = "load1"\nabove = 10\n'
_CHECK: Final = "rule/load"
_TURN: Final = 200  # a subject of so many is broken in a round, and whole again in the next: a look in a hundred flips


class Judging:
    """The table of the judge."""

    def __init__(self) -> None:
        self._table = Table(
            f"Judge and ledger alone, {_SUBJECTS:,} looks a second; the goal is {GOAL:.0f} us a look",
            ("state in", "looks come", "CPU, us a look", "1 % flip: us a look", "us a flip", "PostgreSQL's, us a look"),
        )

    def measure(self, folder: Path, database: str, seconds: int) -> None:
        """Measure the judge on one kind of database."""
        folder.mkdir()
        if database == "sqlite":
            asyncio.run(self._both(Centre(folder, settings=_RULE), "SQLite", seconds, lambda: 0.0))
            return
        with postgresql(folder / "postgresql") as (url, spent):
            centre = Centre(folder, url, settings=_RULE)
            asyncio.run(self._both(centre, "PostgreSQL", seconds, spent))

    async def _both(self, centre: Centre, name: str, seconds: int, beside: Callable[[], float]) -> None:
        rounds = max(4, seconds // 4)
        settings = read(centre.folder / "server.toml")
        settings.data.mkdir()
        with closing(Database(settings.state)) as database:
            upgrade(database.engine)
            heart = Heart(
                database,
                settings.watched,
                settings.terms(),
                {},
                settings.look(),
                settings.schedule,
                real(),
                keep=lambda _points: None,
                feed=Feed(),
                release="bench",
            )
            await heart.open()
            moments = count(time.time_ns() // 1_000_000, 15_000)
            await _judged(heart.judge, _rounds(moments, 2), together=True)
            for together, words in ((True, "a round at once"), (False, "each by itself")):
                elsewhere = beside()
                plain = await _judged(heart.judge, _rounds(moments, rounds), together=together)
                elsewhere = (beside() - elsewhere) / rounds / _SUBJECTS * 1e6
                flips = await _judged(heart.judge, _rounds(moments, rounds, turn=_TURN), together=together)
                cells = (f"{plain:.1f}", f"{flips:.1f}", f"{(flips - plain) * 100 + plain:.0f}")
                self._table.row(name, words, *cells, f"{elsewhere:.1f}" if elsewhere else "")
            await heart.finish()

    def show(self) -> None:
        """Print the table."""
        self._table.show()


async def _judged(judge: Judge, rounds: Iterator[Sequence[Result]], *, together: bool) -> float:
    """Let the judge see rounds of looks, one after the other is committed; return the CPU of a look in microseconds."""
    spent, looks = 0.0, 0
    for results in rounds:
        steady, before = results[0].at, time.process_time()
        if together:
            await judge.observe(results, steady)
        else:
            await asyncio.gather(*(judge.observe([result], steady) for result in results))
        spent += time.process_time() - before
        looks += len(results)
    return spent / looks * 1e6


def _rounds(moments: Iterator[int], rounds: int, turn: int = 0) -> Iterator[Sequence[Result]]:
    """Yield rounds of looks, each of all subjects; of ``turn`` subjects one is broken, another one each round."""
    for number in range(rounds):
        at = next(moments)
        yield [_look(subject, at, broken=bool(turn) and (subject + number) % turn == 0) for subject in range(_SUBJECTS)]


def _look(subject: int, at: int, *, broken: bool) -> Result:
    return Result(
        check=_CHECK,
        subject=f"host/host{subject:05}",
        status=Status.DEGRADED if broken else Status.UP,
        reason=Reason.THRESHOLD if broken else Reason.OK,
        at=at,
        detail="system load1 = 0.97 (limit > 10)",
        facts={"load1": 0.97},
    )
