"""Judge: the one door through which everything that can go wrong comes in, as a Result."""

from collections.abc import Callable

import msgspec
from sqlalchemy import Connection

from alerts import audit, incident, outbox, route, state
from alerts.incident import Incident
from alerts.message import gather
from alerts.route import Routes
from alerts.state import Flip, Policy, Seen, State
from alerts.subject_info import SubjectInfo
from alerts.tables import Database
from collectors.result import Result, Status


class Observed(msgspec.Struct, frozen=True):
    """What a look led to: the state after it, the flip it confirmed, and the incident it opened, changed, closed or found open."""

    state: State
    flip: Flip | None
    incident_id: int | None


class Terms(msgspec.Struct, frozen=True):
    """What results are judged by.

    ``policy`` and ``about`` look up a check's policy and what stands behind a (check, subject); ``routes`` say who hears of it.
    """

    policy: Callable[[str], Policy]
    about: Callable[[str, str], SubjectInfo]
    routes: Routes


class Judge:
    """Turns results into states, flips, incidents and messages owed.

    ``policy``, ``about`` and ``routes`` are its first ``Terms``; ``record`` writes the ledger in the same transaction; ``clock`` is
    now in ms; ``planned`` is called after messages were put into the outbox.
    """

    def __init__(
        self,
        database: Database,
        policy: Callable[[str], Policy],
        about: Callable[[str, str], SubjectInfo],
        routes: Routes,
        record: Callable[[Connection, Seen], None],
        *,
        clock: Callable[[], int],
        planned: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._terms = Terms(policy, about, routes)
        self._record = record
        self._clock = clock
        self._planned = planned

    def use(self, terms: Terms) -> None:
        """Judge by other terms from now on; what was handed in before is judged by those of then."""
        self._terms = terms

    async def observe(self, result: Result) -> Observed:
        """Judge one look: state, ledger, flip, incident, messages and audit in one transaction. Repeats change nothing."""
        terms = self._terms
        observed, planned = await self._database.write(lambda tx: self._observe(tx, terms, result, self._clock()))
        if planned:
            self._planned()
        return observed

    async def retire(self, check: str, subject: str, *, by: str) -> Incident | None:
        """Stop believing anything of a subject by a check; its open incident, if any, is closed as retired and returned."""
        behind = self._terms.about
        closed, planned = await self._database.write(
            lambda tx: self._retire(tx, check, subject, by, behind, self._clock())
        )
        if planned:
            self._planned()
        return closed

    def _observe(self, tx: Connection, terms: Terms, result: Result, now: int) -> tuple[Observed, int]:
        policy = terms.policy(result.check)
        known = state.load(tx, result.check, result.subject)
        step = state.step(known, result, policy, now=now)
        if step.state is not known:
            state.save(tx, step.state)
        if step.seen is not None:
            self._record(tx, step.seen)
        if step.flip is None:
            current = incident.open_of(tx, result.check, result.subject)
            return Observed(step.state, None, _id(current)), 0
        current, planned = self._follow(tx, terms, step.state, step.flip, now)
        return Observed(step.state, step.flip, _id(current)), planned

    def _follow(self, tx: Connection, terms: Terms, after: State, flip: Flip, now: int) -> tuple[Incident | None, int]:
        about = terms.about(flip.check, flip.subject)
        severity = incident.severity_of(terms.policy(flip.check), about.criticality, flip.to_status)
        current, flip_id = incident.follow(tx, flip, severity)
        if current is None:
            return None, 0
        _note(tx, current, flip, now)
        if current.closed is not None:
            return current, outbox.owe_closing(
                tx, current, flip_id, lambda language: gather(current, after, about, language), now
            )
        owed = route.plan(
            terms.routes,
            check=current.check,
            subject=current.subject,
            status=current.status,
            severity=current.severity,
            about=about,
        )
        return current, outbox.owe_problem(
            tx, current, flip_id, owed, lambda language: gather(current, after, about, language), now
        )

    def _retire(
        self, tx: Connection, check: str, subject: str, by: str, behind: Callable[[str, str], SubjectInfo], now: int
    ) -> tuple[Incident | None, int]:
        known = state.load(tx, check, subject)
        if known is None:
            return None, 0
        state.forget(tx, check, subject)
        audit.note(tx, at=now, actor=by, action="subject.retire", subject=subject, detail={"check": check})
        current = incident.open_of(tx, check, subject)
        if current is None:
            return None, 0
        closed = incident.close(tx, current, at=now, why="retired")
        about = behind(check, subject)
        return closed, outbox.owe_closing(
            tx, closed, None, lambda language: gather(closed, known, about, language), now
        )


def _id(current: Incident | None) -> int | None:
    return None if current is None else current.id


def _action(current: Incident, flip: Flip) -> str:
    if current.closed is not None:
        return "incident.close"
    return "incident.change" if flip.from_status in {Status.DEGRADED, Status.DOWN} else "incident.open"


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
