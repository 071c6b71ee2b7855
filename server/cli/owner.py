"""Commands act as the owner of the data folder: what root makes there in its own name, the centre could not use.

Root becomes that user, for good; everybody else is told the line to type.
"""

import getpass
import os
import pwd
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from configs.read import SettingsError
from server import settings
from server.settings import Settings

_SERVICE: Final = "pantau"


class NotOwner(SettingsError):
    """The data folder belongs to somebody else: ``owner`` is who may use it."""

    def __init__(self, folder: Path, owner: str) -> None:
        super().__init__(f"{folder} belongs to {owner}: run it as that user")
        self.owner = owner

    def told(self, words: Iterable[str]) -> str:
        """Return the message with the line to type instead of ``pantau WORDS``."""
        user = f"'#{self.owner.removeprefix('user ')}'" if self.owner.startswith("user ") else self.owner
        return f"{self}: sudo -u {user} pantau {shlex.join(words)}".rstrip()


def read(file: Path) -> Settings:
    """Return the settings of a command that is about to use the data folder, as its owner from now on; SettingsError, NotOwner."""
    known = settings.read(file)
    become_owner(known, file)
    return known


def become_owner(centre: Settings, file: Path) -> None:
    """Become the owner of ``centre.data`` when we are root and it is another user's; ``file`` is that of the settings.

    Secrets that only root can read are read before. NotOwner when we are neither; SettingsError when there is no owner to become.
    """
    uid, gid = _owner(centre.data, file.absolute().parent)
    if uid == os.geteuid():
        return
    if os.geteuid() != 0:
        raise NotOwner(centre.data, name_of(uid))
    for _place, secret in centre.secrets:
        secret.hold()
    become(uid, gid)
    for part in (__file__, os.__file__):  # ours and Python's own, of which more is imported as it is needed
        if not os.access(part, os.R_OK):
            why = f"cannot read this program: it needs {Path(part).parent}, where everybody may read"
            raise SettingsError(f"{centre.data} belongs to {name_of(uid)}, who {why}")


def become(uid: int, gid: int) -> None:
    """Turn this process into a user with that user's groups (``gid`` where it has no entry), for good; SettingsError if not allowed."""
    try:
        entry = pwd.getpwuid(uid)
        groups, gid = os.getgrouplist(entry.pw_name, entry.pw_gid), entry.pw_gid
    except KeyError:
        groups = [gid]
    try:
        os.setgroups(groups)
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        raise SettingsError(f"cannot act as {name_of(uid)}: {error.strerror}") from error


def operator() -> str:
    """Return who types, for the audit; also when root became the owner on the way."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a number without a name
        return f"cli:{os.getuid()}"


def name_of(uid: int) -> str:
    """Return the name of a user, ``user NUMBER`` where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _owner(data: Path, folder: Path) -> tuple[int, int]:
    """Return user and group of the data folder, or those who are to have it; SettingsError when root would be that by mistake."""
    if data.exists():
        found = data.stat()
    elif folder in data.absolute().parents:  # all of a centre in one folder, as `pantau up` makes it
        found = folder.stat()
    elif os.geteuid() == 0:
        raise SettingsError(f"there is no {data} yet, and root must not own it: {_made(data)}")
    else:
        return os.geteuid(), os.getegid()
    return found.st_uid, found.st_gid


def _made(data: Path) -> str:
    user = _SERVICE if any(one.pw_name == _SERVICE for one in pwd.getpwall()) else "USER"
    return f"install -d -m 700 -o {user} -g {user} {shlex.quote(str(data))}"
