"""What register and settings say of one subject: its name for people, whose it is, and what to do."""

from collections.abc import Mapping

from alerts.rules.planned import RuleTable
from alerts.subject_info import SubjectInfo
from collectors.snmp import Options as Device
from server.inventory.register import Host, Register, Service


def subject_info(
    register: Register, devices: Mapping[str, Device], rule: RuleTable | None, subject: str
) -> SubjectInfo:
    """Return what is said of a subject, and of the rule that found its fault, if one did; empty texts where nobody wrote any."""
    kind, _, rest = subject.partition("/")
    name = rest.partition("/")[0]
    entry = register.entry(subject)
    device = devices.get(name) if kind == "device" else None
    owner = register.agencies.get(entry.agency if entry else device.agency if device else "")
    service = entry if isinstance(entry, Service) else None
    return SubjectInfo(
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
