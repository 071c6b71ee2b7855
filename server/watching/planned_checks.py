"""The checks of services as settings plan them: the tables ``[[check]]``, and the check that a registered address gets by itself."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from alerts.state import Policy
from collectors.checks import CHECKS, Check, Target
from configs.read import Faults, Place, Source, Table
from configs.units import USUAL_FLAPPING, Duration, Flapping
from server.inventory.register import Id, Register, Service

_DEFAULT_CHECK: Final = "http"
_MOST: Final = 20  # looks that are remembered


class CheckTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every ``[[check]]`` has besides the options of its type.

    ``confirm`` looks, ``recheck`` apart, must fail before a change is believed, ``recover`` good ones before it ends;
    ``counts`` tells whether the check speaks for the availability of its service. ``unstable`` is ``[3, 10]`` when 3 failed of the last
    10 looks make a service degraded, though never enough failed in a row (``[0, 0]``: never); ``flapping`` is ``[4, "30m"]`` when 4 changes
    within 30 minutes are shown as such; looks that cannot tell are an incident after ``unknown_for`` (0: never).
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
    unstable: tuple[int, int] = (3, 10)
    flapping: Flapping = USUAL_FLAPPING
    unknown_for: Duration = Duration(300)

    @property
    def policy(self) -> Policy:
        """How its results are judged."""
        return Policy(
            interval=self.interval,
            confirm=self.confirm,
            recover=self.recover,
            counts=self.counts,
            unstable=self.unstable if self.unstable[0] else None,
            blind_for=self.unknown_for or None,
            flaps=self.flapping,
        )


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


def read_checks(
    source: Source, tables: Sequence[Table], register: Register, declared: Collection[str] | None
) -> dict[str, PlannedCheck]:
    """Return the checks of all tables by id, and one for each registered address that no table watches; nothing is opened.

    Raises SettingsError naming the line of each that cannot be planned. ``declared`` are the services that the register names, though
    it may lack some for faults of its own: of their checks only what all checks have is judged. None: that is not known.
    """
    planned: dict[str, PlannedCheck] = {}
    faults = Faults()
    ids: set[str] = set()
    for position, table in enumerate(tables):
        with faults.noted():
            at = ("check", position)
            common = _common(source, at, table, faults)
            if common.id in ids:
                faults.add(source.error((*at, "id"), f"check id {common.id!r} is used twice"))
            ids.add(common.id)
            if common.service in register.services:
                rest = {key: value for key, value in table.items() if key not in CheckTable.__struct_fields__}
                planned[common.id] = _plan(source, at, common, rest, register)
            elif declared is not None and common.service not in declared:
                names = ", ".join(declared) or "none"
                raise source.error((*at, "service"), f"unknown service {common.service!r}; known: {names}")
    faults.tell()
    watched = {check.subject for check in planned.values()}
    for service in register.services.values():
        # a registered address is watched without further ado, unless somebody wrote how
        if service.subject not in watched and _is_watched_by_itself(service):
            common = CheckTable(id=_id_by_itself(service.id), service=service.id)
            planned[common.id] = _plan(source, ("check",), common, {}, register)
    return planned


def check_ids(source: Source, register: Register, declared: Collection[str] | None) -> Collection[str] | None:
    """Return the ids of all checks, those with faults included: who names one of them is not to blame.

    ``declared`` is as for ``read_checks``; None: that is not known, and so the ids are not.
    """
    if declared is None:
        return None
    watched = source.declared("check", key="service")
    return [
        *source.declared("check"),
        *(
            _id_by_itself(service)
            for service in declared
            if service not in watched
            and (service not in register.services or _is_watched_by_itself(register.services[service]))
        ),
    ]


def _is_watched_by_itself(service: Service) -> bool:
    return bool(service.url) and not service.retired


def _id_by_itself(service_id: str) -> str:
    return f"{service_id}-{_DEFAULT_CHECK}"


def _common(source: Source, at: Place, table: Table, faults: Faults) -> CheckTable:
    """Return what all checks have of one table; what is wrong with it is noted."""
    own = {key: value for key, value in table.items() if key in CheckTable.__struct_fields__}
    common = source.parse(CheckTable, own, at, faults=faults)
    if common.timeout > common.interval:
        faults.add(source.error((*at, "timeout"), f"'timeout' of check {common.id!r} is longer than its interval"))
    for key in ("confirm", "recover"):
        if getattr(common, key) < 1:
            faults.add(source.error((*at, key), f"{key!r} of check {common.id!r}: expected 1 or more"))
    failed, looks = common.unstable
    if not (1 <= failed <= looks <= _MOST or (failed, looks) == (0, 0)):
        expected = f"expected [N, M], N failed of the last M looks, at most {_MOST}, or [0, 0] for never"
        faults.add(source.error((*at, "unstable"), f"'unstable' of check {common.id!r}: {expected}"))
    return common


def _plan(source: Source, at: Place, common: CheckTable, options_table: Table, register: Register) -> PlannedCheck:
    service = register.services[common.service]
    plugin, options_type = source.plugin("check", common.type, CHECKS, (*at, "type"))
    address = urlsplit(service.url)
    defaults: dict[str, Any] = {"url": service.url, "host": address.hostname or ""}
    fields = options_type.__struct_fields__
    table = {key: value for key, value in defaults.items() if value and key in fields} | options_table
    options = source.parse(options_type, table, at, also=CheckTable.__struct_fields__)
    target = Target(check=common.id, subject=service.subject, timeout=common.timeout)
    return PlannedCheck(
        id=common.id,
        type=common.type,
        subject=service.subject,
        interval=common.interval,
        timeout=common.timeout,
        recheck=common.recheck,
        policy=common.policy,
        host=getattr(options, "host", "") or urlsplit(getattr(options, "url", "")).hostname or "",
        build=source.tried(at, partial(plugin, target, options)),
    )
