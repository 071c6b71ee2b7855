"""What follows from a flip, within the transaction it is written in: its incident, the messages owed, the audit."""

from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import Connection

from alerts import audit, families, incident, outbox, route
from alerts.i18n.catalogue import LanguageCode
from alerts.incident import Incident
from alerts.message import Facts, gather
from alerts.route import Routes
from alerts.state import Flip, Policy, State
from alerts.states import Key
from alerts.subject_info import SubjectInfo
from collectors.result import Status


class Terms(msgspec.Struct, frozen=True):
    """What results are judged by.

    ``policy`` and ``about`` look up a check's policy and what stands behind a (check, subject); ``routes`` say who hears of it.
    """

    policy: Callable[[str], Policy]
    about: Callable[[str, str], SubjectInfo]
    routes: Routes


# a subject by a check, the id of its incident that is open now, and how many messages were planned
Followed = tuple[Key, int | None, int]


class Turn(msgspec.Struct, frozen=True):
    """A flip that waits to be written, with what it is judged by; ``first``: the first look of its subject, and a good one.

    ``again``: it was tried before, and may be written. ``siblings`` are the states of the other rules of its family.
    """

    terms: Terms
    after: State
    flip: Flip
    first: bool
    again: bool = False
    siblings: tuple[State, ...] = ()

    @property
    def key(self) -> Key:
        """The check and the subject."""
        return self.flip.check, self.flip.subject


def follow_all(tx: Connection, turns: Sequence[Turn], now: int, steady: int) -> list[Followed]:
    """Follow flips in their order. First looks that were good are many after an installation, and need no more than a row each."""
    first = [turn.flip for turn in turns if turn.first and not (turn.again and incident.is_recorded(tx, turn.flip))]
    incident.record_first(tx, first)
    return [follow(tx, turn, now, steady) for turn in turns if not turn.first]


def follow(tx: Connection, turn: Turn, now: int, steady: int) -> Followed:
    """Record a flip with its incident, messages and audit; return the incident that is open after it, and how many were planned."""
    terms, flip, after = turn.terms, turn.flip, turn.after
    policy = terms.policy(flip.check)
    criticality = terms.about(flip.check, flip.subject).criticality
    as_whole, severity = flip, incident.severity_of(policy, criticality, flip.to_status)
    broken: tuple[str, ...] = ()
    # an incident that began before its rule was of a family ends as it began
    if policy.family and incident.open_of(tx, flip.check, flip.subject) is None:
        siblings = [one for one in turn.siblings if incident.open_of(tx, one.check, one.subject) is None]
        family = families.whole(
            flip,
            (after, *siblings),
            policy.family,
            lambda check, status: incident.severity_of(terms.policy(check), criticality, status),
        )
        as_whole, after, severity, broken = family.flip, family.worst, family.severity, family.broken
    key = as_whole.check, as_whole.subject
    if turn.again and incident.is_recorded(tx, flip):
        still = incident.open_of(tx, *key)
        return key, None if still is None else still.id, 1
    before = incident.open_of(tx, *key)
    current, flip_id = incident.follow(tx, flip, severity, as_whole)
    if current is None:
        return key, None, 0
    _note(tx, current, flip, now, opened=before is None)
    if as_whole.to_status is Status.UNKNOWN:  # it is recorded and shown; nobody is told yet
        return key, current.id, 0
    about = terms.about(after.check, after.subject)

    def facts(language: LanguageCode) -> Facts:
        return gather(current, after, about, language)

    if current.closed is not None:
        return key, None, outbox.owe_closing(tx, current, flip_id, facts, now, steady)
    owed = route.plan(
        terms.routes,
        checks=(current.check, *broken),
        subject=current.subject,
        status=current.status,
        severity=current.severity,
        about=about,
    )
    return key, current.id, outbox.owe_problem(tx, current, flip_id, owed, facts, now, steady)


def _note(tx: Connection, current: Incident, flip: Flip, now: int, *, opened: bool) -> None:
    action = "open" if opened else "change" if current.closed is None else "close"
    audit.note(
        tx,
        at=now,
        actor="pantau",
        action=f"incident.{action}",
        subject=current.subject,
        detail={
            "incident": current.id,
            "check": current.check,
            "from": flip.from_status.value,
            "to": flip.to_status.value,
            "at": flip.at,
        },
    )
