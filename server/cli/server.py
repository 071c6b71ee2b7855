"""``pantau server``: run the centre."""

import argparse
import asyncio
import faulthandler
import logging
import os
import signal
import sys
from typing import Any

from configs.daemon import Systemd, log_to
from server.cli import owner
from server.cli.options import add_settings


def add(commands: Any) -> None:
    """Add ``server``."""
    command = commands.add_parser("server", help="run the centre: ingest, checks, alerts, web")
    add_settings(command)
    command.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    hangups: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _: hangups.append(number))  # else one during the start would end it
    settings = owner.read(arguments.settings)
    faulthandler.enable()  # a centre that hangs is ended by systemd with SIGABRT: the log then says where it hung
    # they load every library of the centre; the other commands do without
    from server.app import serve  # noqa: PLC0415
    from server.web.security import fault_of_ours  # noqa: PLC0415

    logging.basicConfig(level=arguments.log_level, handlers=[log_to(sys.stderr, os.environ, "%(name)s: %(message)s")])
    logging.getLogger("aiohttp.server").addFilter(fault_of_ours)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    code = asyncio.run(serve(settings, Systemd(os.environ), hangups))
    logging.shutdown()
    sys.stderr.flush()
    os._exit(
        code
    )  # all is closed and on disk; to take the interpreter apart costs a third of a second in which nobody looks
