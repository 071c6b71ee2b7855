"""``pantau server``: run the centre."""

import argparse
import asyncio
import logging
from typing import Any

from server.cli import owner
from server.cli.options import add_settings


def add(commands: Any) -> None:
    """Add ``server``."""
    command = commands.add_parser("server", help="run the centre: ingest, checks, alerts, web")
    add_settings(command)
    command.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    # they load every library of the centre; the other commands do without
    from server.app import serve  # noqa: PLC0415
    from server.web.security import fault_of_ours  # noqa: PLC0415

    logging.basicConfig(level=arguments.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiohttp.server").addFilter(fault_of_ours)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return asyncio.run(serve(owner.read(arguments.settings)))
