"""``disk``: how full each mounted file system is; ``pantau_mount``: those that do not answer."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import kernelfile, mounts
from collectors.host.sources.probe import Prober, statvfs_by_child
from collectors.point import Point, Value
from configs.units import Duration

if TYPE_CHECKING:
    from collectors.host import Roots
    from collectors.host.sources.mounts import Mount

_log = logging.getLogger("pantau.host.disk")

# looking at an autofs mount point would mount what is behind it
_NEVER_TOUCH: Final = "autofs"
_USER_SPACE: Final = ("fuse*",)
_NETWORK: Final = (
    "nfs*",
    "cifs",
    "smb*",
    "ceph",
    "9p",
    "virtiofs",
    "afs",
    "lustre",
    "glusterfs",
    "beegfs",
    "davfs*",
)
_NO_DISKS: Final = (
    *("tmpfs", "devtmpfs", "devfs", "overlay", "aufs", "efivarfs"),
    *("iso9660", "squashfs", "erofs", "cramfs", "romfs", "udf:ro"),
    *("fuse.snapfuse", "fuse.squashfuse*", "fuse.erofsfuse", "fuse.*AppImage", "fuse.portal"),
)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``mount_points``: only these. ``ignore_mount_opts`` knows ``"bind"`` too. ``timeout``: how long one file system may take.

    ``ignore_fs``: types or shell patterns of them; with ``:ro`` behind it, where it is mounted read-only. By default those that
    fill up with memory, images (which are full by nature) and the firmware's variables.
    """

    mount_points: tuple[str, ...] = ()
    ignore_fs: tuple[str, ...] = _NO_DISKS
    ignore_mount_opts: tuple[str, ...] = ()
    timeout: Duration = Duration(2)


class Disk:
    """Reads the mount table and asks each file system; one that hangs holds up no other.

    Local file systems, those over the network and those in user space have threads of their own, so that a file server's end
    never hides a full local disk.
    """

    def __init__(
        self,
        options: Options,
        roots: "Roots",
        statvfs: Callable[[str], os.statvfs_result] = os.statvfs,
        by_child: Callable[[str], os.statvfs_result] = statvfs_by_child,
    ) -> None:
        self._options = options
        self._roots = roots
        self._local = Prober(options.timeout, statvfs=statvfs)
        self._network = Prober(options.timeout, statvfs=statvfs)
        self._user_space = Prober(options.timeout, statvfs=by_child)
        self._troubled: dict[str, bool] = {}

    async def collect(self, now: int) -> list[Point]:
        """Return a ``disk`` point for each mount, and ``pantau_mount`` points for those that hang or hung since the start."""
        table, labels = await asyncio.to_thread(self._table)
        answers: dict[str, os.statvfs_result | OSError] = {}
        for part in await asyncio.gather(*(prober.ask(paths) for prober, paths in self._shared_out(table).items())):
            answers |= part
        points = [
            Point("disk", _tags(mount, labels.get(mount.device_number, (None, None))), _fields(answer, mount), now)
            for mount in table
            if isinstance(answer := answers.get(mount.path), os.statvfs_result) and answer.f_blocks
        ]
        return points + [
            Point("pantau_mount", {"path": _printable(path)}, fields, now)
            for path, fields in self._trouble([mount.path for mount in table], answers)
        ]

    def _shared_out(self, table: list["Mount"]) -> dict[Prober, list[str]]:
        share: dict[Prober, list[str]] = {self._local: [], self._network: [], self._user_space: []}
        for mount in table:
            if kernelfile.matches(mount.fstype, _USER_SPACE):
                share[self._user_space].append(mount.path)
            else:
                share[self._network if kernelfile.matches(mount.fstype, _NETWORK) else self._local].append(mount.path)
        return share

    def _table(self) -> tuple[list["Mount"], dict[str, tuple[str | None, str | None]]]:
        options = self._options
        table = [
            mount
            for mount in mounts.read(self._roots.proc)
            if mount.fstype != _NEVER_TOUCH
            and not kernelfile.matches(mount.fstype, options.ignore_fs)
            and not (mount.mode == "ro" and kernelfile.matches(f"{mount.fstype}:ro", options.ignore_fs))
            and not set(options.ignore_mount_opts) & set(mount.options)
            and (not options.mount_points or mount.path in options.mount_points)
        ]
        return table, self._labels(table)

    def _trouble(
        self, paths: list[str], answers: dict[str, os.statvfs_result | OSError]
    ) -> Iterator[tuple[str, dict[str, Value]]]:
        """Return points of mounts that did not answer, and go on telling of them after they came back."""
        hanging = self._local.hanging() | self._network.hanging() | self._user_space.hanging()
        for path in paths:
            stuck = path in hanging
            silent = path not in answers
            if silent != self._troubled.get(path, False):
                _log.warning("file system %s %s", _printable(path), "does not answer" if silent else "answers again")
            if silent or path in self._troubled:
                self._troubled[path] = silent
                yield path, {"stuck": int(stuck), "unasked": int(silent and not stuck)}
        self._troubled = {path: state for path, state in self._troubled.items() if path in paths}

    def _labels(self, table: list["Mount"]) -> dict[str, tuple[str | None, str | None]]:
        """Return the kernel's name and the device mapper's name of block devices that have other names in the mount table."""
        return {
            mount.device_number: self._block_device(mount.device_number)
            for mount in table
            if mount.device.startswith(("/dev/mapper/", "/dev/dm-", "/dev/root"))
        }

    def _block_device(self, number: str) -> tuple[str | None, str | None]:
        folder = f"dev/block/{number}"
        try:
            name = Path(self._roots.sys, folder).readlink().name
        except OSError:
            return None, None
        return name, kernelfile.word(self._roots.sys, f"{folder}/dm/name")


def _tags(mount: "Mount", block: tuple[str | None, str | None]) -> dict[str, str]:
    name, label = block
    tags = {
        "path": _printable(mount.path),
        "device": name or _printable(mount.device).replace("/dev/", ""),
        "fstype": mount.fstype,
        "mode": mount.mode,
    }
    return {**tags, "label": label} if label else tags


def _fields(told: os.statvfs_result, mount: "Mount") -> dict[str, Value]:
    used = (told.f_blocks - told.f_bfree) * told.f_frsize
    free = told.f_bavail * told.f_frsize
    inodes_used = max(told.f_files - told.f_ffree, 0)
    inodes = inodes_used + told.f_ffree
    return {
        "total": told.f_blocks * told.f_frsize,
        "free": free,
        "used": used,
        "used_percent": 100 * used / (used + free) if used + free else 0.0,
        "inodes_total": told.f_files,
        "inodes_free": told.f_ffree,
        "inodes_used": inodes_used,
        "inodes_used_percent": 100 * inodes_used / inodes if inodes else 0.0,
        "emergency_ro": int(mount.failed),
    }


def _printable(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
