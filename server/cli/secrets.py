"""Whether the service's user can read each secret that settings name, and the command that mends it; never what it is."""

import json
import os
import pwd
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from configs.read import SettingsError
from configs.secret import Secret, SecretUnreadable
from configs.unit import UNIT, has_variable
from server.cli import owner
from server.settings import Settings

_SERVICE: Final = "pantau"


class User(NamedTuple):
    """Who is to read them."""

    uid: int
    gid: int

    @property
    def name(self) -> str:
        """The name, or the number with a sign that ``chown`` takes without it."""
        return owner.name_of(self.uid)


class Refusal(NamedTuple):
    """Why a user cannot read a secret's file, "" if it can; the folder that is ``closed`` to it; whether the file itself is not."""

    why: str = ""
    closed: str = ""
    open: bool = True


class Finding(NamedTuple):
    """One secret: where it is named and kept, "" or why it cannot be read, and the command that mends it."""

    where: str
    why: str = ""
    mend: str = ""

    def told(self, user: str) -> str:
        """Return it in one line."""
        if not self.why:
            return f"{self.where}: readable by {user}"
        return f"{self.where}: not readable by {user}: {self.why}; {self.mend}"


def service_user(settings: Settings, name: str | None) -> User:
    """Return who runs the centre: who was named, else the owner of ``data``, else the user ``pantau``, else we; SettingsError."""
    try:
        if name is not None:
            return User(*pwd.getpwnam(name)[2:4])
        if settings.data.exists():
            return User(*settings.data.stat()[4:6])
        return User(*pwd.getpwnam(_SERVICE)[2:4])
    except KeyError:
        if name is not None:
            raise SettingsError(f"there is no user {name!r}") from None
        return User(os.geteuid(), os.getegid())


def examine(secrets: Sequence[tuple[str, Secret]], user: User) -> list[Finding]:
    """Return a finding for each secret, as ``user`` meets it; SettingsError when we are neither that user nor root."""
    if os.geteuid() not in {0, user.uid}:
        raise SettingsError(f"only root and {user.name} can tell what {user.name} can read: use sudo")
    kept = {secret for _, secret in secrets if secret.place[0] == "file"}
    refusals = _as_user({secret.place[1] for secret in kept}, user)
    return [
        _finding(f"{label}: {secret.place[0]} {secret.place[1]}", secret, user, refusals) for label, secret in secrets
    ]


def _finding(where: str, secret: Secret, user: User, refusals: dict[str, Refusal]) -> Finding:
    place, name = secret.place
    if place == "file":
        refusal = refusals[name]
        return Finding(where, refusal.why, _mend(Path(name), refusal, user) if refusal.why else "")
    if place == "env":
        known = name in os.environ or has_variable(name)
        why = "" if known else "neither this shell's environment nor the unit's has it"
        return Finding(where, why, f"systemctl edit {UNIT}: [Service] EnvironmentFile=/etc/pantau/environment")
    try:
        secret.reveal()  # systemd reads it as root, and so do we
    except SecretUnreadable as error:
        return Finding(where, str(error), f"systemctl edit {UNIT}: [Service] LoadCredential={name}:/etc/pantau/{name}")
    return Finding(where)


def _mend(file: Path, refusal: Refusal, user: User) -> str:
    who = user.name.removeprefix("user ")
    path = shlex.quote(str(file))
    if refusal.closed:
        folder = shlex.quote(refusal.closed)
        return f"chgrp {user.gid} {folder} && chmod g+x {folder}"
    if not file.exists():
        return f"install -D -m 600 -o {who} /dev/null {path}, then write it there"
    if refusal.open:
        return f"write it to {path}"
    return f"chmod u+r {path}" if file.stat().st_uid == user.uid else f"chown {who} {path} && chmod 600 {path}"


def _as_user(files: set[str], user: User) -> dict[str, Refusal]:
    """Return for each file how the user fares that reads a secret there."""
    if os.geteuid() == user.uid:
        return {file: _tried(file) for file in files}
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # a process of its own becomes that user, and answers in words only
        try:
            owner.become(user.uid, user.gid)
            os.write(writer, json.dumps({file: _tried(file) for file in files}).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    if not answer:
        raise SettingsError(f"cannot act as {user.name} to see what it can read")
    return {file: Refusal(*told) for file, told in json.loads(answer).items()}


def _tried(file: str) -> Refusal:
    try:
        Secret("file", file).reveal()
    except SecretUnreadable as error:
        folders = reversed(Path(file).absolute().parents)
        closed = next((str(one) for one in folders if not os.access(one, os.X_OK)), "")
        return Refusal(str(error), "" if closed and not Path(closed).is_dir() else closed, os.access(file, os.R_OK))
    return Refusal()
