"""Several servers of one kind, asked at the same time: one that fails stops none of the others."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from collectors.point import Point

Look = Callable[[str], Awaitable[list[Point]]]


class Targets:
    """Remembers of each server what was wrong with it last, so that only a change is told."""

    def __init__(self, kind: str) -> None:
        self._log = logging.getLogger(f"pantau.host.{kind}")
        self._wrong: dict[str, str] = {}

    async def ask(self, names: Iterable[str], look: Look) -> list[Point]:
        """Return what ``look`` returns for all names together. Raises the first one's OSError when no server answers."""
        names = tuple(names)
        answers = await asyncio.gather(*(self._one(name, look) for name in names))
        failures = [answer for answer in answers if isinstance(answer, OSError)]
        if failures and len(failures) == len(answers):
            raise failures[0]
        for name, answer in zip(names, answers, strict=True):
            self._tell(name, str(answer) if isinstance(answer, OSError) else "")
        return [point for answer in answers if not isinstance(answer, OSError) for point in answer]

    async def _one(self, name: str, look: Look) -> list[Point] | OSError:
        try:
            return await look(name)
        except OSError as error:
            return error

    def _tell(self, name: str, wrong: str) -> None:
        before = self._wrong.get(name, "")
        if wrong and wrong != before:
            self._log.warning("%s is left out: %s", name, wrong)
        elif before and not wrong:
            self._log.warning("%s answers again", name)
        self._wrong[name] = wrong
