"""Threshold: the newest value of a field against a limit, with another limit for the way back."""

from typing import Annotated

import msgspec

from alerts.rules import Evidence, Reading, Target
from collectors.result import Reason, Result, Status
from configs.units import Duration

_Name = Annotated[str, msgspec.Meta(min_length=1)]
_BROKEN = frozenset({Status.DEGRADED, Status.DOWN})


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest ``field`` of ``measurement`` within ``window`` is ``above`` or ``below`` the limit for ``for``.

    It is over when the value is back at ``recover`` (default: the limit). Its subjects are hosts, or parts of hosts named by the
    tags in ``by``; of several series of one subject the worst value counts. ``where`` keeps series with these tag values.
    What breaks the limit is degraded, unless ``status`` says otherwise.
    """

    measurement: _Name
    field: _Name
    where: dict[str, str] = {}
    by: tuple[str, ...] = ()
    above: float | None = None
    below: float | None = None
    recover: float | None = None
    window: Duration = Duration(300)


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

    async def evaluate(self, evidence: Evidence) -> list[Result]:
        """Return UP or the broken status for each subject with a value, UNKNOWN for a known one without."""
        options = self._options
        since = (evidence.at - options.window.ms) * 1_000_000
        readings = await evidence.store.latest(
            options.measurement, [options.field], since=since, where=options.where or None
        )
        worst = max if options.above is not None else min
        values: dict[str, float] = {}
        for reading in readings:
            subject, value = self._subject(reading), reading.fields.get(options.field)
            if subject is not None and isinstance(value, (int, float)):
                values[subject] = worst(values.get(subject, value), value)
        silent = [self._silent(subject, evidence.at) for subject in evidence.states if subject not in values]
        return [self._judged(subject, value, evidence) for subject, value in values.items()] + silent

    def _judged(self, subject: str, value: float, evidence: Evidence) -> Result:
        options, before = self._options, evidence.states.get(subject)
        broken = self._breaks(value, was_broken=before is not None and before.status in _BROKEN)
        limit = f"> {options.above:g}" if options.above is not None else f"< {options.below:g}"
        return Result(
            check=self._target.check,
            subject=subject,
            status=self._target.broken if broken else Status.UP,
            reason=Reason.THRESHOLD if broken else Reason.OK,
            at=evidence.at,
            detail=f"{options.measurement} {options.field} = {value:.5g} (limit {limit})",
            facts={options.field: value},
        )

    def _silent(self, subject: str, at: int) -> Result:
        options = self._options
        return Result(
            check=self._target.check,
            subject=subject,
            status=Status.UNKNOWN,
            reason=Reason.SILENT,
            at=at,
            detail=f"no {options.measurement} {options.field} for {options.window:g} s",
        )

    def _subject(self, reading: Reading) -> str | None:
        """Return what a series is about; None when it lacks the host or a tag of ``by``."""
        tags = reading.tags
        if not all(tags.get(tag) for tag in ("host", *self._options.by)):
            return None
        return "/".join([f"host/{tags['host']}", *(f"{tag}={tags[tag]}" for tag in self._options.by)])

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
