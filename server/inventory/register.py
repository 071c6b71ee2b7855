"""The register: agencies (OPD) and the services, hosts and devices that are theirs; ``id`` is stable, ``name`` is free."""

import datetime as dt
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Final, Literal

import msgspec

from configs.read import Faults, Place, Source, Table
from server.calendar.service_hours import BadHours, Calendar, Profile, calendar

Id = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=100)]
Criticality = Literal[1, 3, 5]

ALWAYS: Final = "24x7"


class Agency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An agency of the government (perangkat daerah, OPD)."""

    id: Id
    name: str
    contact: str = ""


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A digital service (layanan) and what was promised for it.

    ``criticality`` is 5 (kritis), 3 (penting) or 1 (pendukung); ``hours`` is "24x7" or a profile's name; ``registered`` and
    ``retired`` bound its life; ``target`` is the availability aimed at in percent; ``public`` shows it on the public page.
    """

    id: Id
    name: str
    agency: Id
    url: str = ""
    criticality: Criticality = 3
    hours: str = ALWAYS
    registered: dt.date | None = None
    retired: dt.date | None = None
    depends_on: tuple[str, ...] = ()
    target: float = 99.5
    public: bool = True
    impact: str = ""
    runbook: str = ""

    @property
    def subject(self) -> str:
        """How results, incidents and spans name this service."""
        return f"service/{self.id}"


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server; ``id`` is the host name that its agent writes."""

    id: str
    agency: Id
    name: str = ""
    criticality: Criticality = 3


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file ``services.toml``."""

    agency: tuple[Table, ...] = ()
    service: tuple[Table, ...] = ()
    host: tuple[Table, ...] = ()
    hours: dict[str, Profile] = {}


class Register(msgspec.Struct, frozen=True):
    """Everything registered, by id, in the order of the file; ``calendars`` are the profiles of ``hours``, read."""

    agencies: Mapping[str, Agency]
    services: Mapping[str, Service]
    hosts: Mapping[str, Host]
    hours: Mapping[str, Profile]
    calendars: Mapping[str, Calendar] = {}

    def agency_of(self, subject: str) -> Agency | None:
        """Return the agency that a subject (``service/x``, ``host/y``, with or without a part) belongs to, if registered."""
        entry = self.entry(subject)
        return self.agencies.get(entry.agency) if entry else None

    def entry(self, subject: str) -> Service | Host | None:
        """Return the registered service or host that a subject names."""
        kind, _, rest = subject.partition("/")
        name = rest.partition("/")[0]
        if kind == "service":
            return self.services.get(name)
        return self.hosts.get(name) if kind == "host" else None


def read(source: Source) -> Register:
    """Read a register; SettingsError names everything that is doubled, unknown or impossible."""
    faults = Faults()
    register = read_good(source, faults)
    faults.tell()
    return register


def read_good(source: Source, faults: Faults) -> Register:
    """Return what of a register can be read; what is doubled, unknown or impossible is noted."""
    outer = source.parse(Outer, faults=faults)
    agencies = source.entries(Agency, outer.agency, ("agency",), faults)
    services = source.entries(Service, outer.service, ("service",), faults)
    hosts = source.entries(Host, outer.host, ("host",), faults)
    owned = [(at, one.agency) for at, one in services.values()] + [(at, one.agency) for at, one in hosts.values()]
    for at, agency in owned:
        with faults.noted():
            _known(source, (*at, "agency"), agency, source.declared("agency"))
    for at, service in services.values():
        _check_service(source, at, service, faults)
    calendars: dict[str, Calendar] = {}
    for name, profile in outer.hours.items():
        with faults.noted():
            calendars[name] = _calendar(source, name, profile)
    return Register(
        agencies={name: agency for name, (_, agency) in agencies.items()},
        services={name: service for name, (_, service) in services.items()},
        hosts={name: host for name, (_, host) in hosts.items()},
        hours=outer.hours,
        calendars=calendars,
    )


def _calendar(source: Source, name: str, profile: Profile) -> Calendar:
    try:
        return calendar(profile, source.file.parent)
    except BadHours as error:
        raise source.error(("hours", name, error.key), f"{error.key!r} in [hours.{name}]: {error}") from error


def _check_service(source: Source, at: Place, service: Service, faults: Faults) -> None:
    for other in service.depends_on:
        with faults.noted():
            _known(source, (*at, "depends_on"), other, source.declared("service"))
    if service.id in service.depends_on:
        faults.add(source.error((*at, "depends_on"), f"service {service.id!r} cannot depend on itself"))
    with faults.noted():
        _known(source, (*at, "hours"), service.hours, [ALWAYS, *source.tree.get("hours", ())])
    for key, why in _impossible(service):
        faults.add(source.error((*at, key), why))


def _impossible(service: Service) -> Iterator[tuple[str, str]]:
    """Yield each key of a service that cannot be, and why."""
    if not 0 < service.target <= 100:  # noqa: PLR2004 - percent
        yield "target", f"target of {service.id!r}: expected percent above 0 and up to 100"
    if service.url and not re.match(r"https?://[^/]", service.url):
        yield "url", f"url of {service.id!r}: expected http:// or https://, got {service.url!r}"
    if service.registered and service.retired and service.retired <= service.registered:
        yield "retired", f"service {service.id!r} cannot be retired before it is registered"


def _known(source: Source, at: Place, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise source.error(at, f"unknown {at[-1]} {name!r}; known: {', '.join(known) or 'none'}")
