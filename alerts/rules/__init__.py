"""Rules: what stored series show, as Results for the judge. One file for each kind, imported only when configured."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from alerts.state import State
from collectors.point import Value
from collectors.result import Result, Status


class Unreadable(Exception):
    """The store of readings cannot be read now; try again. Never to be read as "no data"."""


class Reading(Protocol):
    """The newest values of one series, as a store gives them."""

    @property
    def tags(self) -> Mapping[str, str]: ...  # noqa: D102 - the class says it

    @property
    def fields(self) -> Mapping[str, Value]: ...  # noqa: D102


class Readings(Protocol):
    """The part of a store that rules read."""

    async def latest(
        self, measurement: str, fields: Sequence[str], *, since: int, where: Mapping[str, str] | None = None
    ) -> Sequence[Reading]:
        """Return the newest value of ``fields`` of every series that has one at or after ``since`` (ns); Unreadable when it cannot."""
        ...


class Target(msgspec.Struct, frozen=True):
    """What a rule's results say: ``check`` names the rule in them, ``broken`` is the status of a subject that breaks it."""

    check: str
    broken: Status


class Evidence(msgspec.Struct, frozen=True):
    """What a rule looks at, at one moment ``at`` (ms of the wall clock), which is ``steady`` on the steady scale (``configs.clock``).

    ``states`` are those of this rule so far, by subject; ``last_seen`` is when each host last wrote, ``listening_since`` when hosts
    could begin to write: before that, silence is ours. Both are ms of steady time.
    """

    at: int
    steady: int
    store: Readings
    states: Mapping[str, State] = {}
    last_seen: Mapping[str, int] = {}
    listening_since: int = 0


class Rule(Protocol):
    """Judges stored series. Built with ``(target: Target, options: Options)``; ValueError when the options do not fit together.

    A class has its settings beside it as ``Options`` (a frozen msgspec Struct that forbids unknown fields), without what every
    ``[[rule]]`` has. It says what breaking it means where settings do not (``status``), and whether it speaks for the
    availability of its subjects (``counts``). ``blind_for``, if it has that, is after how many seconds of UNKNOWN that is believed.
    """

    status: Status
    counts: bool

    async def evaluate(self, evidence: Evidence) -> list[Result]:
        """Return one Result at ``evidence.at`` for each subject that is there or has a state.

        Where a known series went silent the answer is UNKNOWN, never UP. Unreadable may pass through: whoever planned the rule
        makes every known subject UNKNOWN.
        """
        ...


RULES: Final[dict[str, str]] = {
    "threshold": "alerts.rules.threshold:Threshold",
    "absence": "alerts.rules.absence:Absence",
}
