"""Reading of what alerts are told by settings: the tables ``[[channel]]``, ``[[contact]]`` and ``[[route]]``."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from alerts.channels import CHANNELS, Channel
from alerts.route import Contact, Route
from configs.read import Faults, Source, Table, did_you_mean

Channels = Mapping[str, Callable[[], Channel]]


def read_channels(source: Source, tables: Sequence[Table]) -> Channels:
    """Return what builds each channel, by name; SettingsError names the line of each that cannot be built."""
    channels: dict[str, Callable[[], Channel]] = {}
    faults = Faults()
    for position, table in enumerate(tables):
        with faults.noted():
            at = ("channel", position)
            name, kind = (source.text(table, key, at) for key in ("name", "type"))
            if name in channels:
                raise source.error((*at, "name"), f"channel {name!r} is there twice")
            plugin, options_type = source.plugin("channel", kind, CHANNELS, (*at, "type"))
            rest = {key: value for key, value in table.items() if key not in {"name", "type"}}
            options = source.parse(options_type, rest, at, also=["name", "type"])
            channels[name] = source.tried(at, partial(plugin, name, options))
    faults.tell()
    return channels


def read_contacts(source: Source, tables: Sequence[Table], channels: Collection[str]) -> list[Contact]:
    """Return the contacts; ``channels`` are the names that there are. SettingsError names the line of each that is bad."""
    faults = Faults()
    contacts = source.entries(Contact, tables, ("contact",), faults)
    for at, contact in contacts.values():
        for address in contact.channels:
            if address.channel not in channels:
                names = ", ".join(channels) or "none"
                message = f"contact {contact.id!r} uses unknown channel {address.channel!r}; known: {names}"
                faults.add(source.error((*at, "channels"), message))
    faults.tell()
    return [contact for _, contact in contacts.values()]


def read_routes(
    source: Source,
    tables: Sequence[Table],
    *,
    contacts: Collection[str],
    agencies: Collection[str] | None,
    services: Collection[str] | None,
    checks: Collection[str] | None,
) -> list[Route]:
    """Return the routes; SettingsError for each name of a contact, an agency, a service or a check that there is not.

    ``checks`` are the names that ``Route`` says; None: that is not known.
    """
    allowed = {"contacts": contacts, "agencies": agencies, "services": services, "checks": checks}
    routes: list[Route] = []
    faults = Faults()
    for position, table in enumerate(tables):
        with faults.noted():
            route = source.parse(Route, table, ("route", position))
            routes.append(route)
            for key, names in allowed.items():
                for name in getattr(route, key):
                    if names is not None and name not in names:
                        message = (
                            f"unknown name {name!r} in {key!r} of [[route]] #{position + 1}{did_you_mean(name, names)}"
                        )
                        faults.add(source.error(("route", position, key), message))
    faults.tell()
    return routes
