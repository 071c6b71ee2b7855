"""Threshold: the newest value of a field against a limit, with another limit for the way back."""

from collections.abc import Callable, Mapping
from typing import Annotated, Final

import msgspec

from alerts.rules import Evidence, Reading, Target
from collectors.result import Reason, Result, Status
from configs.units import Duration

_Name = Annotated[str, msgspec.Meta(min_length=1)]
_BROKEN = frozenset({Status.DEGRADED, Status.DOWN})
_GONE: Final = 3600.0  # seconds until a series of a whole host that is gone is an incident


class Recovery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must be true, beside the problem being over, before a broken subject is well: the newest ``field`` is ``above`` or ``below``.

    It is of the same host, or the same part of it where the rule has ``by``, and of the rule's ``measurement`` unless another is named.
    Without data it is not true.
    """

    field: _Name
    measurement: str = ""
    where: dict[str, str] = {}
    above: float | None = None
    below: float | None = None
    window: Duration = Duration(300)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest ``field`` of ``measurement`` within ``window`` is ``above`` or ``below`` the limit for ``for``.

    It is over when the value is back at ``recover`` (default: the limit), or when ``recovery`` is true as well. Its subjects are hosts, or
    parts of hosts named by the tags in ``by``; of several series of one subject the worst value counts. ``where`` keeps series with these
    tag values. A series that is gone is an incident after ``no_data_for`` ("0s": never): while its host still writes after an hour if the
    rule has no ``by``, else never, since parts come and go; said here, also when its host is silent. What breaks the limit is degraded,
    unless ``status`` says otherwise.
    """

    measurement: _Name
    field: _Name
    where: dict[str, str] = {}
    by: tuple[str, ...] = ()
    above: float | None = None
    below: float | None = None
    recover: float | None = None
    recovery: Recovery | None = None
    window: Duration = Duration(300)
    no_data_for: Duration | None = None


class Threshold:
    """A value beyond its limit degrades its subject; it says nothing of the availability of the host."""

    status = Status.DEGRADED
    counts = False

    def __init__(self, target: Target, options: Options) -> None:
        if options.window <= 0:
            raise ValueError("window must be longer than nothing")
        if (options.above is None) == (options.below is None):
            raise ValueError("a threshold rule needs either above or below")
        self._target = target
        self._options = options
        if options.recover is not None and self._beyond(options.recover):
            raise ValueError("recover lies on the wrong side of the limit")
        if options.recovery is not None:
            _require_one_way(options, options.recovery)
        self.blind_for: float | None = options.no_data_for or None
        if options.no_data_for is None and not options.by:
            self.blind_for = _GONE

    async def evaluate(self, evidence: Evidence) -> list[Result]:
        """Return UP or the broken status for each subject with a value, UNKNOWN for a known one without."""
        options, recovery = self._options, self._options.recovery
        worst = max if options.above is not None else min
        values = await self._values(evidence, options.measurement, options.field, options.where, options.window, worst)
        over: Mapping[str, float] = {}
        if recovery is not None and any(self._was_broken(evidence, subject) for subject in values):
            worst = max if recovery.below is not None else min
            over = await self._values(
                evidence,
                recovery.measurement or options.measurement,
                recovery.field,
                recovery.where,
                recovery.window,
                worst,
            )
        silent = [self._silent(subject, evidence) for subject in evidence.states if subject not in values]
        return [self._judged(subject, value, over.get(subject), evidence) for subject, value in values.items()] + silent

    async def _values(
        self,
        evidence: Evidence,
        measurement: str,
        field: str,
        where: Mapping[str, str],
        window: Duration,
        worst: Callable[[float, float], float],
    ) -> dict[str, float]:
        """Return the newest values by subject; of several series of one the worst."""
        since = (evidence.at - window.ms) * 1_000_000
        values: dict[str, float] = {}
        for reading in await evidence.store.latest(measurement, [field], since=since, where=where or None):
            subject, value = self._subject(reading), reading.fields.get(field)
            if subject is not None and isinstance(value, (int, float)):
                values[subject] = worst(values.get(subject, value), value)
        return values

    def _judged(self, subject: str, value: float, recovery: float | None, evidence: Evidence) -> Result:
        options, was_broken = self._options, self._was_broken(evidence, subject)
        broken = self._breaks(value, was_broken=was_broken)
        limit = f"> {options.above:g}" if options.above is not None else f"< {options.below:g}"
        detail = f"{options.measurement} {options.field} = {value:.5g} (limit {limit})"
        if was_broken and not broken and (missing := self._not_over(recovery)):
            broken, detail = True, f"{detail}, but {missing}"
        return Result(
            check=self._target.check,
            subject=subject,
            status=self._target.broken if broken else Status.UP,
            reason=Reason.THRESHOLD if broken else Reason.OK,
            at=evidence.at,
            detail=detail,
            facts={options.field: value},
        )

    def _not_over(self, value: float | None) -> str:
        """Return why a problem is not over though its limit is kept, "" when it is."""
        recovery = self._options.recovery
        if recovery is None:
            return ""
        name = f"{recovery.measurement or self._options.measurement} {recovery.field}"
        needed = f"> {recovery.above:g}" if recovery.above is not None else f"< {recovery.below:g}"
        if value is None:
            return f"{name} is missing, which must be {needed}"
        above = recovery.above is None or value > recovery.above
        below = recovery.below is None or value < recovery.below
        return "" if above and below else f"{name} = {value:.5g} must be {needed}"

    def _silent(self, subject: str, evidence: Evidence) -> Result:
        options = self._options
        written = evidence.last_seen.get(subject.split("/")[1])
        gone = bool(options.no_data_for) or (written is not None and evidence.steady - written <= options.window.ms)
        return Result(
            check=self._target.check,
            subject=subject,
            status=Status.UNKNOWN,
            reason=Reason.NO_DATA if gone else Reason.SILENT,
            at=evidence.at,
            detail=f"no {options.measurement} {options.field} for {options.window:g} s",
        )

    def _subject(self, reading: Reading) -> str | None:
        """Return what a series is about; None when it lacks the host or a tag of ``by``."""
        tags = reading.tags
        if not all(tags.get(tag) for tag in ("host", *self._options.by)):
            return None
        return "/".join([f"host/{tags['host']}", *(f"{tag}={tags[tag]}" for tag in self._options.by)])

    def _was_broken(self, evidence: Evidence, subject: str) -> bool:
        before = evidence.states.get(subject)
        return before is not None and before.status in _BROKEN

    def _breaks(self, value: float, *, was_broken: bool) -> bool:
        """Return whether a value breaks the rule; once broken it stays so until the value is back at ``recover``."""
        recover = self._options.recover
        if not was_broken or recover is None:
            return self._beyond(value)
        return value > recover if self._options.above is not None else value < recover

    def _beyond(self, value: float) -> bool:
        if self._options.above is not None:
            return value > self._options.above
        return self._options.below is not None and value < self._options.below


def _require_one_way(options: Options, recovery: Recovery) -> None:
    """Raise ValueError when a problem's end is told in two ways, or in none."""
    if options.recover is not None:
        raise ValueError("give either recover or recovery")
    if (recovery.above is None) == (recovery.below is None):
        raise ValueError("recovery needs either above or below")
    if recovery.window <= 0:
        raise ValueError("the window of recovery must be longer than nothing")
