"""The folder of everything that the centre keeps: hashes of passwords, what it watches, what was said; for its owner only."""

import logging
import os
import pwd
from pathlib import Path
from typing import Final

from configs.read import SettingsError

_log: Final = logging.getLogger("pantau.server")
_OTHERS: Final = 0o077


def private_folder(folder: Path) -> None:
    """Create a folder, or take the rights of all but its owner from it; SettingsError where it is another user's to do so."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if not found.st_mode & _OTHERS:
        return
    if found.st_uid != os.geteuid():
        owner = _name(found.st_uid)
        raise SettingsError(
            f"{folder} belongs to {owner} and others than its owner may enter it: run this as {owner}, "
            f"or make it private: chmod 700 {folder}"
        )
    folder.chmod(0o700)
    _log.warning("others could enter %s; now only its owner can (0700)", folder)


def _name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
