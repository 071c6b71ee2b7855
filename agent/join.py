"""``pantau-agent join``: exchange a one-time token for this host's own, and put it where the settings want it."""

import contextlib
import os
import pwd
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, TextIO
from urllib.parse import urlsplit

import msgspec

from agent import settings
from agent.machine import fingerprint
from agent.post import Endpoint, Options, Unreachable, why_not_url
from configs.secret import Secret
from configs.terminal import one_line

_ADDRESS: Final = "/api/pantau/join"
_USER: Final = "pantau-agent"
_TOKEN: Final = "agent.token"  # noqa: S105 - the name of a file
_HERE: Final = {"127.0.0.1", "::1", "localhost"}
_SYSTEMD: Final = Path("/run/systemd/system")
_WORDS: Final = {
    401: "the one-time token is unknown, used up or too old; a new one: `pantau enrol new` at the centre",
    404: "this address is no centre of Pantau",
    409: "another machine has joined as {host}; another name: --host NAME, or, at the centre, for its successor: "
    "`pantau enrol accept {host}` and then this once more, or a token of `pantau enrol new --host {host}`",
    429: "too many failures from this address; try again in a minute",
}


class Wanted(NamedTuple):
    """What the command line says; ``url`` and ``host`` may be empty."""

    url: str
    token: str
    host: str = ""
    ca: str = ""
    renew: bool = False


class NotJoined(Exception):
    """It did not work; nothing was changed here. The message says why."""


class Given(msgspec.Struct, frozen=True):
    """The centre's answer."""

    token: str
    host: str
    org: str
    bucket: str


class _Refusal(msgspec.Struct, frozen=True):
    """What the centre answers when it refuses."""

    message: str


class _Place(NamedTuple):
    """Where to connect, the name of this host, and where the token goes; ``pinned``: the settings say the name."""

    output: Options
    host: str
    file: Path
    setting: str
    pinned: bool


def join(file: Path, wanted: Wanted) -> list[str]:
    """Join, write the token and, where there are none, settings; return what to tell the person. Raises NotJoined, SettingsError."""
    known = settings.read(file) if file.exists() else None
    place = _place(file, wanted, known)
    if place.file.exists() and not wanted.renew:
        raise NotJoined(f"this host has a token already ({place.file}); to join afresh: --renew")
    try:
        with _reserved(place.file) as reserved:
            given = _ask(place, wanted)
            reserved.write(given.token + "\n")
        told = [f"joined as {given.host}; its token is in {place.file}"]
        if known is None:
            file.write_text(_settings(place, wanted, given), encoding="utf-8")
            told.append(f"settings were written to {file}")
    except OSError as error:
        raise NotJoined(f"cannot write {error.filename or place.file}: {error.strerror}") from error
    if not place.pinned:
        told.append(f"the token writes for this name only: set host = {_quoted(given.host)} in [agent] of {file}")
    if place.output.url.startswith("http://") and urlsplit(place.output.url).hostname not in _HERE:
        told.append("the address is http: tokens and figures travel unencrypted")
    if _SYSTEMD.exists():
        told.append("now: systemctl restart pantau-agent")
    return told


def _place(file: Path, wanted: Wanted, known: settings.Settings | None) -> _Place:
    if known is None:
        if not wanted.url:
            raise NotJoined(f"there are no settings in {file} yet: say the address of the centre too")
        if wrong := why_not_url(wanted.url):
            raise NotJoined(wrong)
        output = Options(url=wanted.url, ca=str(Path(wanted.ca).resolve()) if wanted.ca else "")
        setting = "credential" if _SYSTEMD.exists() else "file"
        return _Place(output, wanted.host or socket.gethostname(), file.with_name(_TOKEN), setting, pinned=True)
    if wanted.url and wanted.url.rstrip("/") != known.output.url.rstrip("/"):
        raise NotJoined(f"{file} sends to {known.output.url}; change 'url' in [output] first, or leave the address out")
    name = known.tags["host"]
    if wanted.host and wanted.host != name:
        raise NotJoined(f"{file} calls this host {name}; change 'host' in [agent] first, or leave --host out")
    setting, target = _token_file(file, known.output.token)
    return _Place(known.output, name, target, setting, pinned=bool(known.agent.host))


def _token_file(file: Path, secret: Secret | None) -> tuple[str, Path]:
    if secret is None:
        raise NotJoined(f'{file} has no token: write token = {{ file = "{_TOKEN}" }} into [output]')
    setting, name = secret.place
    if setting == "env":
        raise NotJoined(
            f"{file} takes the token from the environment ({name}), which cannot be written; use {{ file = ... }}"
        )
    return setting, Path(name) if setting == "file" else file.with_name(name)


@contextlib.contextmanager
def _reserved(file: Path) -> Iterator[TextIO]:
    """Give a new file that takes the place of ``file`` at the end; made first, so that no one-time token is spent in vain."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as opened:  # noqa: PTH123 - 0600 from its first moment
        try:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
            _hand_over(opened.fileno(), file)
            fresh.replace(file)
        finally:
            fresh.unlink(missing_ok=True)


def _hand_over(number: int, file: Path, user: str = _USER) -> None:
    """Give the new file to the owner of the one it replaces, or where no systemd hands it over, to the service's user."""
    if os.geteuid() != 0:
        return
    if file.exists():
        former = file.stat()
        os.chown(number, former.st_uid, former.st_gid)
    elif not _SYSTEMD.exists():
        with contextlib.suppress(KeyError):
            owner = pwd.getpwnam(user)
            os.chown(number, owner.pw_uid, owner.pw_gid)


def _ask(place: _Place, wanted: Wanted) -> Given:
    body = {"token": wanted.token, "host": place.host, "machine": fingerprint(), "renew": wanted.renew}
    endpoint = Endpoint(place.output)
    try:
        answer = endpoint.ask(_ADDRESS, msgspec.json.encode(body))
    except Unreachable as error:
        raise NotJoined(f"{place.output.url}: {error}") from error
    finally:
        endpoint.close()
    if answer.status == 201:  # noqa: PLR2004 - created
        try:
            given = msgspec.json.decode(answer.text, type=Given)
        except msgspec.MsgspecError as error:
            raise NotJoined(f"{place.output.url} does not answer as a centre of Pantau") from error
        # escapes of JSON could still bring control characters into the settings and to the terminal
        if "" in (words := msgspec.structs.astuple(given)) or any(one_line(word) != word for word in words):
            raise NotJoined(f"{place.output.url} does not answer as a centre of Pantau")
        return given
    raise NotJoined(f"{place.output.url}: {_why(answer.status, answer.text, place.host)}")


def _why(status: int, text: str, host: str) -> str:
    if status in _WORDS:
        return _WORDS[status].format(host=host)
    with contextlib.suppress(msgspec.MsgspecError):
        text = one_line(msgspec.json.decode(text, type=_Refusal).message)
    return f"HTTP {status}: {text}"


def _settings(place: _Place, wanted: Wanted, given: Given) -> str:
    lines = [
        "# Written by `pantau-agent join`; yours to change. Every setting: docs/settings.md",
        "",
        "[output]",
        f"url = {_quoted(place.output.url)}",
        f"org = {_quoted(given.org)}",
        f"bucket = {_quoted(given.bucket)}",
        f"token = {{ {place.setting} = {_quoted(place.file.name)} }}",
        *([f"ca = {_quoted(place.output.ca)}"] if wanted.ca else []),
        "",
        "[agent]",
        f"host = {_quoted(given.host)}  # the token writes for this name only",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
