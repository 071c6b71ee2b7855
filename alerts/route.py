"""Routes: who hears of what. Settings ``[[contact]]`` and ``[[route]]``, and the pure decision between them."""

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Literal

import msgspec

from alerts.i18n.catalogue import LanguageCode
from alerts.incident import rank
from alerts.state import Severity
from alerts.subject_info import SubjectInfo
from collectors.result import Status

Id = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=100)]


class Via(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to reach a contact: a channel's name and the address there (e-mail address, chat id; a webhook needs none)."""

    channel: str
    to: Annotated[str, msgspec.Meta(max_length=400)] = ""


class Contact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person or group who can be told, on every channel listed, in ``language``."""

    id: Id
    channels: Annotated[tuple[Via, ...], msgspec.Meta(min_length=1)]
    name: str = ""
    language: LanguageCode = "id"


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sends what matches to contacts. An empty list matches everything; several lists must all match.

    ``services`` are ids, ``agencies`` too; ``subjects`` are whole subjects (``host/srv-1``) and take their parts along;
    ``checks`` are ids of checks, ``rule/ID``, ``snmp/ID``, ``family/NAME`` and what the centre sees of itself (``pantau/store``); a name
    that nothing has is refused. The incident of a family matches the names of all its rules that are broken, too.
    """

    contacts: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1)]
    agencies: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    statuses: tuple[Literal["degraded", "down"], ...] = ()
    min_severity: Severity = "low"


class Routes(msgspec.Struct, frozen=True):
    """Every contact by id, and the routes in order; without any route, everything goes to every contact."""

    contacts: Mapping[str, Contact] = {}
    routes: tuple[Route, ...] = ()


class Owed(msgspec.Struct, frozen=True):
    """One address that is to be told."""

    channel: str
    recipient: str
    language: LanguageCode


def connect(contacts: Iterable[Contact], routes: Iterable[Route], channels: Collection[str]) -> Routes:
    """Check that contacts, routes and channels (their names) fit together; ValueError says what does not."""
    known: dict[str, Contact] = {}
    for contact in contacts:
        if contact.id in known:
            raise ValueError(f"contact id {contact.id!r} is used twice")
        for via in contact.channels:
            if via.channel not in channels:
                raise ValueError(_unknown("channel", via.channel, channels, f"contact {contact.id!r}"))
        known[contact.id] = contact
    routes = tuple(routes)
    for position, route in enumerate(routes, 1):
        for name in route.contacts:
            if name not in known:
                raise ValueError(_unknown("contact", name, known, f"route #{position}"))
    return Routes(known, routes)


def plan(
    routes: Routes, *, checks: Collection[str], subject: str, status: Status, severity: Severity, about: SubjectInfo
) -> list[Owed]:
    """Return who is to be told of a problem: the contacts of all routes that match, each address once, in order.

    ``checks`` are the names that the problem goes by.
    """
    if routes.routes:
        chosen = [
            routes.contacts[name]
            for route in routes.routes
            if _matches(route, checks, subject, status, severity, about)
            for name in route.contacts
        ]
    else:
        chosen = list(routes.contacts.values())
    owed: dict[tuple[str, str], Owed] = {}
    for contact in chosen:
        for via in contact.channels:
            owed.setdefault((via.channel, via.to), Owed(via.channel, via.to, contact.language))
    return list(owed.values())


def _matches(
    route: Route, checks: Collection[str], subject: str, status: Status, severity: Severity, about: SubjectInfo
) -> bool:
    kind, _, rest = subject.partition("/")
    service = rest.partition("/")[0] if kind == "service" else ""
    return (
        rank(severity) >= rank(route.min_severity)
        and (not route.statuses or status in route.statuses)
        and (not route.agencies or about.agency in route.agencies)
        and (not route.services or service in route.services)
        and (not route.checks or any(check in route.checks for check in checks))
        and (not route.subjects or any(subject == whole or subject.startswith(f"{whole}/") for whole in route.subjects))
    )


def _unknown(kind: str, name: str, known: Collection[str], where: str) -> str:
    return f"unknown {kind} {name!r} in {where}; known: {', '.join(known) or 'none'}"
