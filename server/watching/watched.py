"""What is watched and how it is judged: services by checks, devices by SNMP, stored numbers by rules, and the centre by itself."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from alerts.incident import rank
from alerts.rules.planned import PlannedRule
from alerts.state import Policy
from alerts.subject_info import SubjectInfo
from collectors.snmp import Options as Device
from server.inventory.register import Register
from server.inventory.subject_info import subject_info
from server.watching.expected_backups import ExpectedBackups
from server.watching.planned_checks import PlannedCheck

STORE_CHECK: Final = "pantau/store"
STATE_CHECK: Final = "pantau/state"
CLONES_CHECK: Final = "pantau/clones"
SCHEDULE_CHECK: Final = "pantau/schedule"
BACKUP_CHECK: Final = "pantau/backup"
OWN_CHECKS: Final = (STORE_CHECK, STATE_CHECK, CLONES_CHECK, SCHEDULE_CHECK, BACKUP_CHECK)

_BLIND: Final = 300.0  # seconds of looks that cannot tell, until that is an incident


class Watched:
    """Everything that results can name; ``own_interval`` is the seconds between looks of the centre at itself.

    ``backups`` are those that are expected, None when nobody said so.
    """

    def __init__(
        self,
        register: Register,
        checks: Mapping[str, PlannedCheck],
        devices: Mapping[str, Device],
        rules: Mapping[str, PlannedRule],
        *,
        own_interval: float = 15.0,
        backups: ExpectedBackups | None = None,
    ) -> None:
        self.register = register
        self.checks = checks
        self.devices = devices
        self.rules = rules
        self.backups = backups
        self._policies = {check.id: check.policy for check in checks.values()}
        self._policies |= {device_check(device.id): device_policy(device) for device in devices.values()}
        self._policies |= {rule.check: rule.policy for rule in rules.values()}
        # each look of the centre at itself may fail by itself, and is unknown then
        own = partial(Policy, interval=own_interval, counts=False, blind_for=_BLIND)
        self._policies[STORE_CHECK] = own(severity="critical")
        self._policies[STATE_CHECK] = own(severity="critical")
        self._policies[CLONES_CHECK] = own(severity="high", confirm=1)
        # a minute on time before it is over: a schedule at its limit comes and goes
        self._policies[SCHEDULE_CHECK] = own(severity="high", recover=4)
        if backups is not None:
            self._policies[BACKUP_CHECK] = own(severity="high")
        by_severity = sorted(rules.values(), key=lambda rule: rank(rule.table.severity))
        # what is said of a family is what its gravest rule says
        self._rules = {rule.policy.family: rule.table for rule in by_severity if rule.policy.family}
        self._rules |= {rule.check: rule.table for rule in rules.values()}
        self._members: dict[str, list[str]] = {}
        for rule in rules.values():
            if rule.policy.family:
                self._members.setdefault(rule.policy.family, []).append(rule.check)

    def names(self, check: str, subject: str) -> bool:
        """Return whether settings have such a check of such a subject."""
        planned = self.checks.get(check)
        return check in self._policies if planned is None else planned.subject == subject

    def policy(self, check: str) -> Policy:
        """Return how results of a check are judged; KeyError for one that settings do not name."""
        return self._policies[check]

    def interval(self, check: str) -> float:
        """Return the seconds between looks of a check."""
        return self._policies[check].interval

    def members(self, family: str) -> Sequence[str]:
        """Return the checks of the rules of a family (``family/NAME``); none when it is not one, or has left the settings."""
        return self._members.get(family, ())

    def about(self, check: str, subject: str) -> SubjectInfo:
        """Return what people call a subject, whose it is and what to do about such a fault."""
        return subject_info(self.register, self.devices, self._rules.get(check), subject)


def device_check(device_id: str) -> str:
    """Return how results, states and incidents name what is seen of a device by SNMP."""
    return f"snmp/{device_id}"


def device_policy(device: Device) -> Policy:
    """Return how a device's SNMP answers are judged: two silent polls in a row are believed."""
    return Policy(
        interval=device.interval,
        confirm=2,
        unstable=(3, 10),
        blind_for=max(_BLIND, 3 * device.interval),
        flaps=device.flapping,
    )
