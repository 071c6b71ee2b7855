"""``linux_sysctl_fs``: open files, inodes, dentries and asynchronous I/O of the whole host, and their limits."""

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import kernelfile
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

# file below /proc/sys/fs -> what its numbers mean, in their order; an empty name is a number of no use
_FILES: Final = {
    "aio-nr": ("aio-nr",),
    "aio-max-nr": ("aio-max-nr",),
    "dquot-nr": ("dquot-nr",),
    "dquot-max": ("dquot-max",),
    "super-nr": ("super-nr",),
    "super-max": ("super-max",),
    "inode-state": ("inode-nr", "inode-free-nr", "inode-preshrink-nr"),
    "dentry-state": ("dentry-nr", "dentry-unused-nr", "dentry-age-limit", "dentry-want-pages"),
    "file-nr": ("file-nr", "", "file-max"),
}
_LARGEST: Final = 2**63 - 1


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to choose."""


class LinuxSysctlFs:
    """Reads files of ``/proc/sys/fs``; those that this kernel does not have are left out."""

    def __init__(self, _options: Options, roots: "Roots") -> None:
        self._roots = roots

    async def collect(self, now: int) -> list[Point]:
        """Return one point. ``file-max`` without a limit is the largest signed number."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        fields: dict[str, Value] = {}
        for file, names in _FILES.items():
            numbers = (kernelfile.word(self._roots.proc, f"sys/fs/{file}") or "").split()
            fields.update(
                {name: min(int(number), _LARGEST) for name, number in zip(names, numbers, strict=False) if name}
            )
        if not fields:
            raise kernelfile.lacking(f"{self._roots.proc}/sys/fs", "this kernel tells nothing of open files")
        return [Point("linux_sysctl_fs", {}, fields, now)]
