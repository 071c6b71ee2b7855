"""The last backup that is known to be whole, as the data folder remembers it; no part of a backup itself."""

import time
from pathlib import Path
from typing import Final

import msgspec

_FILE: Final = "last-backup.json"


class LastBackup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When it was made (ms since epoch), where it was put as its command names it, and its size in bytes."""

    at: int
    to: str
    size: int


def remember(data: Path, last: LastBackup) -> None:
    """Write it into the data folder, all or nothing."""
    part = data / f"{_FILE}.part"
    part.write_bytes(msgspec.json.encode(last))
    part.chmod(0o600)
    part.rename(data / _FILE)


def last_backup(data: Path) -> LastBackup | None:
    """Return what is remembered; None where no backup was made, or what stands there is none."""
    try:
        return msgspec.json.decode((data / _FILE).read_bytes(), type=LastBackup)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def moment(at: int) -> str:
    """Return a time (ms since epoch) as UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at / 1000))
