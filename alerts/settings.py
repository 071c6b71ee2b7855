"""Reading of what alerts are told by settings: the tables ``[[channel]]``, ``[[contact]]`` and ``[[route]]``."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from alerts.channels import CHANNELS, Channel
from alerts.route import Contact, Route
from configs.read import Source, Table

Channels = Mapping[str, Callable[[], Channel]]


def read_channels(source: Source, tables: Sequence[Table]) -> Channels:
    """Return what builds each channel, by name; SettingsError names the line of what cannot be built."""
    channels: dict[str, Callable[[], Channel]] = {}
    for position, table in enumerate(tables):
        at = ("channel", position)
        name, kind = (source.text(table, key, at) for key in ("name", "type"))
        if name in channels:
            raise source.error((*at, "name"), f"channel {name!r} is there twice")
        plugin, options_type = source.plugin("channel", kind, CHANNELS, (*at, "type"))
        rest = {key: value for key, value in table.items() if key not in {"name", "type"}}
        options = source.parse(options_type, rest, at, also=["name", "type"])
        channels[name] = source.tried(at, partial(plugin, name, options))
    return channels


def read_contacts(source: Source, tables: Sequence[Table], channels: Channels) -> list[Contact]:
    """Return the contacts; SettingsError when one uses a channel that there is not."""
    contacts = [source.parse(Contact, table, ("contact", at)) for at, table in enumerate(tables)]
    for position, contact in enumerate(contacts):
        for address in contact.channels:
            if address.channel not in channels:
                names = ", ".join(channels) or "none"
                message = f"contact {contact.id!r} uses unknown channel {address.channel!r}; known: {names}"
                raise source.error(("contact", position, "channels"), message)
    return contacts


def read_routes(
    source: Source,
    tables: Sequence[Table],
    contacts: Sequence[Contact],
    *,
    agencies: Collection[str],
    services: Collection[str],
) -> list[Route]:
    """Return the routes; SettingsError when one names a contact, an agency or a service that there is not."""
    routes = [source.parse(Route, table, ("route", at)) for at, table in enumerate(tables)]
    allowed: dict[str, Collection[str]] = {
        "contacts": {contact.id for contact in contacts},
        "agencies": agencies,
        "services": services,
    }
    for position, route in enumerate(routes):
        for key, names in allowed.items():
            for name in getattr(route, key):
                if name not in names:
                    message = f"unknown name {name!r} in {key!r} of [[route]] #{position + 1}"
                    raise source.error(("route", position, key), message)
    return routes
