"""Messages: the facts of one notification, and how they read in Indonesian and English.

Three fixed lines come before any number of ours: what is broken, who is affected, what to do.
"""

import logging
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from alerts.channels import Message
from alerts.i18n.catalogue import LanguageCode, Texts
from alerts.i18n.glossary import REASONS
from alerts.i18n.language import Language
from alerts.incident import CloseReason, Incident
from alerts.state import Severity, State
from alerts.subject_info import SubjectInfo
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
    about: SubjectInfo
    language: LanguageCode


class Look(msgspec.Struct, frozen=True):
    """How messages look here: the zone (IANA name) times are told in, and the address of the web pages, if it has one."""

    zone: str = "Asia/Jakarta"
    public_url: str = ""


def gather(incident: Incident, state: State | None, about: SubjectInfo, language: LanguageCode) -> Facts:
    """Collect the facts of an incident as they stand in ``state`` after the latest look; None when nothing is believed any more."""
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
        last_up=None if state is None else state.last_up,
        phases={} if state is None else state.last_phases,
        about=about,
        language=language,
    )


def render(key: str, kind: Kind, facts: Facts, look: Look, *, repeated: bool = False) -> Message:
    """Return the message that facts make; ``repeated`` marks one that may have arrived before. Reads texts the first time.

    ``Message.facts`` has these keys, stable for programs: kind, incident, check, subject, status, severity, reason, detail, opened_ms,
    confirmed_ms, closed_ms, close_reason, duration_ms, last_up_ms, name, agency, agency_name, criticality, meaning, impact, todo,
    contact, runbook, language, link, repeated, and phase_NAME in seconds. A text that cannot be made becomes a plain one.
    """
    link = f"{look.public_url.rstrip('/')}/incidents/{facts.incident}" if look.public_url else ""
    try:
        title, lines = _compose(kind, facts, Language(facts.language, look.zone))
    except Exception:  # noqa: BLE001 - whatever is wrong with a text, the message goes out
        _log.warning("the text of incident %d cannot be made, a plain one is sent", facts.incident, exc_info=True)
        title, lines = f"{facts.subject} {facts.status}", [f"{kind}: {facts.subject} {facts.status} ({facts.reason})"]
    texts = Texts(facts.language)
    if link:
        lines.append(texts.gettext("Buka: {link}", link=link))
    if repeated:
        lines.append(texts.gettext("(mungkin terkirim ganda)"))
    return Message(
        key=key,
        thread=f"incident-{facts.incident}-{facts.opened}",
        kind=kind,
        title=" ".join(title.split()),
        text="\n".join(lines),
        facts=_flat(kind, facts, link, texts, repeated=repeated),
    )


def _compose(kind: Kind, facts: Facts, language: Language) -> tuple[str, list[str]]:
    """Return title and lines."""
    about, gettext = facts.about, language.gettext
    name = f"{about.name} ({about.agency_name})" if about.agency_name else about.name
    if kind in {"problem", "update"}:
        return _problem_title(kind, facts, language, name), _problem(facts, language, name)
    ended = facts.opened if facts.closed is None else facts.closed
    span = language.from_to(facts.opened, ended)
    if facts.close_reason == "retired":
        closed = gettext("Gangguan {span} ditutup tanpa pemulihan yang terlihat.", span=span)
        return (
            gettext("⏹️ DINONAKTIFKAN · {name}", name=name),
            [gettext("{name} tidak dipantau lagi.", name=name), closed],
        )
    if kind == "brief":
        title = gettext("✅ SEMPAT GANGGUAN, SUDAH PULIH · {name}", name=name)
        first = gettext("{name} sempat gangguan {span}, sudah pulih.", name=name, span=span)
    else:
        title = gettext("✅ PULIH · {name}", name=name)
        first = gettext("{name} sudah berfungsi kembali.", name=name)
    return title, [
        first,
        gettext("Terdampak sebelumnya: {impact}.", impact=_impact(facts, language)),
        gettext("Langkah: tidak ada yang mendesak; catat penyebabnya bila sudah diketahui."),
        "",
        gettext("Lama gangguan: {duration} ({span}).", duration=language.duration(ended - facts.opened), span=span),
        gettext("Sebab: {reason}.", reason=language.reason(facts.reason).what),
    ]


def _problem_title(kind: Kind, facts: Facts, language: Language, name: str) -> str:
    sign = "🔴" if facts.status is Status.DOWN else "🟠"
    status = language.status(facts.status)
    change = language.gettext("memburuk, sekarang {status}", status=status) if kind == "update" else status
    return f"{sign} {language.severity(facts.severity).upper()} · {name} {change}"


def _problem(facts: Facts, language: Language, name: str) -> list[str]:
    about, gettext, reason = facts.about, language.gettext, language.reason(facts.reason)
    if facts.status is Status.DOWN:
        broken = about.meaning or gettext("{name} tidak dapat diakses", name=name)
    else:
        broken = about.meaning or gettext("{name} menurun: tidak bekerja sebaik biasanya", name=name)
    todo = about.todo or reason.todo
    if about.contact:
        todo += " " + gettext("Hubungi: {contact}.", contact=about.contact.rstrip("."))
    return [
        f"{broken.rstrip('.')}.",
        gettext("Terdampak: {impact}.", impact=_impact(facts, language)),
        gettext("Langkah: {todo}", todo=todo),
        "",
        gettext("Sejak {moment}.", moment=language.time_near(facts.opened, facts.confirmed)),
        gettext("Sebab: {reason}.", reason=reason.what),
        *_extras(facts, language),
    ]


def _extras(facts: Facts, language: Language) -> list[str]:
    """Return the lines of what is known beyond the usual."""
    gettext, lines = language.gettext, []
    if facts.detail:
        lines.append(gettext("Rincian: {detail}", detail=facts.detail))
    if facts.phases:
        phases = " · ".join(f"{name} {language.seconds(value)}" for name, value in facts.phases.items())
        lines.append(gettext("Waktu tiap tahap: {phases}", phases=phases))
    if facts.last_up is not None:
        lines.append(gettext("Terakhir baik: {moment}", moment=language.time_near(facts.last_up, facts.opened)))
    if facts.about.runbook:
        lines.append(gettext("Panduan: {runbook}", runbook=facts.about.runbook))
    return lines


def _impact(facts: Facts, language: Language) -> str:
    return (facts.about.impact or language.gettext("pengguna {name}", name=facts.about.name)).rstrip(".")


def _flat(
    kind: Kind, facts: Facts, link: str, texts: Texts, *, repeated: bool
) -> dict[str, str | int | float | bool | None]:
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
        "todo": about.todo or texts.gettext(REASONS[facts.reason][1]),
        "contact": about.contact,
        "runbook": about.runbook,
        "language": facts.language,
        "link": link,
        "repeated": repeated,
        **{f"phase_{name}": seconds for name, seconds in facts.phases.items()},
    }
