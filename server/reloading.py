"""What a reload of the settings may change, and what it changed, in words for the log and for ``pantau reload``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from alerts.channels import Channel
from alerts.follow import Terms
from collectors.snmp import Device
from configs.plugin import same_recipe
from configs.read import SettingsError
from server.ingest.tokens import Tokens
from server.settings import Settings
from server.store.buckets import Bucket
from server.store.plans import Plan
from server.watching.planned_checks import PlannedCheck
from server.watching.scheduler import Job
from server.web.context import Shown

_RESTART: Final = "needs a restart: systemctl restart pantau-server"


class Ready(NamedTuple):
    """Everything that new settings need, built and checked: to go by them is then a matter of assignments.

    ``changed`` says what differs; ``tokens`` is None where those of before stay; ``room`` is for how many connections there is room.
    """

    settings: Settings
    changed: Sequence[str]
    channels: Mapping[str, Channel]
    terms: Terms
    devices: Mapping[str, Device]
    jobs: Sequence[Job]
    buckets: Sequence[Bucket]
    tokens: Tokens | None
    shown: Shown
    room: int


def require_reloadable(before: Settings, after: Settings) -> None:
    """Raise SettingsError, a line for each, when something changed that a running centre cannot change."""
    fixed = [
        f"'{name}' in [server] changed, which {_RESTART}"
        for name, old, new in (
            ("listen", before.listen, after.listen),
            ("data", before.data, after.data),
            ("state", before.state, after.state),
        )
        if old != new
    ]
    old_plans, new_plans = _plans(before), _plans(after)
    for name, old_plan in old_plans.items():
        if name not in new_plans:
            fixed.append(f"bucket {name!r} is gone, which {_RESTART}")
        elif not same_recipe(old_plan.build, new_plans[name].build):
            fixed.append(f"the store of bucket {name!r} changed, which {_RESTART}")
    if next(iter(old_plans)) != next(iter(new_plans)):
        fixed.append(f"'bucket' in [ingest] changed, which {_RESTART}")
    if fixed:
        raise SettingsError("\n".join(fixed))


def changes(before: Settings, after: Settings) -> list[str]:
    """Return what differs, a line for each kind of thing; none when nothing does."""
    old, new = before.watched, after.watched
    lines = [
        _difference("check", old.checks, new.checks, _same_check),
        _difference("device", old.devices, new.devices),
        _difference("rule", old.rules, new.rules, lambda one, other: _told(one) == _told(other)),
        _difference("channel", before.channels, after.channels, same_recipe),
        _difference("bucket", _plans(before), _plans(after), _same_plan),
        _difference("agency", old.register.agencies, new.register.agencies),
        _difference("service", old.register.services, new.register.services),
        _difference("host", old.register.hosts, new.register.hosts),
        _difference("hours", old.register.hours, new.register.hours),
        _difference("hours by file", old.register.calendars, new.register.calendars),
        _difference("contact", _by_id(before.contacts), _by_id(after.contacts)),
        _difference("token", _by_name(before.ingest.tokens), _by_name(after.ingest.tokens)),
        "routes changed" if list(before.routes) != list(after.routes) else "",
        _table("[server]", before.site, after.site),
        _table("[server.connections]", before.connections, after.connections),
        _table("[ingest]", before.ingest, after.ingest, ("tokens",)),
        _table("[schedule]", before.schedule, after.schedule),
        "[backup] changed: expect" if old.backups != new.backups else "",
    ]
    return [line for line in lines if line]


def _difference(
    kind: str, old: Mapping[str, Any], new: Mapping[str, Any], same: Callable[[Any, Any], bool] = lambda a, b: a == b
) -> str:
    found = {
        "new": [name for name in new if name not in old],
        "changed": [name for name in new if name in old and not same(old[name], new[name])],
        "gone": [name for name in old if name not in new],
    }
    told = [f"{what}: {', '.join(names)}" for what, names in found.items() if names]
    return f"{kind} {'; '.join(told)}" if told else ""


def _table(name: str, old: msgspec.Struct, new: msgspec.Struct, apart: Iterable[str] = ()) -> str:
    fields = [field for field in old.__struct_fields__ if field not in apart]
    changed = [field for field in fields if getattr(old, field) != getattr(new, field)]
    return f"{name} changed: {', '.join(changed)}" if changed else ""


def _plans(settings: Settings) -> dict[str, Plan]:
    return {plan.name: plan for plan in settings.plans}


def _by_id(entries: Iterable[Any]) -> dict[str, Any]:
    return {entry.id: entry for entry in entries}


def _by_name(entries: Iterable[Any]) -> dict[str, Any]:
    return {entry.name: entry for entry in entries}


def _same_check(one: PlannedCheck, other: PlannedCheck) -> bool:
    return _told(one) == _told(other) and same_recipe(one.build, other.build)


def _same_plan(one: Plan, other: Plan) -> bool:
    return one[2:] == other[2:] and same_recipe(one.build, other.build)


def _told(planned: msgspec.Struct) -> dict[str, Any]:
    """Return the fields of a plan, without what is built of them."""
    return {name: value for name, value in msgspec.structs.asdict(planned).items() if name not in {"build", "rule"}}
