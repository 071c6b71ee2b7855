"""What the pages show, as data: rows, details and the whole of one page. Times are ms since epoch."""

import datetime as dt
from collections.abc import Mapping, Sequence

import msgspec

from alerts.incident import Incident, Notification
from alerts.state import Flip, State
from alerts.subject_info import SubjectInfo
from collectors.result import Status
from collectors.snmp import Options as Device
from server.evaluation.days import Day
from server.evaluation.standard import Figures
from server.inventory.register import Agency, Service
from server.ledger.maintenance import Work
from server.readmodel.subject_status import SubjectStatus


class Freshness(msgspec.Struct, frozen=True):
    """How current the pages are: the newest data, the newest evaluation, the messages that wait to be sent.

    ``store`` says what ails the database of points, by its latest look, ``late`` what ails the schedule; "" when nothing does.
    """

    data: int | None
    evaluation: int | None
    waiting: int
    oldest_waiting: int | None
    store: str = ""
    late: str = ""


class Name(msgspec.Struct, frozen=True):
    """A subject for people: ``kind`` is service, host, device or pantau; ``part`` is e.g. ``path=/var``."""

    subject: str
    kind: str
    id: str
    part: str
    title: str
    agency: str


class Problem(msgspec.Struct, frozen=True):
    """An incident, whom it is about, and what settings say of such a fault; ``counts`` is whether its check speaks for availability."""

    incident: Incident
    name: Name
    about: SubjectInfo
    counts: bool = True


class Planned(msgspec.Struct, frozen=True):
    """Planned work on one service, coming or ``running``."""

    name: Name
    work: Work
    running: bool


class ServiceRow(msgspec.Struct, frozen=True):
    """A service, its condition, its last days, oldest first, and whether planned work is running on it."""

    service: Service
    now: SubjectStatus
    days: Sequence[Day]
    working: bool


class Group(msgspec.Struct, frozen=True):
    """An agency and its services."""

    agency: Agency
    services: Sequence[ServiceRow]


class HostRow(msgspec.Struct, frozen=True):
    """A host: registered, seen, or both."""

    name: str
    title: str
    agency: str
    now: SubjectStatus
    seen: int | None
    point: int | None
    address: str
    client: str


class DeviceRow(msgspec.Struct, frozen=True):
    """A network device."""

    device: Device
    agency: str
    now: SubjectStatus


class Front(msgspec.Struct, frozen=True):
    """The overview."""

    problems: Sequence[Problem]
    works: Sequence[Planned]
    groups: Sequence[Group]
    services: Mapping[Status, int]
    hosts: Mapping[Status, int]
    devices: Mapping[Status, int]


class Detail(msgspec.Struct, frozen=True):
    """One subject in depth: its checks' states, its days, this month's figures, its incidents, and the work planned on it.

    ``since`` is when it was first looked at, ms.
    """

    now: SubjectStatus
    states: Sequence[tuple[State, SubjectStatus]]
    days: Sequence[Day]
    month: dt.date
    figures: Figures
    problems: Sequence[Problem]
    works: Sequence[Planned]
    since: int | None


class Story(msgspec.Struct, frozen=True):
    """One incident with its flips and messages."""

    problem: Problem
    flips: Sequence[Flip]
    messages: Sequence[Notification]


class PublicNotice(msgspec.Struct, frozen=True):
    """What citizens are told of a fault: which service, how it is, since when."""

    title: str
    agency: str
    status: Status
    since: int


class PublicStatus(msgspec.Struct, frozen=True):
    """The public page: no host, no address, no cause."""

    notices: Sequence[PublicNotice]
    works: Sequence[Planned]
    groups: Sequence[Group]
    at: int
