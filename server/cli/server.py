"""``pantau server``: run the centre."""

import argparse
import asyncio
import faulthandler
import logging
import os
import signal
import sys
import time
from typing import Any, Final

from configs.daemon import Systemd, log_to
from server.cli import owner, trouble
from server.cli.options import add_settings

_log: Final = logging.getLogger("pantau.server")
_PAUSE: Final = 5.0  # seconds before a service whose start failed is started again


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
    systemd = Systemd(os.environ)
    try:
        code = asyncio.run(serve(settings, systemd, hangups))
    except trouble.EXPECTED as error:
        told = trouble.told(error)
        if told is None or not systemd.present:
            raise
        code = _without_haste(*told)
    logging.shutdown()
    sys.stderr.flush()
    # all is closed and on disk; to take the interpreter apart costs a third of a second in which nobody looks
    os._exit(code)


def _without_haste(why: str, code: int) -> int:
    """Log why the service ends and return the code; what would be started again at once, and likely in vain, takes its time."""
    for line in why.splitlines():
        _log.error("%s", line)
    if code == trouble.FAILED:
        time.sleep(_PAUSE)
    return code
