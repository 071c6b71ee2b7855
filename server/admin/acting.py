"""Acting as the owner of a data folder when root runs a command: what it makes there belongs to that owner, and no link misleads it."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from server.admin.manifest import BackupFailed

SERVICE: Final = "pantau"  # the user that the centre's unit names


class Owner(NamedTuple):
    """A user of this machine."""

    name: str
    uid: int
    gid: int


def owner_for(data: Path, named: str | None = None) -> Owner:
    """Return who owns a data folder, or is to: who is ``named``, else the owner of the folder, else that of the folder around it.

    Where that is root, as of ``/var/lib``, it is the user ``pantau`` if there is one. BackupFailed where there is no such user, or
    where it is somebody else and this does not run as root.
    """
    us = os.geteuid()
    if named is not None:
        owner = _of_name(named)
        if owner is None:
            raise BackupFailed(f"there is no user {named!r}")
    elif us != 0 and not data.exists():
        owner = _of_number(us)
    else:
        owner = _of_number(next(folder for folder in (data, *data.parents) if folder.exists()).stat().st_uid)
        if owner.uid == 0 and not data.exists():
            owner = _of_name(SERVICE) or owner
    if us not in {0, owner.uid}:
        raise BackupFailed(f"{data} belongs to {owner.name}: run this as {owner.name} or as root")
    return owner


@contextmanager
def acting(owner: Owner) -> Iterator[None]:
    """Have the rights of a user, and no others, until the block ends, unless this does not run as root anyway.

    What is made meanwhile is for that user only.
    """
    before = os.umask(0o077)
    try:
        with _switched(owner):
            yield
    finally:
        os.umask(before)


@contextmanager
def _switched(owner: Owner) -> Iterator[None]:
    if os.geteuid() != 0 or owner.uid == 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    try:
        os.setgroups(os.getgrouplist(owner.name, owner.gid) if _of_name(owner.name) else [owner.gid])
        os.setegid(owner.gid)
        os.seteuid(owner.uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


@contextmanager
def as_before(owner: Owner) -> Iterator[None]:
    """Have root's rights again within ``acting``, for a moment."""
    if os.getuid() != 0 or os.geteuid() == 0:
        yield
        return
    os.seteuid(0)
    try:
        yield
    finally:
        os.seteuid(owner.uid)


def _of_name(name: str) -> Owner | None:
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return Owner(found.pw_name, found.pw_uid, found.pw_gid)


def _of_number(number: int) -> Owner:
    try:
        found = pwd.getpwuid(number)
    except KeyError:
        return Owner(f"user {number}", number, number)
    return Owner(found.pw_name, found.pw_uid, found.pw_gid)
