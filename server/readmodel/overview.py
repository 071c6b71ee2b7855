"""The read model of the pages: what the overview, the lists, the pages of one subject and the public status show.

States are those in memory; incidents, planned work, hosts and days are asked of the database. Times are ms since epoch.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from alerts import incident, tables
from alerts.incident import Incident, Notification
from alerts.state import Flip
from alerts.states import States
from alerts.tables import Database
from collectors.result import Status
from server.calendar.service_hours import midnight
from server.edge.in_slices import in_slices
from server.evaluation import standard
from server.evaluation.days import Day
from server.inventory.known_hosts import KnownHost, known_hosts
from server.inventory.register import Service
from server.ledger import histories, maintenance
from server.readmodel import subject_status
from server.readmodel.last_known import LastKnown
from server.readmodel.recent_days import Kept, RecentDays
from server.readmodel.speaker import speaker
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
from server.readmodel.subject_status import Now, SubjectStatus
from server.state import tables as own
from server.watching.watched import SCHEDULE_CHECK, STORE_CHECK, Watched

_PUBLIC_FOR: Final = 5_000
_HOSTS_FOR: Final = 1_000
_FRESHNESS_FOR: Final = 1_000
_ALIVE_FOR: Final = 300_000
_AHEAD: Final = 14 * 86_400_000  # planned work is announced this long before it starts

Hosts = Mapping[str, KnownHost]


class _Waiting(NamedTuple):
    """What the database knows of how current everything is: the newest point, how many messages wait, and since when, in ms."""

    data: int | None
    owed: int
    oldest: int | None


class Overview:
    """Answers the pages from the states in memory and the database; ``steady`` is ms that only grow.

    While the database is away states are current all the same. Overview, lists, public status and freshness show of the rest what was
    read last; details, incidents and stories raise StateAway.
    """

    def __init__(
        self,
        database: Database,
        states: States,
        watched: Watched,
        *,
        zone: str,
        clock: Callable[[], int],
        steady: Callable[[], int],
    ) -> None:
        self._database = database
        self._states = states
        self._watched = watched
        self._register = watched.register
        self._devices = watched.devices
        self._checks = watched.checks
        self._zone = ZoneInfo(zone)
        self._zone_name = zone
        self._clock = clock
        self._steady = steady
        self._quarter = RecentDays(database, watched.register, zone, clock, steady)
        self._public = Kept[PublicStatus](_PUBLIC_FOR)
        self._host_rows = Kept[list[HostRow]](_HOSTS_FOR)
        self._freshness = Kept[Freshness](_FRESHNESS_FOR)
        self._last_days = LastKnown[Mapping[str, Sequence[Day]]]()
        self._last_front = LastKnown[tuple[list[Incident], list[Planned]]]()
        self._last_hosts = LastKnown[Hosts]()
        self._last_works = LastKnown[list[Planned]]()
        self._last_freshness = LastKnown[_Waiting]()

    def following(self, watched: Watched, zone: str) -> "Overview":
        """Return the overview by other settings; what was counted is kept where it would be counted alike."""
        after = Overview(self._database, self._states, watched, zone=zone, clock=self._clock, steady=self._steady)
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
        """Return how current everything is; kept for a second, since every page shows it."""
        return await self._freshness.get("", self._steady(), self._read_freshness)

    async def _read_freshness(self) -> Freshness:
        waiting = await self._last_freshness.get(lambda: self._database.read(_waiting))
        store = self._states.of_check(STORE_CHECK)
        schedule = self._states.of_check(SCHEDULE_CHECK)
        return Freshness(
            data=waiting.data,
            evaluation=self._states.newest(),
            waiting=waiting.owed,
            oldest_waiting=waiting.oldest,
            store=next((one.last_detail for one in store if one.last_status is not Status.UP), ""),
            late=next((one.detail for one in schedule if one.status is Status.DEGRADED), ""),
        )

    async def front(self) -> Front:
        """Return the overview."""
        now = self._clock()
        opened, works = await self._last_front.get(
            lambda: self._database.read(lambda tx: (incident.open_incidents(tx), self._works(tx, now)))
        )
        groups = await self._groups(works, now)
        return Front(
            problems=self._problems(opened),
            works=works,
            groups=groups,
            services=_count(row.now for group in groups for row in group.services),
            hosts=_count(row.now for row in await self._hosts()),
            devices=_count(row.now for row in self._device_rows(now)),
        )

    async def service(self, identity: str) -> tuple[Service, Detail] | None:
        """Return a registered service and all about it."""
        service = self._register.services.get(identity)
        return (service, await self._detail(service.subject)) if service else None

    async def hosts(self) -> list[HostRow]:
        """Return every host that is registered or was seen, problems first."""
        return sorted(await self._hosts(), key=_host_order)

    async def host(self, name: str) -> tuple[HostRow, Detail] | None:
        """Return a host and all about it."""
        seen = await self._seen()
        if name not in seen and name not in self._register.hosts:
            return None
        return self._host_row(name, seen.get(name), self._clock()), await self._detail(f"host/{name}")

    async def devices(self) -> list[DeviceRow]:
        """Return every device, problems first."""
        rows = self._device_rows(self._clock())
        return sorted(rows, key=lambda row: (subject_status.ORDER.index(row.now.status), row.agency, row.device.name))

    async def device(self, identity: str) -> tuple[DeviceRow, Detail] | None:
        """Return a device and all about it."""
        found = next((row for row in self._device_rows(self._clock()) if row.device.id == identity), None)
        return (found, await self._detail(f"device/{identity}")) if found else None

    async def incidents(self, *, limit: int, before: int | None) -> tuple[list[Problem], list[Problem]]:
        """Return the open incidents, worst first, and a page of all, newest first."""
        opened, recent = await self._database.read(
            lambda tx: (incident.open_incidents(tx), incident.recent(tx, limit=limit, before_id=before))
        )
        return self._problems(opened), [self._problem(one) for one in recent]

    async def story(self, identity: int) -> Story | None:
        """Return one incident with everything that happened to it."""

        def read(tx: Connection) -> tuple[Incident | None, list[Flip], list[Notification]]:
            return incident.get(tx, identity), incident.flips(tx, identity), incident.messages(tx, identity)

        one, flips, messages = await self._database.read(read)
        return None if one is None else Story(self._problem(one), flips, messages)

    async def public(self) -> PublicStatus:
        """Return what anybody may see; kept for some seconds, since anybody may ask."""
        return await self._public.get("", self._steady(), self._read_public)

    async def _read_public(self) -> PublicStatus:
        now = self._clock()
        works = await self._last_works.get(lambda: self._database.read(lambda tx: self._works(tx, now)))
        groups = await self._groups(works, now, public=True)
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

    async def _groups(self, works: Iterable[Planned], now: int, *, public: bool = False) -> list[Group]:
        working = {one.name.subject for one in works if one.running}
        alive = [one for one in self._living(now) if one.public or not public]
        subjects = [one.subject for one in self._living(now)]
        days = await self._last_days.get(lambda: self._quarter.all(subjects))
        rows = [
            ServiceRow(
                service=one,
                now=self._now(one.subject, now),
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
        recent = await self._database.read(lambda tx: incident.recent(tx, limit=10, subject=subject))
        problems = [self._problem(one) for one in recent]
        states, moment = self._states.of_subject(subject), Now(now, self._steady())

        def read(tx: Connection) -> Detail:
            line = histories.timeline(
                tx, subject, start=start, end=now, now=now, register=self._register, zone=self._zone_name
            )
            return Detail(
                now=subject_status.of_subject(states, self._checks, moment),
                states=[
                    (state, subject_status.of_check(state, self._checks.get(state.check), moment)) for state in states
                ],
                days=days,
                month=month,
                figures=standard.figures(line),
                problems=problems,
                works=self._works(tx, now, subject),
                since=histories.known_since(tx, subject),
            )

        return await self._database.read(read)

    def _now(self, subject: str, now: int) -> SubjectStatus:
        """Return how a subject is now; a full file system is its host's trouble."""
        return subject_status.of_subject(self._states.of_subject(subject), self._checks, Now(now, self._steady()))

    async def _hosts(self) -> list[HostRow]:
        """Return a row of every host; kept for a second, since there may be thousands, and many who look."""
        return await self._host_rows.get("", self._steady(), self._read_hosts)

    async def _read_hosts(self) -> list[HostRow]:
        seen, now = await self._seen(), self._clock()
        names = {**self._register.hosts, **seen}
        return await in_slices(self._host_row(name, seen.get(name), now) for name in names)

    async def _seen(self) -> Hosts:
        return await self._last_hosts.get(lambda: self._database.read(known_hosts))

    def _host_row(self, name: str, seen: KnownHost | None, now: int) -> HostRow:
        named = self.name(f"host/{name}")
        current = self._now(f"host/{name}", now)
        if not current.check and seen and seen.seen is not None and now - seen.seen <= _ALIVE_FOR:
            current = SubjectStatus(status=Status.UP, at=seen.seen)  # no rule speaks for it, but its data come
        return HostRow(
            name=name,
            title=named.title,
            agency=named.agency,
            now=current,
            seen=seen.seen if seen else None,
            point=seen.point if seen else None,
            address=seen.address if seen else "",
            client=seen.client if seen else "",
        )

    def _device_rows(self, now: int) -> list[DeviceRow]:
        return [
            DeviceRow(
                device=device,
                agency=self.name(f"device/{key}").agency,
                now=self._now(f"device/{key}", now),
            )
            for key, device in self._devices.items()
        ]

    def _problem(self, one: Incident) -> Problem:
        name = self.name(one.subject)
        check = self._checks.get(one.check)
        about = self._watched.about(speaker(one, self._states, self._watched), one.subject)
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


def _waiting(tx: Connection) -> _Waiting:
    box = tables.outbox.c
    owed = box.status.in_(("queued", "leased"))
    owed_now, oldest = tx.execute(select(func.count(), func.min(box.created_ms)).where(owed)).one()
    return _Waiting(data=tx.scalar(select(func.max(own.host.c.point_ms))), owed=owed_now, oldest=oldest)


def _count(conditions: Iterable[SubjectStatus]) -> dict[Status, int]:
    counts = dict.fromkeys(subject_status.ORDER, 0)
    for one in conditions:
        counts[one.status] += 1
    return counts


def _host_order(row: HostRow) -> tuple[int, str, str]:
    return subject_status.ORDER.index(row.now.status), row.agency, row.name
