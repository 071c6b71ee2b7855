"""The read model of the pages: what the overview, the lists, the pages of one subject and the public status show.

It asks the functions of ``alerts`` and of the ledger; times are ms since epoch.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, func, select

from alerts import incident, tables
from alerts.about import About
from alerts.incident import Incident
from alerts.state import Flip, State, all_states, of_check, of_subject
from alerts.tables import Database
from collectors.result import Status
from server import availability, condition, ledger
from server.availability import Figures
from server.condition import Condition, Watch
from server.hours import midnight
from server.inventory import STORE_CHECK
from server.ledger import Day
from server.quarter import Kept, Quarter
from server.register import Agency, Register, Service
from server.state import tables as own

_PUBLIC_FOR: Final = 5_000
_ALIVE_FOR: Final = 300_000


class Device(Protocol):
    """A network device as it is named in the settings."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def agency(self) -> str: ...  # noqa: D102
    @property
    def address(self) -> str: ...  # noqa: D102


class Freshness(msgspec.Struct, frozen=True):
    """How current the pages are: the newest data, the newest evaluation, the messages that wait to be sent.

    ``store`` says what ails the database of points, by its latest look; "" when nothing does.
    """

    data: int | None
    evaluation: int | None
    waiting: int
    oldest_waiting: int | None
    store: str = ""


class Name(msgspec.Struct, frozen=True):
    """A subject for people: ``kind`` is service, host, device or pantau; ``part`` is e.g. ``path=/var``."""

    subject: str
    kind: str
    id: str
    part: str
    title: str
    agency: str


class Problem(msgspec.Struct, frozen=True):
    """An incident, whom it is about, and what settings say of such a fault."""

    incident: Incident
    name: Name
    about: About


class ServiceRow(msgspec.Struct, frozen=True):
    """A service, its condition and its last days, oldest first."""

    service: Service
    now: Condition
    days: Sequence[Day]


class Group(msgspec.Struct, frozen=True):
    """An agency and its services."""

    agency: Agency
    services: Sequence[ServiceRow]


class HostRow(msgspec.Struct, frozen=True):
    """A host: registered, seen, or both."""

    name: str
    title: str
    agency: str
    now: Condition
    seen: int | None
    point: int | None
    address: str
    client: str


class DeviceRow(msgspec.Struct, frozen=True):
    """A network device."""

    device: Device
    agency: str
    now: Condition


class Front(msgspec.Struct, frozen=True):
    """The overview."""

    problems: Sequence[Problem]
    groups: Sequence[Group]
    services: Mapping[Status, int]
    hosts: Mapping[Status, int]
    devices: Mapping[Status, int]


class Detail(msgspec.Struct, frozen=True):
    """One subject in depth: each of its checks' states, its days, this month's figures and its incidents."""

    now: Condition
    states: Sequence[tuple[State, Condition]]
    days: Sequence[Day]
    month: dt.date
    figures: Figures
    problems: Sequence[Problem]


class Story(msgspec.Struct, frozen=True):
    """One incident with its flips and messages."""

    problem: Problem
    flips: Sequence[Flip]
    messages: Sequence[incident.Notification]


class PublicNotice(msgspec.Struct, frozen=True):
    """What citizens are told of a fault: which service, how it is, since when."""

    title: str
    agency: str
    status: Status
    since: int


class PublicStatus(msgspec.Struct, frozen=True):
    """The public page: no host, no address, no cause."""

    notices: Sequence[PublicNotice]
    groups: Sequence[Group]
    at: int


class Overview:
    """Answers the pages; every method is one consistent look at the database."""

    def __init__(
        self,
        *,
        database: Database,
        register: Register,
        devices: Mapping[str, Device],
        checks: Mapping[str, Watch],
        zone: str,
        clock: Callable[[], int],
        about: Callable[[str, str], About] | None = None,
    ) -> None:
        self._database = database
        self._register = register
        self._devices = devices
        self._checks = checks
        self._zone = ZoneInfo(zone)
        self._zone_name = zone
        self._clock = clock
        self._about = about
        self._quarter = Quarter(database, register, zone, clock)
        self._public = Kept[PublicStatus](_PUBLIC_FOR)

    def name(self, subject: str) -> Name:
        """Name a subject for people."""
        kind, _, rest = subject.partition("/")
        identity, _, part = rest.partition("/")
        agency = self._register.agency_of(subject)
        title = identity
        if kind == "pantau":
            return Name(subject, kind, identity, identity, "Pantau", "")
        if kind == "service" and (service := self._register.services.get(identity)):
            title = service.name
        elif kind == "device" and (device := self._devices.get(identity)):
            title = device.name or identity
            agency = self._register.agencies.get(device.agency)
        elif kind == "host" and (registered := self._register.hosts.get(identity)):
            title = registered.name or identity
        return Name(subject, kind, identity, part, title, agency.name if agency else "")

    async def freshness(self) -> Freshness:
        """Tell how current everything is."""
        return await self._database.read(_freshness)

    async def front(self) -> Front:
        """Return the overview."""
        now = self._clock()
        states, opened, seen = await self._database.read(
            lambda tx: (all_states(tx), incident.open_incidents(tx), _hosts_seen(tx))
        )
        by_subject = _by_subject(states)
        groups = await self._groups(by_subject, now)
        return Front(
            problems=self._problems(opened),
            groups=groups,
            services=_count(row.now for group in groups for row in group.services),
            hosts=_count(row.now for row in self._host_rows(by_subject, seen, now)),
            devices=_count(row.now for row in self._device_rows(by_subject, now)),
        )

    async def service(self, identity: str) -> tuple[Service, Detail] | None:
        """Return a registered service and all about it."""
        service = self._register.services.get(identity)
        return (service, await self._detail(service.subject)) if service else None

    async def hosts(self) -> list[HostRow]:
        """Return every host that is registered or was seen, problems first."""
        states, seen = await self._database.read(lambda tx: (all_states(tx), _hosts_seen(tx)))
        return sorted(self._host_rows(_by_subject(states), seen, self._clock()), key=_host_order)

    async def host(self, name: str) -> tuple[HostRow, Detail] | None:
        """Return a host and all about it."""
        found = next((row for row in await self.hosts() if row.name == name), None)
        return (found, await self._detail(f"host/{name}")) if found else None

    async def devices(self) -> list[DeviceRow]:
        """Return every device, problems first."""
        states = await self._database.read(all_states)
        rows = self._device_rows(_by_subject(states), self._clock())
        return sorted(rows, key=lambda row: (condition.ORDER.index(row.now.status), row.agency, row.device.name))

    async def device(self, identity: str) -> tuple[DeviceRow, Detail] | None:
        """Return a device and all about it."""
        found = next((row for row in await self.devices() if row.device.id == identity), None)
        return (found, await self._detail(f"device/{identity}")) if found else None

    async def incidents(self, *, limit: int, before: int | None) -> tuple[list[Problem], list[Problem]]:
        """Return the open incidents, worst first, and a page of all, newest first."""
        opened, recent = await self._database.read(
            lambda tx: (incident.open_incidents(tx), incident.recent(tx, limit=limit, before_id=before))
        )
        return self._problems(opened), [self._problem(one) for one in recent]

    async def story(self, identity: int) -> Story | None:
        """Return one incident with everything that happened to it."""

        def read(tx: Connection) -> Story | None:
            one = incident.get(tx, identity)
            if one is None:
                return None
            return Story(self._problem(one), incident.flips(tx, identity), incident.messages(tx, identity))

        return await self._database.read(read)

    async def public(self) -> PublicStatus:
        """Return what anybody may see; kept for some seconds, since anybody may ask."""
        return await self._public.get("", self._clock(), self._read_public)

    async def _read_public(self) -> PublicStatus:
        now = self._clock()
        states = await self._database.read(all_states)
        groups = await self._groups(_by_subject(states), now, public=True)
        notices = [
            PublicNotice(row.service.name, group.agency.name, row.now.status, row.now.since or now)
            for group in groups
            for row in group.services
            if row.now.status in {Status.DOWN, Status.DEGRADED}
        ]
        notices.sort(key=lambda notice: (condition.ORDER.index(notice.status), notice.since))
        return PublicStatus(notices, groups, now)

    async def _groups(self, by_subject: Mapping[str, list[State]], now: int, *, public: bool = False) -> list[Group]:
        alive = [one for one in self._living(now) if one.public or not public]
        days = await self._quarter.all([one.subject for one in self._living(now)])
        rows = [
            ServiceRow(
                service=one,
                now=condition.of_subject(by_subject.get(one.subject, ()), self._checks, now),
                days=days.get(one.subject, ()),
            )
            for one in alive
        ]
        of_agency: dict[str, list[ServiceRow]] = {}
        for row in rows:
            of_agency.setdefault(row.service.agency, []).append(row)
        return [Group(agency, of_agency[key]) for key, agency in self._register.agencies.items() if key in of_agency]

    def _living(self, now: int) -> list[Service]:
        today = self._date(now)
        return [one for one in self._register.services.values() if one.retired is None or one.retired > today]

    async def _detail(self, subject: str) -> Detail:
        now = self._clock()
        month = self._date(now).replace(day=1)
        start = midnight(month, self._zone)
        days = await self._quarter.one(subject)

        def read(tx: Connection) -> Detail:
            states = of_subject(tx, subject)
            line = ledger.timeline(
                tx, subject, start=start, end=now, now=now, register=self._register, zone=self._zone_name
            )
            return Detail(
                now=condition.of_subject(states, self._checks, now),
                states=[(state, condition.of_check(state, self._checks.get(state.check), now)) for state in states],
                days=days,
                month=month,
                figures=availability.figures(line),
                problems=[self._problem(one) for one in incident.recent(tx, limit=10, subject=subject)],
            )

        return await self._database.read(read)

    def _host_rows(
        self, by_subject: Mapping[str, list[State]], seen: Mapping[str, "_HostSeen"], now: int
    ) -> list[HostRow]:
        rows = []
        for name in {**self._register.hosts, **seen}:
            row, named = seen.get(name), self.name(f"host/{name}")
            current = condition.of_subject(by_subject.get(f"host/{name}", ()), self._checks, now)
            if not current.check and row and now - row.seen <= _ALIVE_FOR:
                current = Condition(status=Status.UP, at=row.seen)  # no rule speaks for it, but its data come
            rows.append(
                HostRow(
                    name=name,
                    title=named.title,
                    agency=named.agency,
                    now=current,
                    seen=row.seen if row else None,
                    point=row.point if row else None,
                    address=row.address if row else "",
                    client=row.client if row else "",
                )
            )
        return rows

    def _device_rows(self, by_subject: Mapping[str, list[State]], now: int) -> list[DeviceRow]:
        return [
            DeviceRow(
                device=device,
                agency=self.name(f"device/{key}").agency,
                now=condition.of_subject(by_subject.get(f"device/{key}", ()), self._checks, now),
            )
            for key, device in self._devices.items()
        ]

    def _problem(self, one: Incident) -> Problem:
        name = self.name(one.subject)
        return Problem(one, name, self._about(one.check, one.subject) if self._about else About(name.title))

    def _problems(self, opened: Iterable[Incident]) -> list[Problem]:
        worst_first = sorted(opened, key=lambda one: (-incident.rank(one.severity), one.opened))
        return [self._problem(one) for one in worst_first]

    def _date(self, at: int) -> dt.date:
        return dt.datetime.fromtimestamp(at / 1000, self._zone).date()


class _HostSeen(msgspec.Struct, frozen=True):
    seen: int
    point: int
    address: str
    client: str


def _hosts_seen(tx: Connection) -> dict[str, _HostSeen]:
    columns = (own.host.c.name, own.host.c.seen_ms, own.host.c.point_ms, own.host.c.address, own.host.c.client)
    return {row[0]: _HostSeen(*row[1:]) for row in tx.execute(select(*columns).order_by(own.host.c.name))}


def _freshness(tx: Connection) -> Freshness:
    box = tables.outbox.c
    owed = box.status.in_(("queued", "leased"))
    waiting, oldest = tx.execute(select(func.count(), func.min(box.created_ms)).where(owed)).one()
    return Freshness(
        data=tx.scalar(select(func.max(own.host.c.point_ms))),
        evaluation=tx.scalar(select(func.max(tables.state.c.last_at_ms))),
        waiting=waiting,
        oldest_waiting=oldest,
        store=next((one.last_detail for one in of_check(tx, STORE_CHECK) if one.last_status is not Status.UP), ""),
    )


def _by_subject(states: Iterable[State]) -> dict[str, list[State]]:
    """Sort states by what they are about; a full file system is its host's trouble."""
    found: dict[str, list[State]] = {}
    for state in states:
        whole = "/".join(state.subject.split("/", 2)[:2])
        found.setdefault(whole, []).append(state)
    return found


def _count(conditions: Iterable[Condition]) -> dict[Status, int]:
    counts = dict.fromkeys(condition.ORDER, 0)
    for one in conditions:
        counts[one.status] += 1
    return counts


def _host_order(row: HostRow) -> tuple[int, str, str]:
    return condition.ORDER.index(row.now.status), row.agency, row.name
