"""What follows from a flip, within the transaction it is written in: its incident, the messages owed, the audit."""

from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import Connection

from alerts import audit, incident, outbox, route, state_rows
from alerts.incident import Incident
from alerts.message import gather
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

    ``again``: it was tried before, and may be written.
    """

    terms: Terms
    after: State
    flip: Flip
    first: bool
    again: bool = False

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
    if turn.again and incident.is_recorded(tx, flip):
        still = incident.open_of(tx, flip.check, flip.subject)
        return turn.key, None if still is None else still.id, 1
    about = terms.about(flip.check, flip.subject)
    severity = incident.severity_of(terms.policy(flip.check), about.criticality, flip.to_status)
    current, flip_id = incident.follow(tx, flip, severity)
    if current is None:
        return turn.key, None, 0
    _note(tx, current, flip, now)
    if flip.to_status is Status.UNKNOWN:  # it is recorded and shown; nobody is told yet
        return turn.key, current.id, 0
    if current.closed is not None:
        return (
            turn.key,
            None,
            outbox.owe_closing(
                tx, current, flip_id, lambda language: gather(current, after, about, language), now, steady
            ),
        )
    owed = route.plan(
        terms.routes,
        check=current.check,
        subject=current.subject,
        status=current.status,
        severity=current.severity,
        about=about,
    )
    return (
        turn.key,
        current.id,
        outbox.owe_problem(
            tx, current, flip_id, owed, lambda language: gather(current, after, about, language), now, steady
        ),
    )


def retire(
    tx: Connection,
    check: str,
    subject: str,
    *,
    by: str,
    about: Callable[[str, str], SubjectInfo],
    now: int,
    steady: int,
) -> tuple[Incident | None, int]:
    """Forget a state and close its incident as retired; return that, if there was one, and how many messages were planned."""
    believed = state_rows.load(tx, check, subject)
    if believed is None:
        return None, 0
    state_rows.forget(tx, check, subject)
    audit.note(tx, at=now, actor=by, action="subject.retire", subject=subject, detail={"check": check})
    current = incident.open_of(tx, check, subject)
    if current is None:
        return None, 0
    closed = incident.close(tx, current, at=now, why="retired")
    behind = about(check, subject)
    return closed, outbox.owe_closing(
        tx, closed, None, lambda language: gather(closed, believed, behind, language), now, steady
    )


def _action(current: Incident, flip: Flip) -> str:
    if current.closed is not None:
        return "incident.close"
    return "incident.open" if current.confirmed == flip.confirmed else "incident.change"


def _note(tx: Connection, current: Incident, flip: Flip, now: int) -> None:
    audit.note(
        tx,
        at=now,
        actor="pantau",
        action=_action(current, flip),
        subject=current.subject,
        detail={
            "incident": current.id,
            "check": current.check,
            "from": flip.from_status.value,
            "to": flip.to_status.value,
            "at": flip.at,
        },
    )
