"""Habits of the agent as a daemon: one at a time, and its log."""

import contextlib
import errno
import fcntl
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from configs.daemon import log_to

log = logging.getLogger("pantau.agent")


class Occupied(Exception):
    """The state folder cannot be taken: another agent runs, or it cannot be made; the message says which."""


def set_up_log(environ: Mapping[str, str], level: str) -> None:
    """Log to stderr: with journald's level marks when it listens there, else with the time."""
    handler = log_to(sys.stderr, environ)
    logger = logging.getLogger("pantau")
    logger.handlers = [handler]
    logger.setLevel(level.upper())


def occupy(folder: Path) -> TextIO | None:
    """Make the state folder if need be and lock it until the returned file is closed or the process ends.

    None when the disk is full or read-only: then the agent runs on without lock and spool. Raises Occupied.
    """
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        file = (folder / "lock").open("a+", encoding="ascii")
    except OSError as error:
        if error.errno in {errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO}:
            log.warning("cannot lock %s: %s; going on without", folder, error.strerror)
            return None
        raise Occupied(f"cannot use the state folder {folder}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        raise Occupied(
            f"another pantau-agent{f' (process {owner})' if owner else ''} uses the state folder {folder}"
        ) from error
    with contextlib.suppress(OSError):
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
    return file
