"""``pantau token``: a new token for a program that writes points; the settings keep its hash only."""

import argparse
from typing import Any

import msgspec

from server.ingest import tokens
from server.state.token_hash import token_hash


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add ``pantau token`` to the command line."""
    told = "make a token for a program that writes points (Telegraf, Glances); it is shown this once"
    parser = commands.add_parser("token", help=told, description=f"{told[0].upper()}{told[1:]}.")
    parser.add_argument("name", metavar="NAME", help="who writes with it; logs show it")
    parser.add_argument("--bucket", default="", metavar="NAME", help="the only bucket it may write to (default: any)")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    token = tokens.new()
    name, bucket = (msgspec.json.encode(text).decode() for text in (arguments.name, arguments.bucket))
    only = f", bucket = {bucket}" if arguments.bucket else ""
    print(f"token:  {token}")
    print(f'line of `tokens` in [ingest]:  {{ name = {name}, sha256 = "{token_hash(token)}"{only} }},')
    return 0
