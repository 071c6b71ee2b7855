"""Settings of the centre: ``server.toml``, the register beside it, and what their tables of plug-ins build."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from alerts.channels import CHANNELS, Channel
from alerts.route import Contact, Route
from alerts.rules import Rule
from alerts.state import Policy
from collectors.checks import CHECKS, Check, Target
from collectors.snmp import Options as Device
from configs.plugin import find
from configs.read import Place, Source, Table
from configs.units import Duration
from server.ingest.options import Options as IngestOptions
from server.inventory import register
from server.inventory.register import Register
from server.store import FUTURE_TOLERANCE, STORES, Store
from server.store.buckets import STORE, Bucket, Buckets, place
from server.store.buckets import Options as BucketOptions
from server.watching.options import Options as ScheduleOptions

_DEFAULT_CHECK: Final = "http"
_FORGETS: Final = "'retention' of 0 would forget everything"


class General(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[server]``.

    ``listen`` is ADDRESS:PORT; ``data`` the folder of state, store and spools; ``state`` an SQLAlchemy URL when state lives
    elsewhere (PostgreSQL); ``public_url`` the address that people use (links in messages; https makes cookies Secure);
    ``trusted_proxies`` the addresses of reverse proxies whose ``X-Forwarded-For`` is believed.
    """

    listen: str = "127.0.0.1:8420"
    data: str = "/var/lib/pantau"
    state: str = ""
    register: str = "services.toml"
    title: str = "Pantau"
    public_url: str = ""
    trusted_proxies: tuple[str, ...] = ()
    language: Literal["id", "en"] = "id"
    zone: str = "Asia/Jakarta"
    retention: Duration = Duration(400 * 86400)


class Snmp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tables ``[[snmp.device]]``."""

    device: tuple[Table, ...] = ()


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file ``server.toml``, first phase: tables of plug-ins stay raw."""

    server: General = General()
    store: Table = {}
    bucket: tuple[BucketOptions, ...] = ()
    ingest: Table = {}
    schedule: ScheduleOptions = ScheduleOptions()
    check: tuple[Table, ...] = ()
    rule: tuple[Table, ...] = ()
    channel: tuple[Table, ...] = ()
    contact: tuple[Table, ...] = ()
    route: tuple[Table, ...] = ()
    snmp: Snmp = Snmp()


class CheckTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every ``[[check]]`` has besides the options of its type.

    ``confirm`` looks, ``recheck`` apart, must fail before a change is believed, ``recover`` good ones before it ends;
    ``counts`` tells whether the check speaks for the availability of its service.
    """

    id: register.Id
    service: str
    type: str = _DEFAULT_CHECK
    interval: Duration = Duration(60)
    timeout: Duration = Duration(10)
    confirm: int = 2
    recheck: Duration = Duration(10)
    recover: int = 1
    counts: bool = True


class PlannedCheck(msgspec.Struct, frozen=True):
    """One check as settings describe it; ``build()`` makes the probe."""

    id: str
    type: str
    subject: str
    interval: float
    timeout: float
    recheck: float
    policy: Policy
    host: str
    build: Callable[[], Check]

    @property
    def counts(self) -> bool:
        """Whether it speaks for the availability of its service."""
        return self.policy.counts


class Settings(msgspec.Struct, frozen=True):
    """Everything that ``server.toml`` and its register say, checked."""

    listen: tuple[str, int]
    data: Path
    state_url: str
    title: str
    public_url: str
    trusted_proxies: Sequence[str]
    language: str
    zone: str
    retention: Duration
    register: Register
    checks: Mapping[str, PlannedCheck]
    rules: Mapping[str, Rule]
    devices: Mapping[str, Device]
    contacts: Sequence[Contact]
    routes: Sequence[Route]
    ingest: IngestOptions
    schedule: ScheduleOptions
    store: Callable[[], Store]
    buckets: Callable[[], Buckets]
    channels: Mapping[str, Callable[[], Channel]]


def read(file: Path | str) -> Settings:
    """Read ``server.toml`` and its register; SettingsError says file, line and what was expected. Nothing is opened."""
    source = Source.read(file)
    outer = source.parse(Outer)
    general = outer.server
    _check_zone(source, general.zone)
    folder = source.file.parent
    known = register.read(Source.read(folder / general.register))
    data = folder / general.data
    channels = _channels(source, outer.channel)
    contacts = [source.parse(Contact, table, ("contact", at)) for at, table in enumerate(outer.contact)]
    _check_contacts(source, contacts, channels)
    store, _ = _store(source, outer.store, data / STORE)
    ingest = source.parse(IngestOptions, outer.ingest, ("ingest",))
    return Settings(
        listen=_address(source, general.listen),
        data=data,
        state_url=general.state or f"sqlite:///{data / 'state.db'}",
        title=general.title,
        public_url=general.public_url.rstrip("/"),
        trusted_proxies=general.trusted_proxies,
        language=general.language,
        zone=general.zone,
        retention=general.retention,
        register=known,
        checks=_checks(source, outer.check, known),
        rules=_by_id(source, "rule", [source.parse(Rule, table, ("rule", at)) for at, table in enumerate(outer.rule)]),
        devices=_by_id(
            source,
            "device",
            [source.parse(Device, table, ("snmp", "device", at)) for at, table in enumerate(outer.snmp.device)],
        ),
        contacts=contacts,
        routes=_routes(source, outer.route, contacts, known),
        ingest=ingest,
        schedule=outer.schedule,
        store=store,
        buckets=_buckets(source, outer, ingest, data / STORE),
        channels=channels,
    )


def _address(source: Source, listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise source.error(("server", "listen"), f"'listen' in [server]: expected ADDRESS:PORT, got {listen!r}")
    return host.strip("[]"), int(port)


def _check_zone(source: Source, zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = f"'zone' in [server]: unknown time zone {zone!r}; expected one such as 'Asia/Jakarta'"
        raise source.error(("server", "zone"), message) from error


def _store(
    source: Source, table: Table, folder: Path, at: Place = ("store",), bucket: str = ""
) -> tuple[Callable[[], Store], msgspec.Struct]:
    name = table.get("type", "embedded")
    plugin, options_type = _find(source, "store", name, STORES, (*at, "type"))
    rest = {key: value for key, value in table.items() if key != "type"}
    if bucket and "bucket" in options_type.__struct_fields__:
        rest["bucket"] = bucket
    options = source.parse(options_type, rest, at, also=["type"])
    return partial(plugin, options, folder), options


def _buckets(source: Source, outer: Outer, ingest: IngestOptions, folder: Path) -> Callable[[], Buckets]:
    planned = {ingest.bucket: (*_store(source, outer.store, folder), outer.server.retention)}
    if not outer.server.retention:
        raise source.error(("server", "retention"), _FORGETS)
    for position, one in enumerate(outer.bucket):
        at: Place = ("bucket", position)
        if one.retention is not None and not one.retention:
            raise source.error((*at, "retention"), _FORGETS)
        if one.name in planned:
            raise source.error((*at, "name"), f"bucket {one.name!r} is there twice")
        if "type" in one.store:
            why = f"'type' in 'store' of bucket {one.name!r}: all buckets are in one kind of store"
            raise source.error((*at, "store", "type"), why)
        own = _store(source, {**outer.store, **one.store}, place(folder, one.name), (*at, "store"), one.name)
        planned[one.name] = (*own, one.retention or outer.server.retention)
    for position, token in enumerate(ingest.tokens):
        if token.bucket and token.bucket not in planned:
            why = f"unknown bucket {token.bucket!r} of token {token.name!r}; known: {', '.join(planned)}"
            raise source.error(("ingest", "tokens", position, "bucket"), why)
    return lambda: Buckets(
        Bucket(
            name,
            build(),
            keep,
            getattr(options, "series", 0),
            getattr(options, "future_tolerance", FUTURE_TOLERANCE),
        )
        for name, (build, options, keep) in planned.items()
    )


def _channels(source: Source, tables: Sequence[Table]) -> dict[str, Callable[[], Channel]]:
    channels: dict[str, Callable[[], Channel]] = {}
    for position, table in enumerate(tables):
        at = ("channel", position)
        name, kind = (_text(source, table, key, at) for key in ("name", "type"))
        if name in channels:
            raise source.error((*at, "name"), f"channel {name!r} is there twice")
        plugin, options_type = _find(source, "channel", kind, CHANNELS, (*at, "type"))
        rest = {key: value for key, value in table.items() if key not in {"name", "type"}}
        options = source.parse(options_type, rest, at, also=["name", "type"])
        channels[name] = _maker(source, at, partial(plugin, name, options))
    return channels


def _checks(source: Source, tables: Sequence[Table], known: Register) -> dict[str, PlannedCheck]:
    planned: dict[str, PlannedCheck] = {}
    for position, table in enumerate(tables):
        at = ("check", position)
        own = CheckTable.__struct_fields__
        common = source.parse(CheckTable, {key: value for key, value in table.items() if key in own}, at)
        if common.id in planned:
            raise source.error((*at, "id"), f"check id {common.id!r} is used twice")
        if common.service not in known.services:
            names = ", ".join(known.services) or "none"
            raise source.error((*at, "service"), f"unknown service {common.service!r}; known: {names}")
        rest = {key: value for key, value in table.items() if key not in own}
        planned[common.id] = _plan(source, at, common, rest, known)
    watched = {check.subject for check in planned.values()}
    for service in known.services.values():
        # a registered address is watched without further ado, unless somebody wrote how
        if service.url and service.subject not in watched and not service.retired:
            common = CheckTable(id=f"{service.id}-{_DEFAULT_CHECK}", service=service.id)
            planned[common.id] = _plan(source, ("check",), common, {}, known)
    return planned


def _plan(
    source: Source, at: tuple[str | int, ...], common: CheckTable, options_table: Table, known: Register
) -> PlannedCheck:
    service = known.services[common.service]
    plugin, options_type = _find(source, "check", common.type, CHECKS, (*at, "type"))
    address = urlsplit(service.url)
    defaults: dict[str, Any] = {"url": service.url, "host": address.hostname or ""}
    fields = options_type.__struct_fields__
    table = {key: value for key, value in defaults.items() if value and key in fields} | options_table
    options = source.parse(options_type, table, at, also=CheckTable.__struct_fields__)
    target = Target(check=common.id, subject=service.subject, timeout=common.timeout)
    if common.timeout > common.interval:
        raise source.error((*at, "timeout"), f"'timeout' of check {common.id!r} is longer than its interval")
    for key in ("confirm", "recover"):
        if getattr(common, key) < 1:
            raise source.error((*at, key), f"{key!r} of check {common.id!r}: expected 1 or more")
    return PlannedCheck(
        id=common.id,
        type=common.type,
        subject=service.subject,
        interval=common.interval,
        timeout=common.timeout,
        recheck=common.recheck,
        policy=Policy(interval=common.interval, confirm=common.confirm, recover=common.recover, counts=common.counts),
        host=getattr(options, "host", "") or urlsplit(getattr(options, "url", "")).hostname or "",
        build=_maker(source, at, partial(plugin, target, options)),
    )


def _maker(source: Source, at: tuple[str | int, ...], build: Callable[[], Any]) -> Callable[[], Any]:
    """Try once whether the options can be built from, so that a bad pattern or address is told with its line."""
    try:
        build()
    except ValueError as error:
        raise source.error(at, f"[[{at[0]}]] #{int(at[1]) + 1 if len(at) > 1 else 1}: {error}") from error
    return build


def _routes(source: Source, tables: Sequence[Table], contacts: Sequence[Contact], known: Register) -> list[Route]:
    routes = [source.parse(Route, table, ("route", at)) for at, table in enumerate(tables)]
    names: dict[str, set[str]] = {
        "contacts": {contact.id for contact in contacts},
        "agencies": set(known.agencies),
        "services": set(known.services),
    }
    for position, route in enumerate(routes):
        for key, allowed in names.items():
            for name in getattr(route, key):
                if name not in allowed:
                    message = f"unknown name {name!r} in {key!r} of [[route]] #{position + 1}"
                    raise source.error(("route", position, key), message)
    return routes


def _check_contacts(source: Source, contacts: Sequence[Contact], channels: Mapping[str, object]) -> None:
    for position, contact in enumerate(contacts):
        for address in contact.channels:
            if address.channel not in channels:
                known = ", ".join(channels) or "none"
                message = f"contact {contact.id!r} uses unknown channel {address.channel!r}; known: {known}"
                raise source.error(("contact", position, "channels"), message)


def _by_id(source: Source, kind: str, entries: Sequence[Any]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for position, entry in enumerate(entries):
        if entry.id in known:
            raise source.error((kind, position, "id"), f"{kind} id {entry.id!r} is used twice")
        known[entry.id] = entry
    return known


def _find(
    source: Source, kind: str, name: object, known: Mapping[str, str], at: tuple[str | int, ...]
) -> tuple[Any, Any]:
    try:
        return find(kind, str(name), known)
    except ValueError as error:
        raise source.error(at, str(error)) from error


def _text(source: Source, table: Table, key: str, at: tuple[str | int, ...]) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise source.error((*at, key), f"[[{at[0]}]] #{int(at[1]) + 1} needs {key!r}, a string")
    return value
