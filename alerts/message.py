"""Messages: the facts of one notification, and how they read in Indonesian and English.

Three fixed lines come before any number of ours: what is broken, who is affected, what to do.
"""

import logging
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from alerts.about import About
from alerts.channels import Message
from alerts.incident import CloseReason, Incident
from alerts.phrases import PHRASES, Phrases
from alerts.state import Severity, State
from alerts.words import Language, clock, duration, explain, moment, same_day, severity_word, status_word
from collectors.result import Reason, Status

Kind = Literal["problem", "update", "recovery", "brief"]

_log: Final = logging.getLogger("pantau.alerts")


class Facts(msgspec.Struct, frozen=True):
    """What is known when a notification is planned: the payload of an outbox row. Times are ms."""

    incident: int
    check: str
    subject: str
    status: Status
    severity: Severity
    reason: Reason
    detail: str
    opened: int
    confirmed: int
    closed: int | None
    close_reason: CloseReason | None
    last_up: int | None
    phases: Mapping[str, float]
    about: About
    language: Language


class Look(msgspec.Struct, frozen=True):
    """How messages look here: the zone (IANA name) times are told in, and the address of the web pages, if it has one."""

    zone: str = "Asia/Jakarta"
    public_url: str = ""


def gather(incident: Incident, state: State, about: About, language: Language) -> Facts:
    """Collect the facts of an incident as they stand in ``state`` after the latest look."""
    return Facts(
        incident=incident.id,
        check=incident.check,
        subject=incident.subject,
        status=incident.status,
        severity=incident.severity,
        reason=incident.reason,
        detail=incident.detail,
        opened=incident.opened,
        confirmed=incident.confirmed,
        closed=incident.closed,
        close_reason=incident.close_reason,
        last_up=state.last_up,
        phases=state.last_phases,
        about=about,
        language=language,
    )


def render(key: str, kind: Kind, facts: Facts, look: Look, *, repeated: bool = False) -> Message:
    """Turn facts into a message; ``repeated`` marks one that may have arrived before.

    ``Message.facts`` has these keys, stable for programs: kind, incident, check, subject, status, severity, reason, detail, opened_ms,
    confirmed_ms, closed_ms, close_reason, duration_ms, last_up_ms, name, agency, agency_name, criticality, meaning, impact, todo,
    contact, runbook, language, link, repeated, and phase_NAME in seconds. A text that cannot be made becomes a plain one.
    """
    link = f"{look.public_url.rstrip('/')}/incidents/{facts.incident}" if look.public_url else ""
    phrases = PHRASES[facts.language]
    try:
        title, lines = _compose(kind, facts, phrases, look.zone)
    except Exception:  # noqa: BLE001 - whatever is wrong with a text, the message goes out
        _log.warning("the text of incident %d cannot be made, a plain one is sent", facts.incident, exc_info=True)
        title, lines = f"{facts.subject} {facts.status}", [f"{kind}: {facts.subject} {facts.status} ({facts.reason})"]
    if link:
        lines.append(phrases.link.format(link))
    if repeated:
        lines.append(phrases.repeated)
    return Message(
        key=key,
        thread=f"incident-{facts.incident}-{facts.opened}",
        kind=kind,
        title=" ".join(title.split()),
        text="\n".join(lines),
        facts=_flat(kind, facts, link, repeated=repeated),
    )


def _compose(kind: Kind, facts: Facts, phrases: Phrases, zone: str) -> tuple[str, list[str]]:
    """Return title and lines."""
    about = facts.about
    name = f"{about.name} ({about.agency_name})" if about.agency_name else about.name
    if kind in {"problem", "update"}:
        return _problem_title(kind, facts, phrases, name), _problem(facts, phrases, name, zone)
    ended = facts.opened if facts.closed is None else facts.closed
    span = _span(facts.opened, ended, zone, facts.language)
    if facts.close_reason == "retired":
        return phrases.retired_title.format(name), [phrases.retired.format(name), phrases.closed.format(span)]
    title, first = (
        (phrases.brief_title.format(name), phrases.brief.format(name, span))
        if kind == "brief"
        else (phrases.recovered_title.format(name), phrases.recovered.format(name))
    )
    return title, [
        first,
        phrases.was_affected.format(_impact(facts, phrases)),
        phrases.nothing_urgent,
        "",
        phrases.lasted.format(duration(ended - facts.opened, facts.language), span),
        phrases.cause.format(explain(facts.reason, facts.language).what),
    ]


def _problem_title(kind: Kind, facts: Facts, phrases: Phrases, name: str) -> str:
    sign = "🔴" if facts.status is Status.DOWN else "🟠"
    status = status_word(facts.status, facts.language)
    told = phrases.worse.format(status) if kind == "update" else status
    return f"{sign} {severity_word(facts.severity, facts.language).upper()} · {name} {told}"


def _problem(facts: Facts, phrases: Phrases, name: str, zone: str) -> list[str]:
    lang, about = facts.language, facts.about
    words = explain(facts.reason, lang)
    broken = about.meaning or (phrases.down if facts.status is Status.DOWN else phrases.degraded).format(name)
    todo = about.todo or words.todo
    if about.contact:
        todo = f"{todo} {phrases.call.format(about.contact.rstrip('.'))}"
    seconds = (f"{name} {_seconds(value, phrases)}" for name, value in facts.phases.items())
    extras = [
        (phrases.detail, facts.detail),
        (phrases.phases, " · ".join(seconds)),
        (phrases.last_up, "" if facts.last_up is None else _when(facts.last_up, facts.opened, zone, lang)),
        (phrases.runbook, about.runbook),
    ]
    return [
        f"{broken.rstrip('.')}.",
        phrases.affected.format(_impact(facts, phrases)),
        phrases.todo.format(todo),
        "",
        phrases.since.format(_when(facts.opened, facts.confirmed, zone, lang)),
        phrases.cause.format(words.what),
        *(phrase.format(text) for phrase, text in extras if text),
    ]


def _impact(facts: Facts, phrases: Phrases) -> str:
    return (facts.about.impact or phrases.users.format(facts.about.name)).rstrip(".")


def _when(ms: int, near: int, zone: str, lang: Language) -> str:
    """Tell the time of day when ``near`` is the same date, else date and time."""
    return clock(ms, zone, lang) if same_day(ms, near, zone) else moment(ms, zone, lang)


def _span(start: int, end: int, zone: str, lang: Language) -> str:
    if same_day(start, end, zone):
        return f"{clock(start, zone, lang, named=False)}–{clock(end, zone, lang)}"
    return f"{moment(start, zone, lang)} – {moment(end, zone, lang)}"


def _seconds(value: float, phrases: Phrases) -> str:
    return phrases.seconds.format(f"{value:.3f}".replace(".", phrases.point))


def _flat(kind: Kind, facts: Facts, link: str, *, repeated: bool) -> dict[str, str | int | float | bool | None]:
    about = facts.about
    return {
        "kind": kind,
        "incident": facts.incident,
        "check": facts.check,
        "subject": facts.subject,
        "status": facts.status.value,
        "severity": facts.severity,
        "reason": facts.reason.value,
        "detail": facts.detail,
        "opened_ms": facts.opened,
        "confirmed_ms": facts.confirmed,
        "closed_ms": facts.closed,
        "close_reason": facts.close_reason,
        "duration_ms": None if facts.closed is None else facts.closed - facts.opened,
        "last_up_ms": facts.last_up,
        "name": about.name,
        "agency": about.agency,
        "agency_name": about.agency_name,
        "criticality": about.criticality,
        "meaning": about.meaning,
        "impact": about.impact,
        "todo": about.todo or explain(facts.reason, facts.language).todo,
        "contact": about.contact,
        "runbook": about.runbook,
        "language": facts.language,
        "link": link,
        "repeated": repeated,
        **{f"phase_{name}": seconds for name, seconds in facts.phases.items()},
    }
