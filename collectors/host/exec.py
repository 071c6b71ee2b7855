"""``nagios_state`` and ``nagios``: what Nagios plug-ins, and programs that behave like them, find out about this host."""

import asyncio
import errno
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from collectors.host.sources import nagios, program
from collectors.point import Point, Value
from configs.units import Duration, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collectors.host import Roots

_AT_ONCE: Final = 4
_LONGEST: Final = 4096
_CANNOT_START: Final = {errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR}


class Run(Protocol):
    """How plug-ins are run; see ``program.run``."""

    async def __call__(self, command: "Sequence[str]", *, seconds: float, most: int) -> program.Ended:
        """Run ``command`` for at most ``seconds`` and for ``most`` bytes."""
        ...


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``commands``: name -> program and arguments, without a shell; ``{ load = ["/usr/lib/nagios/plugins/check_load"] }``.

    ``deadline``: how long one may take before it is killed with all that it started; ``max_output``: how much it may
    write; ``max_perfdata``: how many of its figures are taken.
    """

    commands: dict[str, tuple[str, ...]]
    deadline: Duration = Duration(8)
    max_output: Size = Size(65536)
    max_perfdata: int = 100

    def __post_init__(self) -> None:
        """ValueError when there is nothing to run."""
        if not self.commands or not all(self.commands.values()):
            raise ValueError("expected at least one command, each a list with a program")


class Exec:
    """Runs the plug-ins, a few at a time."""

    def __init__(self, options: Options, _roots: "Roots", run: Run = program.run) -> None:
        self._options = options
        self._run = run

    async def collect(self, now: int) -> list[Point]:
        """Return a ``nagios_state`` point a plug-in, and a ``nagios`` point for each figure.

        A plug-in that takes or writes too much, ends by a signal or cannot be started is UNKNOWN (3) and says why. Raises
        its OSError when none can be started.
        """
        turns = asyncio.Semaphore(_AT_ONCE)

        async def look(name: str, command: tuple[str, ...]) -> list[Point] | OSError:
            async with turns:
                try:
                    ended = await self._run(command, seconds=self._options.deadline, most=self._options.max_output)
                except OSError as error:
                    return error
            return self._points(name, ended, now)

        answers = await asyncio.gather(*(look(*item) for item in self._options.commands.items()))
        failures = [answer for answer in answers if isinstance(answer, OSError)]
        if len(failures) == len(answers) and all(error.errno in _CANNOT_START for error in failures):
            raise failures[0]
        points: list[Point] = []
        for name, answer in zip(self._options.commands, answers, strict=True):
            points += [_unknown(name, answer, now)] if isinstance(answer, OSError) else answer
        return points

    def _points(self, name: str, ended: program.Ended, now: int) -> list[Point]:
        output = nagios.split(ended.out)
        known = 0 <= ended.code <= nagios.UNKNOWN
        text = output.text or ended.complaint()
        fields: dict[str, Value] = {
            "state": ended.code if known else nagios.UNKNOWN,
            "service_output": (text if known else f"ended with {ended.code}: {text}")[:_LONGEST],
        }
        if output.more:
            fields["long_service_output"] = output.more[:_LONGEST]
        figures = {
            (one.label, one.unit): Point("nagios", _tags(name, one), one.fields, now)
            for one in islice(nagios.perfdata(output.perfdata), self._options.max_perfdata)
        }
        return [Point("nagios_state", {"check": name}, fields, now), *figures.values()]


def _tags(name: str, one: nagios.Perfdata) -> dict[str, str]:
    tags = {"check": name, "perfdata": one.label}
    return {**tags, "unit": one.unit} if one.unit else tags


def _unknown(name: str, error: OSError, now: int) -> Point:
    fields: dict[str, Value] = {"state": nagios.UNKNOWN, "service_output": error.strerror or str(error)}
    return Point("nagios_state", {"check": name}, fields, now)
