"""Habits of a daemon: one at a time, a log that journald likes, and a word to systemd."""

import contextlib
import errno
import fcntl
import logging
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from agent.terminal import shown

log = logging.getLogger("pantau.agent")


class Occupied(Exception):
    """The state folder cannot be taken: another agent runs, or it cannot be made; the message says which."""


class _Shown(logging.Formatter):
    """The text without control characters: words of servers stand in it."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


class _Journal(_Shown):
    """``<4>text``: the level as journald reads it from stderr."""

    def format(self, record: logging.LogRecord) -> str:
        level = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4}.get(record.levelno, 3)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


def set_up_log(environ: Mapping[str, str], level: str) -> None:
    """Log to stderr: with journald's level marks when it listens there, else with the time."""
    handler = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in environ:
        handler.setFormatter(_Journal("%(message)s"))
    else:
        handler.setFormatter(_Shown("%(asctime)s %(levelname)s %(message)s"))
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


class Systemd:
    """The service manager's notify socket, if there is one; ``watchdog`` is how often it wants to hear from us (s), or None."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        usec = environ.get("WATCHDOG_USEC", "")
        self.watchdog = int(usec) / 2_000_000 if self._address and usec.isdigit() else None

    def tell(self, *words: str) -> None:
        """Send e.g. ``READY=1``; nothing happens without a socket, or when nobody reads it."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(words).encode(), address)
