"""Settings ``[[rule]]``: what every rule has in common, read once for all kinds, and the rules that they plan."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from alerts.route import Id
from alerts.rules import RULES, Evidence, Rule, Target, Unreadable
from alerts.state import Policy, Severity
from collectors.result import Reason, Result, Status
from configs.plugin import find
from configs.read import Faults, Place, Source, Table
from configs.units import USUAL_FLAPPING, Duration, Flapping

_DEFAULT: Final = "threshold"


class RuleTable(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={"hold": "for", "meaning": "arti", "impact": "dampak", "todo": "langkah"},
):
    """What every ``[[rule]]`` has besides the options of its type: a rule over stored series.

    It must be broken for ``for`` before that is believed. ``status`` is what a broken rule means, where not what its type says. Rules of
    one ``family`` share one incident, ``family/NAME``, as bad as the worst of them. ``flapping`` is ``[4, "30m"]`` when 4 changes within 30
    minutes are shown as such.
    ``arti``, ``dampak`` and ``langkah`` say what it means, who is affected and what to do.
    """

    id: Id
    type: str = _DEFAULT
    name: str = ""
    hold: Duration = Duration(0)
    interval: Duration = Duration(15)
    severity: Severity = "high"
    status: Literal["degraded", "down"] | None = None
    family: Id | None = None
    flapping: Flapping = USUAL_FLAPPING
    meaning: str = ""
    impact: str = ""
    todo: str = ""


_COMMON: Final = frozenset(RuleTable.__struct_encode_fields__)


class PlannedRule(msgspec.Struct, frozen=True):
    """One rule as settings describe it, built of the ``options`` of its kind; ``policy`` is how its results are judged."""

    table: RuleTable
    options: msgspec.Struct
    policy: Policy
    rule: Rule

    @property
    def check(self) -> str:
        """How results, states and incidents name this rule."""
        return check_name(self.table.id)

    async def evaluate(self, evidence: Evidence) -> list[Result]:
        """Return the rule's results; a store that cannot be read makes every known subject UNKNOWN, whatever the kind."""
        try:
            return await self.rule.evaluate(evidence)
        except Unreadable as error:
            return [
                Result(
                    check=self.check,
                    subject=subject,
                    status=Status.UNKNOWN,
                    reason=Reason.STORE_UNREADABLE,
                    at=evidence.at,
                    detail=str(error),
                )
                for subject in evidence.states
            ]


def check_name(rule_id: str) -> str:
    """Return how results, states and incidents name a rule."""
    return f"rule/{rule_id}"


def family_name(family_id: str) -> str:
    """Return how incidents name a family of rules."""
    return f"family/{family_id}"


def declared_names(source: Source) -> list[str]:
    """Return how the rules and families of a file are named, those with faults included: who names one of them is not to blame."""
    families = dict.fromkeys(source.declared("rule", key="family"))
    return [*map(check_name, source.declared("rule")), *map(family_name, families)]


def read_rules(source: Source, tables: Sequence[Table]) -> dict[str, PlannedRule]:
    """Return the rules of all ``[[rule]]`` tables by id; SettingsError says file, line and what was expected, for each bad one."""
    planned: dict[str, PlannedRule] = {}
    faults = Faults()
    for position, table in enumerate(tables):
        with faults.noted():
            rule = plan(source, table, ("rule", position))
            if rule.table.id in planned:
                raise source.error(("rule", position, "id"), f"rule id {rule.table.id!r} is used twice")
            planned[rule.table.id] = rule
    faults.tell()
    return {
        name: _related(rule, planned.values(), source, ("rule", position, "family"))
        for position, (name, rule) in enumerate(planned.items())
    }


def _related(rule: PlannedRule, rules: Iterable[PlannedRule], source: Source, at: Place) -> PlannedRule:
    """Return a rule that knows the others of its family; SettingsError when they speak of different things."""
    family = rule.table.family
    if family is None:
        return rule
    siblings = [other for other in rules if other.table.family == family and other is not rule]
    for other in siblings:
        if _speaks_of(rule) != _speaks_of(other):
            names = f"rules {rule.table.id!r} and {other.table.id!r}"
            raise source.error(
                at, f"{names} of family {family!r} must have the same 'by' and speak of availability alike"
            )
    policy = msgspec.structs.replace(
        rule.policy, family=family_name(family), siblings=tuple(other.check for other in siblings)
    )
    return msgspec.structs.replace(rule, policy=policy)


def _speaks_of(rule: PlannedRule) -> tuple[object, bool]:
    return getattr(rule.options, "by", ()), rule.policy.counts


def plan(source: Source, table: Table, at: Place) -> PlannedRule:
    """Return the rule of the ``[[rule]]`` table at ``at``; SettingsError says what cannot be evaluated."""
    faults = Faults()
    common = source.parse(RuleTable, {key: value for key, value in table.items() if key in _COMMON}, at, faults=faults)
    where = f"[[rule]] #{int(at[1]) + 1}: rule {common.id!r}"
    plugin, options_type = source.plugin("rule", common.type, RULES, (*at, "type"))
    own = {key: value for key, value in table.items() if key not in _COMMON}
    for key in own.keys() - set(options_type.__struct_encode_fields__):
        if others := [kind for kind in RULES if key in _options_of(kind)]:
            why = f"a rule of type {common.type!r} takes no {key}; {' and '.join(others)} rules do"
            faults.add(source.error((*at, key), f"{where}: {why}"))
            del own[key]
    if common.interval <= 0:
        faults.add(source.error((*at, "interval"), f"{where}: interval must be longer than nothing"))
    with faults.noted():
        options = source.parse(options_type, own, at, also=_COMMON)
    faults.tell()
    try:
        rule = plugin(Target(check_name(common.id), Status(common.status or plugin.status)), options)
    except ValueError as error:
        raise source.error(at, f"{where}: {error}") from error
    judged = Policy(
        interval=common.interval,
        confirm=1,
        hold=common.hold,
        severity=common.severity,
        counts=plugin.counts,
        blind_for=getattr(rule, "blind_for", None),
        flaps=common.flapping,
    )
    return PlannedRule(common, options, judged, rule)


def _options_of(kind: str) -> Sequence[str]:
    names: Sequence[str] = find("rule", kind, RULES)[1].__struct_encode_fields__
    return names
