"""Habits of a daemon that agent and centre share: a log that journald likes, and a word to systemd."""

import contextlib
import logging
import os
import socket
from collections.abc import Mapping
from typing import Final, TextIO

from configs.terminal import shown

_LEVELS: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_ERROR: Final = 3


class _Shown(logging.Formatter):
    """The text without control characters: words of strangers stand in it."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


class _Journal(_Shown):
    """``<4>text``: the level as journald reads it, on each line."""

    def format(self, record: logging.LogRecord) -> str:
        level = _LEVELS.get(record.levelno, _ERROR)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


def log_to(stream: TextIO, environ: Mapping[str, str], words: str = "%(message)s") -> logging.Handler:
    """Return a handler of a log: with journald's level marks where it reads ``stream``, else with time and level.

    ``words`` is the rest of a line, as ``logging`` formats it.
    """
    handler = logging.StreamHandler(stream)
    if _goes_to_journald(stream, environ):
        handler.setFormatter(_Journal(words))
    else:
        handler.setFormatter(_Shown(f"%(asctime)s %(levelname)s {words}"))
    return handler


def _goes_to_journald(stream: TextIO, environ: Mapping[str, str]) -> bool:
    # what a service starts inherits the variable, but may write elsewhere: systemd.exec(5), $JOURNAL_STREAM
    try:
        about = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


class Systemd:
    """The service manager's notify socket, if it is ``present``; ``watchdog`` is how often it wants to hear from us (s), or None."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        usec = environ.get("WATCHDOG_USEC", "")
        self.watchdog = int(usec) / 2_000_000 if self._address and usec.isdigit() else None

    @property
    def present(self) -> bool:
        """Whether systemd waits for a word of ours."""
        return bool(self._address)

    def tell(self, *words: str) -> None:
        """Send e.g. ``READY=1``; nothing happens without a socket, or when nobody reads it."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(words).encode(), address)
