"""Ask the kernel by netlink which TCP sockets are in which state (sock_diag(7))."""

import socket
import struct
from collections import Counter
from typing import Final

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_REQUEST_DUMP: Final = 0x301
_ERROR: Final = 2
_DONE: Final = 3
_HEADER: Final = struct.Struct("=IHHII")
# family, protocol, extensions, padding, states; an empty address of 48 bytes follows
_QUESTION: Final = struct.Struct("=BBBBI48x")
_ANSWER: Final = struct.Struct("=BBB")  # family, state, timer; the rest is not needed
_TIME_WAIT_TIMER: Final = 3
_BUFFER: Final = 1 << 18
_SECONDS: Final = 5

LINGERING: Final = -1


def states(wanted: int) -> Counter[int]:
    """Count this network namespace's TCP sockets by state; ``wanted`` has a bit for each state that is asked for.

    Sockets that are in FIN_WAIT2 but already let go by their program (kept like those in TIME_WAIT) count as ``LINGERING``
    as well. OSError when the kernel does not answer such questions.
    """
    counts: Counter[int] = Counter()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
        link.settimeout(_SECONDS)
        for family in (socket.AF_INET, socket.AF_INET6):
            question = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 0, wanted)
            link.send(_HEADER.pack(_HEADER.size + len(question), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 0, 0) + question)
            while _take(link.recv(_BUFFER), counts):
                pass
    return counts


def _take(data: bytes, counts: Counter[int]) -> bool:
    """Count the sockets of one message of the kernel; False after the last one."""
    at = 0
    while at < len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if kind == _DONE:
            return False
        if kind == _ERROR:
            raise OSError(-struct.unpack_from("=i", data, at + _HEADER.size)[0], "sock_diag")
        _, state, timer = _ANSWER.unpack_from(data, at + _HEADER.size)
        counts[state] += 1
        if timer == _TIME_WAIT_TIMER:
            counts[LINGERING] += 1
        at += (length + 3) & ~3
    return True
