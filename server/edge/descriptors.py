"""How many connections the limit of open files leaves room for."""

import logging
import resource
from typing import Final

_log: Final = logging.getLogger("pantau.edge")
_LEAST: Final = 8
_UNKNOWN: Final = 1024  # the usual limit, where a sandbox does not tell


def room_for(connections: int, *, beside: int) -> int:
    """Return for how many of ``connections`` there are descriptors, when ``beside`` of them are kept for files and our own asking.

    Raises the soft limit towards the hard one when it is too low; of a low limit files get half.
    """
    wanted = connections + beside
    limit = _raised(wanted)
    room = min(connections, max(_LEAST, limit - min(beside, limit // 2)))
    if room < connections:
        _log.warning("%d connections at most, not %d: the limit of open files is %d", room, connections, limit)
    return room


def _raised(wanted: int) -> int:
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    except OSError:
        return _UNKNOWN
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft >= wanted:
        return soft
    higher = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (higher, hard))
    except (OSError, ValueError):
        return soft
    return higher
