"""Rules: what stored series show, as Results for the judge. Settings ``[[rule]]`` and their evaluation."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from alerts.route import Id
from alerts.state import Policy, Severity, State
from collectors.point import Value
from collectors.result import Reason, Result, Status
from configs.units import Duration


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
        """Return the newest value of ``fields`` of every series that has one at or after ``since`` (ns)."""
        ...


class Rule(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={"hold": "for", "meaning": "arti", "impact": "dampak", "todo": "langkah"},
):
    """A rule over stored series; its subjects are hosts, or parts of hosts named by the tags in ``by``.

    ``threshold``: the newest ``field`` of ``measurement`` within ``window`` is ``above`` or ``below`` the limit for ``for``; it is
    over when the value is back at ``recover`` (default: the limit). ``absence``: a host of ``hosts`` (default: every host that ever
    wrote) sent nothing for ``window``. ``where`` keeps series with these tag values. ``status`` is what a broken rule means
    (threshold: degraded, absence: down). ``arti``, ``dampak`` and ``langkah`` say what it means, who is affected and what to do.
    """

    id: Id
    type: Literal["threshold", "absence"] = "threshold"
    name: str = ""
    measurement: str = ""
    field: str = ""
    where: dict[str, str] = {}
    by: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    above: float | None = None
    below: float | None = None
    recover: float | None = None
    hold: Duration = Duration(0)
    window: Duration = Duration(300)
    interval: Duration = Duration(15)
    severity: Severity = "high"
    status: Literal["degraded", "down"] | None = None
    meaning: str = ""
    impact: str = ""
    todo: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be evaluated; the message is for the settings' owner."""
        if self.interval <= 0 or self.window <= 0:
            raise ValueError(f"rule {self.id!r}: interval and window must be longer than nothing")
        if self.type == "absence":
            unused = [name for name in ("measurement", "field", "where", "by") if getattr(self, name)]
            unused += [name for name in ("above", "below", "recover") if getattr(self, name) is not None]
            if unused:
                raise ValueError(f"rule {self.id!r}: an absence rule takes no {', '.join(unused)}")
            return
        if not self.measurement or not self.field:
            raise ValueError(f"rule {self.id!r}: a threshold rule needs measurement and field")
        if self.hosts:
            raise ValueError(f"rule {self.id!r}: hosts are for absence rules; use where = {{ host = NAME }}")
        if (self.above is None) == (self.below is None):
            raise ValueError(f"rule {self.id!r}: a threshold rule needs either above or below")
        if self.recover is not None and self._beyond(self.recover):
            raise ValueError(f"rule {self.id!r}: recover lies on the wrong side of the limit")

    @property
    def check(self) -> str:
        """How results, states and incidents name this rule."""
        return f"rule/{self.id}"

    @property
    def policy(self) -> Policy:
        """How its results are judged: ``for`` is the confirmation; only absence speaks for the availability of its host."""
        return Policy(
            interval=self.interval,
            confirm=1,
            hold=self.hold,
            severity=self.severity,
            counts=self.type == "absence",
        )

    @property
    def broken(self) -> Status:
        """What it means when this rule is broken."""
        if self.status is not None:
            return Status(self.status)
        return Status.DOWN if self.type == "absence" else Status.DEGRADED

    def breaks(self, value: float, *, was_broken: bool) -> bool:
        """Tell whether a value breaks the rule; once broken it stays so until the value is back at ``recover``."""
        if not was_broken or self.recover is None:
            return self._beyond(value)
        return value > self.recover if self.above is not None else value < self.recover

    def _beyond(self, value: float) -> bool:
        if self.above is not None:
            return value > self.above
        return self.below is not None and value < self.below


async def evaluate(
    rule: Rule,
    store: Readings,
    *,
    known: Iterable[State],
    seen: Mapping[str, int],
    at: int,
    listening_since: int,
    unavailable: type[Exception],
) -> list[Result]:
    """Look once at ``at`` (ms): one Result for each subject found or known.

    ``known`` are the states of this rule, ``seen`` maps each host to when it last wrote (ms, the centre's clock),
    ``listening_since`` is when hosts could begin to write (ms): before that, silence is ours. When the store raises
    ``unavailable``, and where a known series went silent, the answer is UNKNOWN, never UP.
    """
    before = {state.subject: state for state in known}
    if rule.type == "absence":
        return _absence(rule, before, seen, at, listening_since)
    since = (at - rule.window.ms) * 1_000_000
    try:
        readings = await store.latest(rule.measurement, [rule.field], since=since, where=rule.where or None)
    except unavailable as error:
        return [_result(rule, subject, at, Status.UNKNOWN, Reason.STORE_UNREADABLE, str(error)) for subject in before]
    return _threshold(rule, before, readings, at)


def _threshold(rule: Rule, before: Mapping[str, State], readings: Iterable[Reading], at: int) -> list[Result]:
    values: dict[str, float] = {}
    worst = max if rule.above is not None else min
    for reading in readings:
        subject, value = _subject(rule, reading.tags), reading.fields.get(rule.field)
        if subject is not None and isinstance(value, (int, float)):
            values[subject] = worst(values.get(subject, value), value)
    results = []
    for subject in {**values, **before}:
        if subject not in values:
            why = f"no {rule.measurement} {rule.field} for {rule.window:g} s"
            results.append(_result(rule, subject, at, Status.UNKNOWN, Reason.SILENT, why))
            continue
        value = values[subject]
        was_broken = subject in before and before[subject].status in {Status.DEGRADED, Status.DOWN}
        broken = rule.breaks(value, was_broken=was_broken)
        status, reason = (rule.broken, Reason.THRESHOLD) if broken else (Status.UP, Reason.OK)
        results.append(_result(rule, subject, at, status, reason, _measured(rule, value), value=value))
    return results


def _absence(
    rule: Rule, before: Mapping[str, State], seen: Mapping[str, int], at: int, listening_since: int
) -> list[Result]:
    hosts = set(rule.hosts) or {*seen, *(subject.removeprefix("host/") for subject in before)}
    results = []
    for host in sorted(hosts):
        last = seen.get(host)
        silent = at - max(last or 0, listening_since)
        age = "it never wrote" if last is None else f"last data {max(at - last, 0) / 1000:.0f} s ago"
        if last is not None and at - last <= rule.window.ms:
            status, reason = Status.UP, Reason.OK
        elif silent > rule.window.ms:
            status, reason = rule.broken, Reason.SILENT
        else:
            status, reason = Status.UNKNOWN, Reason.SILENT
        results.append(_result(rule, f"host/{host}", at, status, reason, age))
    return results


def _subject(rule: Rule, tags: Mapping[str, str]) -> str | None:
    """Name what a series is about; None when it lacks the host or a tag of ``by``."""
    if not all(tags.get(tag) for tag in ("host", *rule.by)):
        return None
    return "/".join([f"host/{tags['host']}", *(f"{tag}={tags[tag]}" for tag in rule.by)])


def _measured(rule: Rule, value: float) -> str:
    limit = f"> {rule.above:g}" if rule.above is not None else f"< {rule.below:g}"
    return f"{rule.measurement} {rule.field} = {value:.5g} (limit {limit})"


def _result(
    rule: Rule, subject: str, at: int, status: Status, reason: Reason, detail: str, *, value: float | None = None
) -> Result:
    facts = {} if value is None else {rule.field: value}
    return Result(check=rule.check, subject=subject, status=status, reason=reason, at=at, detail=detail, facts=facts)
