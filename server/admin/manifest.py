"""What a backup is: ``state.db``, the embedded store's files in ``store``, and ``manifest.json`` with the size and SHA-256 of each."""

from pathlib import PurePosixPath
from typing import Final

import msgspec

from server.store.buckets import STORE

STATE: Final = "state.db"
MANIFEST: Final = "manifest.json"
MANIFEST_MAX: Final = 64_000_000  # bytes; far more than the names of all files of a store
PARTS: Final = (STORE, STATE)  # in the order in which they are brought back
BROKEN_OFF: Final = "the backup broke off: the centre stopped, or could not go on (see its log)"
_FORMAT: Final = 1


class BackupFailed(Exception):
    """A backup that cannot be made or brought back, and why, in one line."""


class Entry(msgspec.Struct, frozen=True):
    """One file of a backup: its size in bytes and the SHA-256 of what it holds, in hexadecimal."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds: ``at`` is ms since epoch; ``missing`` says what has to be saved by other means."""

    format: int
    at: int
    version: str
    missing: tuple[str, ...]
    files: dict[str, Entry]

    @property
    def size(self) -> int:
        """How many bytes its files have."""
        return sum(entry.size for entry in self.files.values())

    def told(self) -> str:
        """Return in one line what it holds."""
        return "; ".join([f"{len(self.files)} files, {self.size / 1e6:.1f} MB", *self.missing])


def manifest_of(files: dict[str, Entry], *, at: int, version: str, missing: tuple[str, ...]) -> Manifest:
    """Return the manifest of a backup that is made now."""
    return Manifest(_FORMAT, at, version, missing, files)


def write_manifest(manifest: Manifest) -> bytes:
    """Return it as JSON that people can read."""
    return msgspec.json.format(msgspec.json.encode(manifest))


def read_manifest(data: bytes) -> Manifest:
    """Read what ``write_manifest`` wrote; BackupFailed when it is something else or names what is no part of a backup."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise BackupFailed(str(error)) from error
    if manifest.format != _FORMAT:
        raise BackupFailed(f"it has format {manifest.format}, this version of Pantau reads {_FORMAT}")
    for name in manifest.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name:
            raise BackupFailed(f"the manifest names a file outside the backup: {name}")
        if path.parts[:1] not in [(part,) for part in PARTS]:
            raise BackupFailed(f"the manifest names a file that is no part of a backup: {name}")
    return manifest


def compare(manifest: Manifest, files: dict[str, Entry]) -> None:
    """Raise BackupFailed unless ``files`` are all that the manifest names, and nothing else."""
    for name, entry in manifest.files.items():
        if files.get(name) != entry:
            raise BackupFailed(f"{name} is missing or not as it was written")
    for name in files:
        if name not in manifest.files:
            raise BackupFailed(f"{name} is not in the manifest")
