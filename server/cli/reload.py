"""``pantau reload``: let the running centre read its settings again."""

import argparse
import asyncio
import sys
from typing import Any

from server.cli.options import add_settings
from server.settings import data_folder

_REFUSED = 2


def add(commands: Any) -> None:
    """Add ``reload``."""
    told = "let the running centre read its settings again; when they are wrong, it goes on by those it has"
    command = commands.add_parser(
        "reload",
        help=told,
        epilog="Exit code 0: taken, what changed is printed; 1: no centre runs; 2: refused, and why.",
    )
    add_settings(command)
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from server.admin.control_socket import Ask, ask  # noqa: PLC0415 - it loads the stores, which only some commands need

    data = data_folder(arguments.settings)
    answer = asyncio.run(ask(data, Ask(reload=True)))
    if answer is None:
        print(f"pantau: no centre runs on {data}", file=sys.stderr)
        return 1
    if answer.error:
        told = "the new settings were refused, those from before stay in force:"
        print(f"pantau: {told}", *answer.error.splitlines(), sep="\n  ", file=sys.stderr)
        return _REFUSED
    print(answer.done)
    return 0
