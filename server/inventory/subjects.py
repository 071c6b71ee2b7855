"""What settings and register say of the subjects and checks that results name."""

from collections.abc import Mapping
from typing import Final

from alerts.about import About
from alerts.rules import Rule
from alerts.state import Policy
from collectors.snmp import Options as Device
from server.inventory.register import Host, Register, Service
from server.settings import PlannedCheck

STORE_CHECK: Final = "pantau/store"
CLONES_CHECK: Final = "pantau/clones"
SCHEDULE_CHECK: Final = "pantau/schedule"
_SELF_INTERVAL: Final = 15.0


class Inventory:
    """Answers for the judge: how a check's results are judged, and what messages say of a subject."""

    def __init__(
        self,
        register: Register,
        checks: Mapping[str, PlannedCheck],
        devices: Mapping[str, Device],
        rules: Mapping[str, Rule],
    ) -> None:
        self._register = register
        self._devices = devices
        self._policies = {check.id: check.policy for check in checks.values()}
        self._policies |= {f"snmp/{device.id}": device_policy(device) for device in devices.values()}
        self._policies |= {rule.check: rule.policy for rule in rules.values()}
        self._policies[STORE_CHECK] = Policy(interval=_SELF_INTERVAL, severity="critical", counts=False)
        self._policies[CLONES_CHECK] = Policy(interval=_SELF_INTERVAL, confirm=1, severity="high", counts=False)
        # a minute on time before it is over: a schedule at its limit comes and goes
        self._policies[SCHEDULE_CHECK] = Policy(interval=_SELF_INTERVAL, recover=4, severity="high", counts=False)
        self._rules = {rule.check: rule for rule in rules.values()}

    def names(self, check: str) -> bool:
        """Tell whether settings have such a check."""
        return check in self._policies

    def policy(self, check: str) -> Policy:
        """Return how results of a check are judged; KeyError for one that settings do not name."""
        return self._policies[check]

    def interval(self, check: str) -> float:
        """Return the seconds between looks of a check."""
        return self._policies[check].interval

    def about(self, check: str, subject: str) -> About:
        """Return what people call a subject, whose it is and what to do; empty texts where nobody wrote any."""
        kind, _, rest = subject.partition("/")
        name = rest.partition("/")[0]
        entry = self._register.entry(subject)
        device = self._devices.get(name) if kind == "device" else None
        owner = self._register.agencies.get(entry.agency if entry else device.agency if device else "")
        rule = self._rules.get(check)
        service = entry if isinstance(entry, Service) else None
        return About(
            name=(entry.name if entry else device.name if device else "") or (rest if kind != "pantau" else "Pantau"),
            agency=owner.id if owner else "",
            agency_name=owner.name if owner else "",
            criticality=entry.criticality if isinstance(entry, (Service, Host)) else 3,
            meaning=rule.meaning if rule else "",
            impact=(rule.impact if rule else "") or (service.impact if service else ""),
            todo=rule.todo if rule else "",
            contact=owner.contact if owner else "",
            runbook=service.runbook if service else "",
        )


def device_policy(device: Device) -> Policy:
    """Judge a device's SNMP answers: two silent polls in a row are believed."""
    return Policy(interval=device.interval, confirm=2)
