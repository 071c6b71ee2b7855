"""The checks of services as settings plan them: the tables ``[[check]]``, and the check that a registered address gets by itself."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from alerts.state import Policy
from collectors.checks import CHECKS, Check, Target
from configs.read import Place, Source, Table
from configs.units import Duration
from server.inventory.register import Id, Register

_DEFAULT_CHECK: Final = "http"


class CheckTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every ``[[check]]`` has besides the options of its type.

    ``confirm`` looks, ``recheck`` apart, must fail before a change is believed, ``recover`` good ones before it ends;
    ``counts`` tells whether the check speaks for the availability of its service.
    """

    id: Id
    service: str
    type: str = _DEFAULT_CHECK
    interval: Duration = Duration(60)
    timeout: Duration = Duration(10)
    confirm: int = 2
    recheck: Duration = Duration(10)
    recover: int = 1
    counts: bool = True


class PlannedCheck(msgspec.Struct, frozen=True):
    """One check as settings describe it, times in seconds; ``build()`` makes the probe."""

    id: str
    type: str
    subject: str
    interval: float
    timeout: float
    recheck: float
    policy: Policy
    host: str
    build: Callable[[], Check]

    @property
    def counts(self) -> bool:
        """Whether it speaks for the availability of its service."""
        return self.policy.counts


def read_checks(source: Source, tables: Sequence[Table], register: Register) -> dict[str, PlannedCheck]:
    """Return the checks of all tables by id, and one for each registered address that no table watches.

    Raises SettingsError naming the line of what cannot be planned; nothing is opened.
    """
    planned: dict[str, PlannedCheck] = {}
    for position, table in enumerate(tables):
        at = ("check", position)
        own = CheckTable.__struct_fields__
        common = source.parse(CheckTable, {key: value for key, value in table.items() if key in own}, at)
        if common.id in planned:
            raise source.error((*at, "id"), f"check id {common.id!r} is used twice")
        if common.service not in register.services:
            names = ", ".join(register.services) or "none"
            raise source.error((*at, "service"), f"unknown service {common.service!r}; known: {names}")
        rest = {key: value for key, value in table.items() if key not in own}
        planned[common.id] = _plan(source, at, common, rest, register)
    watched = {check.subject for check in planned.values()}
    for service in register.services.values():
        # a registered address is watched without further ado, unless somebody wrote how
        if service.url and service.subject not in watched and not service.retired:
            common = CheckTable(id=f"{service.id}-{_DEFAULT_CHECK}", service=service.id)
            planned[common.id] = _plan(source, ("check",), common, {}, register)
    return planned


def _plan(source: Source, at: Place, common: CheckTable, options_table: Table, register: Register) -> PlannedCheck:
    service = register.services[common.service]
    plugin, options_type = source.plugin("check", common.type, CHECKS, (*at, "type"))
    address = urlsplit(service.url)
    defaults: dict[str, Any] = {"url": service.url, "host": address.hostname or ""}
    fields = options_type.__struct_fields__
    table = {key: value for key, value in defaults.items() if value and key in fields} | options_table
    options = source.parse(options_type, table, at, also=CheckTable.__struct_fields__)
    target = Target(check=common.id, subject=service.subject, timeout=common.timeout)
    if common.timeout > common.interval:
        raise source.error((*at, "timeout"), f"'timeout' of check {common.id!r} is longer than its interval")
    for key in ("confirm", "recover"):
        if getattr(common, key) < 1:
            raise source.error((*at, key), f"{key!r} of check {common.id!r}: expected 1 or more")
    return PlannedCheck(
        id=common.id,
        type=common.type,
        subject=service.subject,
        interval=common.interval,
        timeout=common.timeout,
        recheck=common.recheck,
        policy=Policy(interval=common.interval, confirm=common.confirm, recover=common.recover, counts=common.counts),
        host=getattr(options, "host", "") or urlsplit(getattr(options, "url", "")).hostname or "",
        build=source.tried(at, partial(plugin, target, options)),
    )
