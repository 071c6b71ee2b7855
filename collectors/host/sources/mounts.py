"""Which file systems are mounted where, as the kernel tells it in mountinfo (proc(5))."""

import re
from typing import Final

import msgspec

from collectors.host.sources import kernelfile

_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
_STOPPED: Final = frozenset({"emergency_ro", "shutdown"})
_READ_ONLY: Final = _STOPPED | {"ro"}


class Mount(msgspec.Struct, frozen=True):
    """One mount. ``path`` is as the system calls want it: bytes that are not UTF-8 are surrogates (``os.fsencode`` undoes it).

    ``mode``: ro, rw or unknown; ``failed``: it is read-only because of an error, not because somebody mounted it so.
    """

    id: int
    parent: int
    device_number: str
    path: str
    options: tuple[str, ...]
    fstype: str
    device: str
    mode: str
    failed: bool


def read(proc: str) -> list[Mount]:
    """Return the mounts that a path can reach, one for each path. OSError when there is no mountinfo.

    Those of PID 1 are read first: the daemon may live in a mount namespace of its own.
    """
    try:
        lines = kernelfile.text(proc, "1/mountinfo")
    except OSError:
        lines = ""
    mounts = [_parse(line) for line in (lines or kernelfile.text(proc, "self/mountinfo")).split("\n") if line]
    return list({mount.path: mount for mount in _reachable(mounts)}.values())


def _parse(line: str) -> Mount:
    words = line.split(" ")
    dash = words.index("-", 6)
    options = words[5].split(",")
    if words[3] != "/":
        options.append("bind")
    superblock = words[-1].split(",")
    return Mount(
        id=int(words[0]),
        parent=int(words[1]),
        device_number=words[2],
        path=_unescape(words[4]),
        options=tuple(options),
        fstype=words[dash + 1],
        device=_unescape(words[dash + 2]),
        mode=_mode(options, superblock),
        failed=_failed(options, superblock),
    )


def _unescape(word: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), word)


def _mode(mount: list[str], superblock: list[str]) -> str:
    """Return whether one can write."""
    if not _READ_ONLY.isdisjoint(mount) or not _READ_ONLY.isdisjoint(superblock):
        return "ro"
    return "rw" if "rw" in mount else "unknown"


def _failed(mount: list[str], superblock: list[str]) -> bool:
    """Return whether an error stopped writing: the file system itself turns read-only while its mount still says rw."""
    return not _STOPPED.isdisjoint(superblock) or ("rw" in mount and "ro" in superblock)


def _reachable(mounts: list[Mount]) -> list[Mount]:
    """Leave out mounts below or under a later one: their path shows the later one's files."""
    known = {mount.id: mount for mount in mounts}
    places = {(mount.parent, mount.path) for mount in mounts}

    def place_is_open(mount: Mount) -> bool:
        parent = known.get(mount.parent)
        if parent is None or parent is mount:
            return True
        if mount.path != parent.path and (parent.id, parent.path) in places:
            return False
        below = mount.path
        while (below := below.rpartition("/")[0]) and len(below) > len(parent.path):
            if (parent.id, below) in places:
                return False
        return place_is_open(parent)

    return [mount for mount in mounts if (mount.id, mount.path) not in places and place_is_open(mount)]
