"""What follows when a check, a subject or a family leaves the settings, within the transaction it is written in."""

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection

from alerts import audit, families, incident, outbox, state_rows
from alerts.follow import Terms
from alerts.incident import Incident
from alerts.message import gather
from alerts.state import Severity, State
from collectors.result import Status


class Retiring(msgspec.Struct, frozen=True):
    """By whose will, by which terms and when (ms, of the wall clock and steady) something is retired."""

    by: str
    terms: Terms
    now: int
    steady: int


class Regrouped(msgspec.Struct, frozen=True):
    """What became of a family's incident: whether it stays open, else what was closed, if it was by this.

    ``forgotten`` are the checks whose states were forgotten, ``planned`` is how many messages were planned.
    """

    stays: bool = False
    closed: Incident | None = None
    forgotten: tuple[str, ...] = ()
    planned: int = 0


def retire(tx: Connection, check: str, subject: str, retiring: Retiring) -> tuple[Incident | None, int]:
    """Forget a state and close its incident as retired; return that, if there was one, and how many messages were planned."""
    believed = state_rows.load(tx, check, subject)
    if believed is None:
        return None, 0
    _forget(tx, check, subject, retiring)
    current = incident.open_of(tx, check, subject)
    return (None, 0) if current is None else _close(tx, current, believed, retiring)


def regroup(tx: Connection, family: str, subject: str, names: Mapping[str, str], retiring: Retiring) -> Regrouped:
    """Make a family's incident what its rules say now, or close it as retired when none of them is broken, though none recovered.

    ``names`` are the checks of the subject, and how settings name the incident of each: the check itself, or its family. What is broken
    still, and would have no incident then, is forgotten: the next look begins anew, under the name that settings give it.
    """
    current = incident.open_of(tx, family, subject)
    if current is None:
        return Regrouped()
    states = [state_rows.load(tx, check, subject) for check in names]
    bad = [
        one
        for one in states
        if one is not None and families.is_bad(one) and incident.open_of(tx, one.check, subject) is None
    ]
    members = [one for one in bad if names[one.check] == family]
    if members:
        _reassess(tx, current, members, retiring)
        return Regrouped(stays=True)
    closed, planned = _close(tx, current, None, retiring)
    forgotten = tuple(one.check for one in bad if incident.open_of(tx, names[one.check], subject) is None)
    for check in (family, *forgotten):
        _forget(tx, check, subject, retiring)
    return Regrouped(closed=closed, forgotten=forgotten, planned=planned)


def _reassess(tx: Connection, current: Incident, members: list[State], retiring: Retiring) -> None:
    """Give an incident the words of the worst of its members, when none has those of the incident any more."""
    if any((one.status, one.reason, one.detail) == (current.status, current.reason, current.detail) for one in members):
        return
    terms = retiring.terms

    def severity(check: str, status: Status) -> Severity:
        return incident.severity_of(terms.policy(check), terms.about(check, current.subject).criticality, status)

    worst = families.worst_of(members, severity)
    incident.change(tx, current, status=worst.status, reason=worst.reason, detail=worst.detail)
    detail: dict[str, str | int | float | bool | None] = {
        "incident": current.id,
        "check": current.check,
        "from": current.status.value,
        "to": worst.status.value,
    }
    audit.note(tx, at=retiring.now, actor=retiring.by, action="incident.change", subject=current.subject, detail=detail)


def _close(tx: Connection, current: Incident, believed: State | None, retiring: Retiring) -> tuple[Incident, int]:
    closed = incident.close(tx, current, at=retiring.now, why="retired")
    behind = retiring.terms.about(current.check, current.subject)
    planned = outbox.owe_closing(
        tx, closed, None, lambda language: gather(closed, believed, behind, language), retiring.now, retiring.steady
    )
    return closed, planned


def _forget(tx: Connection, check: str, subject: str, retiring: Retiring) -> None:
    state_rows.forget(tx, check, subject)
    audit.note(
        tx, at=retiring.now, actor=retiring.by, action="subject.retire", subject=subject, detail={"check": check}
    )
