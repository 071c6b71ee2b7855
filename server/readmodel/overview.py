"""The read model of the pages: what the overview, the lists, the pages of one subject and the public status show.

It asks the functions of ``alerts`` and of the ledger; times are ms since epoch.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from alerts import incident, tables
from alerts.incident import Incident
from alerts.state import State
from alerts.state_rows import all_states, of_check, of_subject
from alerts.tables import Database
from collectors.result import Status
from server.calendar.service_hours import midnight
from server.evaluation import standard
from server.inventory.known_hosts import KnownHost, known_hosts
from server.inventory.register import Service
from server.ledger import histories, maintenance
from server.readmodel import subject_status
from server.readmodel.last_known import LastKnown
from server.readmodel.recent_days import Kept, RecentDays
from server.readmodel.subject_rows import (
    Detail,
    DeviceRow,
    Freshness,
    Front,
    Group,
    HostRow,
    Name,
    Planned,
    Problem,
    PublicNotice,
    PublicStatus,
    ServiceRow,
    Story,
)
from server.readmodel.subject_status import SubjectStatus
from server.state import tables as own
from server.watching.watched import SCHEDULE_CHECK, STORE_CHECK, Watched

_PUBLIC_FOR: Final = 5_000
_ALIVE_FOR: Final = 300_000
_AHEAD: Final = 14 * 86_400_000  # planned work is announced this long before it starts


class Overview:
    """Answers the pages; every method is one consistent look at the database.

    While that is away all raise StateAway, but for overview, public status and freshness, which are those of the last look then.
    """

    def __init__(self, database: Database, watched: Watched, *, zone: str, clock: Callable[[], int]) -> None:
        self._database = database
        self._watched = watched
        self._register = watched.register
        self._devices = watched.devices
        self._checks = watched.checks
        self._zone = ZoneInfo(zone)
        self._zone_name = zone
        self._clock = clock
        self._quarter = RecentDays(database, watched.register, zone, clock)
        self._public = Kept[PublicStatus](_PUBLIC_FOR)
        self._last_public = LastKnown[PublicStatus]()
        self._last_front = LastKnown[Front]()
        self._last_freshness = LastKnown[Freshness]()

    def following(self, watched: Watched, zone: str) -> "Overview":
        """Return the overview by other settings; what was counted is kept where it would be counted alike."""
        after = Overview(self._database, watched, zone=zone, clock=self._clock)
        if watched.register == self._register and zone == self._zone_name:
            after._quarter = self._quarter
        return after

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

    async def running_since(self) -> int | None:
        """Return when this centre first ran, ms."""
        return await self._database.read(histories.known_since)

    async def freshness(self) -> Freshness:
        """Return how current everything is."""
        return await self._last_freshness.get(lambda: self._database.read(_freshness))

    async def front(self) -> Front:
        """Return the overview."""
        return await self._last_front.get(self._read_front)

    async def _read_front(self) -> Front:
        now = self._clock()
        states, opened, seen, works = await self._database.read(
            lambda tx: (all_states(tx), incident.open_incidents(tx), known_hosts(tx), self._works(tx, now))
        )
        by_subject = _by_subject(states)
        groups = await self._groups(by_subject, works, now)
        return Front(
            problems=self._problems(opened),
            works=works,
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
        states, seen = await self._database.read(lambda tx: (all_states(tx), known_hosts(tx)))
        return sorted(self._host_rows(_by_subject(states), seen, self._clock()), key=_host_order)

    async def host(self, name: str) -> tuple[HostRow, Detail] | None:
        """Return a host and all about it."""
        found = next((row for row in await self.hosts() if row.name == name), None)
        return (found, await self._detail(f"host/{name}")) if found else None

    async def devices(self) -> list[DeviceRow]:
        """Return every device, problems first."""
        states = await self._database.read(all_states)
        rows = self._device_rows(_by_subject(states), self._clock())
        return sorted(rows, key=lambda row: (subject_status.ORDER.index(row.now.status), row.agency, row.device.name))

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
        return await self._public.get("", self._clock(), lambda: self._last_public.get(self._read_public))

    async def _read_public(self) -> PublicStatus:
        now = self._clock()
        states, works = await self._database.read(lambda tx: (all_states(tx), self._works(tx, now)))
        groups = await self._groups(_by_subject(states), works, now, public=True)
        shown = {row.service.subject for group in groups for row in group.services}
        notices = [
            PublicNotice(row.service.name, group.agency.name, row.now.status, row.now.since or now)
            for group in groups
            for row in group.services
            if row.now.status in {Status.DOWN, Status.DEGRADED}
        ]
        notices.sort(key=lambda notice: (subject_status.ORDER.index(notice.status), notice.since))
        return PublicStatus(notices, [one for one in works if one.name.subject in shown], groups, now)

    def _works(self, tx: Connection, now: int, subject: str | None = None) -> list[Planned]:
        """Return the planned work that runs or comes soon, by its start."""
        found = maintenance.within(tx, now, now + _AHEAD, None if subject is None else [subject])
        return [Planned(self.name(work.subject), work, work.start <= now) for work in found if work.cancelled is None]

    async def _groups(
        self, by_subject: Mapping[str, list[State]], works: Iterable[Planned], now: int, *, public: bool = False
    ) -> list[Group]:
        working = {one.name.subject for one in works if one.running}
        alive = [one for one in self._living(now) if one.public or not public]
        days = await self._quarter.all([one.subject for one in self._living(now)])
        rows = [
            ServiceRow(
                service=one,
                now=subject_status.of_subject(by_subject.get(one.subject, ()), self._checks, now),
                days=days.get(one.subject, ()),
                working=one.subject in working,
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
            line = histories.timeline(
                tx, subject, start=start, end=now, now=now, register=self._register, zone=self._zone_name
            )
            return Detail(
                now=subject_status.of_subject(states, self._checks, now),
                states=[
                    (state, subject_status.of_check(state, self._checks.get(state.check), now)) for state in states
                ],
                days=days,
                month=month,
                figures=standard.figures(line),
                problems=[self._problem(one) for one in incident.recent(tx, limit=10, subject=subject)],
                works=self._works(tx, now, subject),
                since=histories.known_since(tx, subject),
            )

        return await self._database.read(read)

    def _host_rows(
        self, by_subject: Mapping[str, list[State]], seen: Mapping[str, KnownHost], now: int
    ) -> list[HostRow]:
        rows = []
        for name in {**self._register.hosts, **seen}:
            row, named = seen.get(name), self.name(f"host/{name}")
            current = subject_status.of_subject(by_subject.get(f"host/{name}", ()), self._checks, now)
            if not current.check and row and row.seen is not None and now - row.seen <= _ALIVE_FOR:
                current = SubjectStatus(status=Status.UP, at=row.seen)  # no rule speaks for it, but its data come
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
                now=subject_status.of_subject(by_subject.get(f"device/{key}", ()), self._checks, now),
            )
            for key, device in self._devices.items()
        ]

    def _problem(self, one: Incident) -> Problem:
        name = self.name(one.subject)
        check = self._checks.get(one.check)
        about = self._watched.about(one.check, one.subject)
        return Problem(one, name, about, counts=check is None or check.counts)

    def _problems(self, opened: Iterable[Incident]) -> list[Problem]:
        """Sort the worst first; among equals what nobody handles, then what decides the state of its subject, then the oldest."""
        found = [self._problem(one) for one in opened]
        return sorted(
            found,
            key=lambda one: (
                -incident.rank(one.incident.severity),
                one.incident.acked is not None,
                not one.counts,
                one.incident.opened,
            ),
        )

    def _date(self, at: int) -> dt.date:
        return dt.datetime.fromtimestamp(at / 1000, self._zone).date()


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
        late=next((one.detail for one in of_check(tx, SCHEDULE_CHECK) if one.status is Status.DEGRADED), ""),
    )


def _by_subject(states: Iterable[State]) -> dict[str, list[State]]:
    """Sort states by what they are about; a full file system is its host's trouble."""
    found: dict[str, list[State]] = {}
    for state in states:
        whole = "/".join(state.subject.split("/", 2)[:2])
        found.setdefault(whole, []).append(state)
    return found


def _count(conditions: Iterable[SubjectStatus]) -> dict[Status, int]:
    counts = dict.fromkeys(subject_status.ORDER, 0)
    for one in conditions:
        counts[one.status] += 1
    return counts


def _host_order(row: HostRow) -> tuple[int, str, str]:
    return subject_status.ORDER.index(row.now.status), row.agency, row.name
