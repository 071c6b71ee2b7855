"""Settings of the centre: ``server.toml`` and the register beside it. Each room reads its own tables; here they are put together."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from alerts.channels import Channel
from alerts.follow import Terms
from alerts.i18n.catalogue import LanguageCode
from alerts.message import Look
from alerts.route import Contact, Route, connect
from alerts.rules.planned import declared_names, read_rules
from alerts.settings import read_channels, read_contacts, read_routes
from collectors import snmp
from collectors.result import MEASUREMENT
from collectors.snmp import Options as Device
from configs.place import elsewhere
from configs.read import Faults, SettingsError, Source, Table
from configs.secret import Secret
from configs.units import Duration
from server.edge.connections import Options as ConnectionOptions
from server.ingest.centre_series import CentreSeries
from server.ingest.options import Options as IngestOptions
from server.ingest.options import check_tokens
from server.inventory import register
from server.state.place import STATE, Place
from server.store.buckets import STORE, Buckets
from server.store.plans import Plan, build, read_plans
from server.watching import lease, punctuality
from server.watching.expected_backups import ExpectedBackups
from server.watching.expected_backups import Options as BackupOptions
from server.watching.options import Options as ScheduleOptions
from server.watching.planned_checks import check_ids, read_checks
from server.watching.watched import OWN_CHECKS, Watched, device_check
from server.web.site import Site


class General(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[server]``.

    ``listen`` is ADDRESS:PORT; ``data`` the folder of state, store and spools; ``state`` the URL of a database when state lives
    elsewhere (``postgresql://USER@HOST/DATABASE``), ``state_password`` where its password is kept, read anew for each connection;
    ``public_url`` the address that people use (links in messages; https makes cookies Secure);
    ``trusted_proxies`` the addresses of reverse proxies whose ``X-Forwarded-For`` is believed.
    """

    listen: str = "127.0.0.1:8420"
    data: str = "/var/lib/pantau"
    state: str = ""
    state_password: Secret | None = None
    register: str = "services.toml"
    title: str = "Pantau"
    public_url: str = ""
    trusted_proxies: tuple[str, ...] = ()
    language: LanguageCode = "id"
    zone: str = "Asia/Jakarta"
    retention: Duration = Duration(400 * 86400)
    connections: ConnectionOptions = ConnectionOptions()


class Snmp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tables ``[[snmp.device]]``."""

    device: tuple[Table, ...] = ()


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file ``server.toml``, first phase: tables of plug-ins stay raw."""

    server: General = General()
    store: Table = {}
    bucket: tuple[Table, ...] = ()
    ingest: Table = {}
    schedule: ScheduleOptions = ScheduleOptions()
    backup: BackupOptions = BackupOptions()
    check: tuple[Table, ...] = ()
    rule: tuple[Table, ...] = ()
    channel: tuple[Table, ...] = ()
    contact: tuple[Table, ...] = ()
    route: tuple[Table, ...] = ()
    snmp: Snmp = Snmp()


class Settings(msgspec.Struct, frozen=True):
    """Everything that ``server.toml`` and its register say, checked.

    ``secrets`` come with the words for where each is named; ``reread()`` reads the same files again, as ``read`` does.
    """

    listen: tuple[str, int]
    data: Path
    state: Place
    connections: ConnectionOptions
    site: Site
    watched: Watched
    contacts: Sequence[Contact]
    routes: Sequence[Route]
    ingest: IngestOptions
    schedule: ScheduleOptions
    plans: Sequence[Plan]
    channels: Mapping[str, Callable[[], Channel]]
    secrets: Sequence[tuple[str, Secret]]
    reread: Callable[[], "Settings"]

    @property
    def state_url(self) -> str:
        """The URL of state, which has no password that is a secret."""
        return self.state.url

    def buckets(self) -> Buckets:
        """Return all buckets with their stores, closed as yet."""
        return build(self.plans)

    def terms(self) -> Terms:
        """Return what results are judged by."""
        routes = connect(self.contacts, self.routes, self.channels)
        return Terms(self.watched.policy, self.watched.about, routes)

    def look(self) -> Look:
        """Return how messages look."""
        return Look(zone=self.site.zone, public_url=self.site.public_url)

    def place(self) -> dict[str, str]:
        """Return where hosts that join are to write to."""
        return {"org": self.ingest.org, "bucket": self.ingest.bucket}

    def centre_series(self) -> CentreSeries:
        """Return the series that nobody but the centre writes."""
        return CentreSeries(
            measurements=frozenset({MEASUREMENT, punctuality.MEASUREMENT, lease.MEASUREMENT}),
            polled=snmp.MEASUREMENTS,
            devices=self.watched.devices.keys(),
        )


def read(file: Path | str, *, own_interval: float = 15.0) -> Settings:
    """Return what ``server.toml`` and its register say; nothing is opened. ``own_interval`` is that of ``Watched``, seconds.

    SettingsError says of everything that is wrong, a line for each, file, line and what was expected.
    """
    source = Source.read(file, missing=elsewhere(file))
    faults = Faults()
    outer = source.parse(Outer, faults=faults)
    general = outer.server
    data = source.file.parent / general.data
    with faults.noted():
        _check_zone(source, general.zone)
    with faults.noted():
        listen = _address(source, general.listen)
    with faults.noted():
        state = _state(source, general, data)
    known, services, agencies = _registered(source, general.register, faults)
    with faults.noted():
        channels = read_channels(source, outer.channel)
    with faults.noted():
        contacts = read_contacts(source, outer.contact, source.declared("channel", key="name"))
    ingest = source.parse(IngestOptions, outer.ingest, ("ingest",), faults=faults)
    with faults.noted():
        plans = read_plans(
            source, outer.store, outer.bucket, main=ingest.bucket, retention=general.retention, folder=data / STORE
        )
    with faults.noted():
        check_tokens(source, ingest, [ingest.bucket, *source.declared("bucket", key="name")])
    with faults.noted():
        checks = read_checks(source, outer.check, known, services)
    with faults.noted():
        devices = source.by_id(Device, outer.snmp.device, ("snmp", "device"))
    with faults.noted():
        rules = read_rules(source, outer.rule)
    with faults.noted():
        routes = read_routes(
            source,
            outer.route,
            contacts=source.declared("contact"),
            agencies=agencies,
            services=services,
            checks=_check_names(source, check_ids(source, known, services)),
        )
    faults.tell()
    return Settings(
        listen=listen,
        data=data,
        state=state,
        connections=general.connections,
        site=Site(
            zone=general.zone,
            language=general.language,
            title=general.title,
            public_url=general.public_url.rstrip("/"),
            trusted_proxies=general.trusted_proxies,
        ),
        watched=Watched(
            register=known,
            checks=checks,
            devices=devices,
            rules=rules,
            own_interval=own_interval,
            backups=ExpectedBackups(data, outer.backup.expect) if outer.backup.expect else None,
        ),
        contacts=contacts,
        routes=routes,
        ingest=ingest,
        schedule=outer.schedule,
        plans=plans,
        channels=channels,
        secrets=source.named_secrets(),
        reread=partial(read, file, own_interval=own_interval),
    )


def register_file(file: Path | str) -> Path:
    """Return where the register of ``server.toml`` stands; SettingsError when the settings cannot be read."""
    source = Source.read(file)
    return source.file.parent / source.parse(Outer).server.register


def data_folder(file: Path | str) -> Path:
    """Return the folder ``data`` that a ``server.toml`` names, whatever else is wrong in it; SettingsError when it is no TOML."""
    source = Source.read(file)
    table = source.tree.get("server")
    data = table.get("data") if isinstance(table, dict) else None
    return source.file.parent / (data if isinstance(data, str) else General().data)


def _registered(
    source: Source, name: str, faults: Faults
) -> tuple[register.Register, Collection[str] | None, Collection[str] | None]:
    """Return what of the register can be read, and which services and agencies it names; None when that cannot be told."""
    table = source.tree.get("server")
    if isinstance(table, dict) and not isinstance(table.get("register", ""), str):  # told already
        return register.Register({}, {}, {}, {}), None, None
    try:
        beside = Source.read(source.file.parent / name)
    except SettingsError as error:
        faults.add(error)
        return register.Register({}, {}, {}, {}), None, None
    return register.read_good(beside, faults), beside.declared("service"), beside.declared("agency")


def _check_names(source: Source, checks: Collection[str] | None) -> Collection[str] | None:
    """Return by which names routes may know what is watched, of which ``checks`` are the checks of services; None: that is not known."""
    if checks is None:
        return None
    devices = source.declared("snmp", "device")
    return [*checks, *declared_names(source), *map(device_check, devices), *OWN_CHECKS]


def _address(source: Source, listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise source.error(("server", "listen"), f"'listen' in [server]: expected ADDRESS:PORT, got {listen!r}")
    return host.strip("[]"), int(port)


def _state(source: Source, general: General, data: Path) -> Place:
    try:
        return Place.parse(general.state or f"sqlite:///{data / STATE}", general.state_password)
    except ValueError as error:
        raise source.error(("server", "state"), f"'state' in [server]: {error}") from error


def _check_zone(source: Source, zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = f"'zone' in [server]: unknown time zone {zone!r}; expected one such as 'Asia/Jakarta'"
        raise source.error(("server", "zone"), message) from error
