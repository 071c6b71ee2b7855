"""``pantau channel test``: a message that says that it is only a try, over a channel of the settings, before a night depends on it."""

import argparse
import asyncio
import sys
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from alerts.channels import Channel, Message, Refused, Unreachable
from alerts.i18n.catalogue import LanguageCode
from alerts.trial import trial
from configs.read import SettingsError
from server import settings
from server.cli.options import add_settings
from server.settings import Settings

_NOBODY: Final = "no contact is reached by channel {name!r}; say whom to try: --to ADDRESS"


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add ``pantau channel`` to the command line."""
    parser = commands.add_parser("channel", help="the ways that messages go: try one")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    told = "send a message that says it is only a try, to everybody whom the channel reaches, or to one address"
    test = verbs.add_parser("test", help=told, description=f"{told.capitalize()}.")
    test.add_argument("name", metavar="NAME", help="of a [[channel]]")
    test.add_argument("--to", metavar="ADDRESS", help="this address only (an e-mail address, a chat id)")
    add_settings(test)
    test.set_defaults(run=_test)


def _test(arguments: argparse.Namespace) -> int:
    known = settings.read(arguments.settings)
    make = known.channels.get(arguments.name)
    if make is None:
        names = ", ".join(known.channels) or "none"
        raise SettingsError(f"{arguments.settings}: no [[channel]] is called {arguments.name!r}; there are: {names}")
    addresses = [(arguments.to, known.site.language)] if arguments.to else _reached(known, arguments.name)
    if not addresses:
        raise SettingsError(_NOBODY.format(name=arguments.name))
    messages = [
        (address, trial(f"trial-{uuid.uuid4().hex}", arguments.name, known.site.title, language))
        for address, language in addresses
    ]
    return asyncio.run(_send(make, arguments.name, messages))


def _reached(known: Settings, name: str) -> list[tuple[str, LanguageCode]]:
    reached = [(via.to, who.language) for who in known.contacts for via in who.channels if via.channel == name]
    return list(dict.fromkeys(reached))


async def _send(make: Callable[[], Channel], name: str, messages: Sequence[tuple[str, Message]]) -> int:
    channel, failed = make(), 0
    try:
        for address, message in messages:
            try:
                said = await channel.send(address, message)
            except (Unreachable, Refused) as error:
                print(f"pantau: {name}: not sent to {address or 'its address'}: {error}", file=sys.stderr)
                failed += 1
            else:
                print(f"{name}: sent to {address or 'its address'}{f' ({said})' if said else ''}")
    finally:
        await channel.close()
    return 1 if failed else 0
