"""Whose words people read of an incident: those of its check, or of the rule of its family that fits."""

from alerts import families, incident
from alerts.incident import Incident
from alerts.state import Severity
from alerts.states import States
from collectors.result import Status
from server.watching.watched import Watched


def speaker(current: Incident, states: States, watched: Watched) -> str:
    """Return the check that speaks for an incident.

    Of a family it is the worst rule now; when the incident is over, or no rule is bad any more, one that is as severe as it was.
    """
    members = watched.members(current.check)
    if current.closed is None:
        believed = [state for check in members if (state := states.get(check, current.subject)) is not None]
        bad = [state for state in believed if families.is_bad(state)]
        if bad:
            return families.worst_of(
                bad, lambda check, status: _severity(watched, check, current.subject, status)
            ).check
    alike = (check for check in members if watched.policy(check).severity == current.severity)
    return next(alike, current.check)


def _severity(watched: Watched, check: str, subject: str, status: Status) -> Severity:
    return incident.severity_of(watched.policy(check), watched.about(check, subject).criticality, status)
