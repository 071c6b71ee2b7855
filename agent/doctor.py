"""``pantau-agent doctor``: looks at everything between this host's kernel and the centre, and says how to mend what fails.

It changes nothing and sends one empty write. The functions return findings; ``examine`` puts them into their order.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import pwd
import shlex
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from agent import settings
from agent.clock import Clock
from agent.findings import Finding
from agent.gather import Unit
from agent.machine import fingerprint
from agent.packing import pack
from agent.post import Answer, Endpoint, Unreachable
from agent.resolve import Names
from agent.settings import Settings
from agent.version import VERSION, apart
from collectors.host import COLLECTORS, Roots
from configs.plugin import find
from configs.read import SettingsError
from configs.secret import Secret, SecretUnreadable

_USER: Final = "pantau-agent"
_FILE: Final = Path("/etc/pantau/agent.toml")
_UNIT: Final = "pantau-agent.service"
_SYSTEMD: Final = Path("/run/systemd/system")
_NAME_SECONDS: Final = 5.0
_CLOCK_MS: Final = 2000
_BEHIND_MS: Final = 5 * 60_000
_PATIENCE: Final = 10.0
_EXAMPLES: Final = Path(__file__).parents[1] / "configs/systemd" / f"{_UNIT}.d"
_INSTALLED: Final = Path("/etc/systemd/system", f"{_UNIT}.d")
# collector -> the drop-in that gives it its rights
_DROP_INS: Final = {
    "docker": "docker", "exec": "exec", "journald": "logs", "procstat": "procstat", "smart": "smart", "timex": "timex",
    "weblog": "logs", "x509_cert": "certificates",
}  # fmt: skip
# a program -> the package that has it
_PACKAGES: Final = {"chronyc": "chrony", "smartctl": "smartmontools"}
# collector -> what brings what it reads
_BRINGS: Final = {"conntrack": "modprobe nf_conntrack"}


def examine(file: Path, become: Callable[[], None] = lambda: None) -> Iterator[Finding]:
    """Yield what is found, as it is found. ``become`` makes this process what the service is, once its secrets were read."""
    try:
        found = settings.read(file)
    except SettingsError as error:
        if not file.exists():
            yield Finding("bad", "settings_missing", {"file": str(file)}, ("pantau-agent join URL",))
        else:
            yield Finding(
                "bad",
                "settings_bad",
                {"why": "; ".join(str(one) for one in error.faults)},
                (f"pantau-agent --settings {file} --check",),
            )
        return
    yield Finding("well", "settings", {"file": str(file)})
    yield from token(found.output.token, file)
    yield from centre(found, file, Clock())
    yield from service(found.state_dir, file)
    yield from spool(found, time.time_ns() // 1_000_000)
    yield from collectors(found, file, become)


def token(secret: Secret | None, file: Path) -> Iterator[Finding]:
    """Look at the token: there, readable, and by nobody else."""
    if secret is None:
        yield Finding("note", "token_none")
        return
    try:
        secret.reveal()
    except SecretUnreadable as error:
        yield Finding("bad", "token_bad", {"why": str(error)}, (f"pantau-agent join --settings {file} --renew",))
        return
    place, name = secret.place
    kept = Path(name) if place == "file" else Path(os.environ.get("CREDENTIALS_DIRECTORY", ""), name)
    if place != "env" and kept.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding("bad", "token_open", {"file": str(kept)}, (f"chmod 600 {shlex.quote(str(kept))}",))
    else:
        yield Finding("well", "token")


def centre(settings: Settings, file: Path, clock: Clock) -> Iterator[Finding]:
    """Look at the way to the centre: name, connection, token, clock."""
    url = settings.output.url
    host = urlsplit(url).hostname or ""
    known, why = _resolve(host)
    if not known:
        yield Finding("bad", "name_bad", {"host": host, "why": why}, (f"getent hosts {host}",))
        return
    yield Finding("well", "name", {"host": host, "address": known})
    endpoint = Endpoint(settings.output, fingerprint())
    began = clock.monotonic()
    try:
        answer = endpoint.post(pack([]))
    except Unreachable as error:
        yield Finding("bad", "centre_away", {"url": url, "why": str(error)}, (f"curl -v {url}/ping",))
        return
    finally:
        endpoint.close()
    if answer.date is not None:
        clock.compare(answer.date, clock.monotonic() - began)
    yield _judged(answer, settings, file)
    if apart(VERSION, answer.version):
        yield Finding("note", "versions", {"ours": VERSION, "theirs": answer.version})
    if clock.offset_ms is not None:
        off = {"offset": round(clock.offset_ms / 1000, 1)}
        if abs(clock.offset_ms) > _CLOCK_MS:
            yield Finding("bad", "clock_bad", off, ("timedatectl set-ntp true",))
        else:
            yield Finding("well", "clock", off)


def _judged(answer: Answer, found: Settings, file: Path) -> Finding:
    said: dict[str, str | int | float] = {"url": found.output.url, "why": answer.text, "file": str(file)}
    again = f"pantau-agent join --settings {file} --renew"
    match answer.status:
        case 200 | 204 | 400 if not answer.html:  # an InfluxDB may mind that the write is empty
            return Finding("well", "centre", said)
        case 401:
            return Finding("bad", "centre_token", said, (again,))
        case 403:
            return Finding(
                "bad", "centre_machine", said | {"host": found.tags["host"]}, ("hostnamectl set-hostname NAME", again)
            )
        case 404:
            return Finding("bad", "centre_bucket", said)
    return Finding("bad", "centre_odd", said | {"status": answer.status}, (f"curl -v {found.output.url}/ping",))


def _resolve(host: str) -> tuple[str, str]:
    """Return an address, or "" and why not; never waits longer than a few seconds."""
    try:
        return str(Names().find(host, 0, _NAME_SECONDS)[0].address[0]), ""
    except OSError as error:
        return "", error.strerror or str(error)


def service(folder: Path, file: Path, *, user: str = _USER, systemd: Path = _SYSTEMD) -> Iterator[Finding]:
    """Look whether the agent runs: whether somebody holds the lock of its state folder.

    ``user`` is whom the service belongs to, ``systemd`` the folder that is there where systemd runs.
    """
    start = _start(file, user, systemd)
    try:
        with (folder / "lock").open(encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                yield Finding("well", "running", {"process": lock.read().strip() or "?"})
                return
    except PermissionError as error:
        yield Finding("note", "folder_bad", {"folder": str(folder), "why": error.strerror or ""})
        return
    except OSError:
        pass  # it never ran
    yield Finding("bad", "running_not", mend=(start,))


def _start(file: Path, user: str, systemd: Path) -> str:
    """Return the command that starts the agent with these settings: as the service where it is one."""
    if systemd.exists() and file == _FILE:
        return f"systemctl enable --now {_UNIT}"
    agent = "pantau-agent" if file == _FILE else f"pantau-agent --settings {shlex.quote(str(file))}"
    try:
        pwd.getpwnam(user)
    except KeyError:
        return f"{agent} &"
    return f"setpriv --reuid={user} --regid={user} --clear-groups {agent} &"


def spool(settings: Settings, now: int) -> Iterator[Finding]:
    """Look at the state folder and what waits in it; ``now`` is ms since epoch."""
    folder, file = settings.state_dir, settings.state_dir / "spool.db"
    if not folder.is_dir():
        return
    owner = folder.stat().st_uid
    for one in folder.iterdir():
        if one.stat().st_uid != owner:
            mend = f"chown -R --reference={shlex.quote(str(folder))} {shlex.quote(str(folder))}"
            yield Finding("bad", "folder_owner", {"file": str(one)}, (mend,))
            break
    free = shutil.disk_usage(folder).free
    if free < settings.spool.min_free:
        yield Finding("bad", "disk_full", {"folder": str(folder), "free": free // 1_000_000}, (f"df -h {folder}",))
    corrupt = file.with_name(file.name + ".corrupt")
    if corrupt.exists():
        yield Finding("note", "spool_corrupt", {"file": str(corrupt)}, (f"rm {shlex.quote(str(corrupt))}",))
    for aside in sorted(folder.glob(f"{file.name}.layout*[0-9]")):
        yield Finding("note", "spool_newer", {"file": str(aside)})
    if file.exists():
        try:
            yield from _waiting(file, now)
        except sqlite3.Error as error:
            yield Finding("note", "spool_unread", {"why": str(error)})


def _waiting(file: Path, now: int) -> Iterator[Finding]:
    # a file that nobody has open is read without leaving anything beside it, which would be root's
    how = "mode=ro" if file.with_name(file.name + "-wal").exists() else "immutable=1"
    with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True, timeout=2)) as db:
        lines, oldest = db.execute("SELECT COALESCE(SUM(lines), 0), MIN(made) FROM batch").fetchone()
        dropped, quarantined, rejected = db.execute("SELECT dropped, quarantined, rejected FROM tally").fetchone()
    age = 0 if oldest is None else now - oldest
    if age > _BEHIND_MS:
        yield Finding("bad", "spool_behind", {"waiting": lines, "minutes": age // 60_000})
    else:
        yield Finding("well", "spool", {"waiting": lines})
    if dropped:
        yield Finding("note", "spool_lost", {"dropped": dropped})
    if quarantined or rejected:
        mend = f"journalctl -u {_UNIT} -p err"
        yield Finding("note", "spool_refused", {"quarantined": quarantined, "rejected": rejected}, (mend,))


def collectors(settings: Settings, file: Path, become: Callable[[], None]) -> Iterator[Finding]:
    """Let every collector read once, those with a drop-in before ``become``; then those that the settings do not ask for."""
    units = list(settings.units)
    free = [unit for unit in units if _drop_in(unit.name).exists()]
    answers = _read(free)
    become()
    answers |= _read(unit for unit in units if unit not in free)
    if good := [name for name, error in answers.items() if error is None]:
        yield Finding("well", "collects", {"names": ", ".join(good)})
    for name, error in answers.items():
        if error is not None:
            yield _explained(name, error)
    others = _read(_unasked(units))
    able = [name for name, error in others.items() if error is None]
    absent = [name for name, error in others.items() if error is not None]
    if able:
        folder = file.with_suffix(
            ".d"
        ).absolute()  # in agent.toml itself they would stand in the place of the default set
        asking = f"mkdir -p {folder} && printf '[collectors.%s]\\n' {' '.join(able)} >> {folder}/more.toml"
        yield Finding("note", "could", {"names": ", ".join(able)}, (asking,))
    if absent:
        yield Finding("note", "absent", {"names": ", ".join(absent)})


def _read(units: Iterable[Unit]) -> dict[str, Exception | None]:
    """Return name -> why it failed, or None."""

    async def all_of() -> dict[str, Exception | None]:
        wanted = list(units)
        return dict(zip((unit.name for unit in wanted), await asyncio.gather(*map(_once, wanted)), strict=True))

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(all_of())
    finally:
        loop.close()  # unlike asyncio.run, this does not wait for a thread in which a reading hangs


async def _once(unit: Unit) -> Exception | None:
    task = asyncio.ensure_future(unit.collector.collect(time.time_ns()))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait({task}, timeout=unit.timeout)
    if not task.done():
        return TimeoutError(errno.ETIMEDOUT, f"no end within {unit.timeout:g} s")
    error = task.exception()
    return error if error is None or isinstance(error, Exception) else RuntimeError(type(error).__name__)


def _unasked(units: Iterable[Unit]) -> Iterator[Unit]:
    asked = {type(unit.collector) for unit in units}
    for name in COLLECTORS:
        kind, options = find("collector", name, COLLECTORS)
        with contextlib.suppress(TypeError, ValueError):  # one that needs to be told something cannot be tried
            if kind not in asked:
                yield Unit(name, kind(options(), Roots()), _PATIENCE, _PATIENCE)


def _explained(name: str, error: Exception) -> Finding:
    said: Mapping[str, str | int | float] = {
        "name": name,
        "why": f"{type(error).__name__}: {error}",
        "seconds": _PATIENCE,
    }
    if isinstance(error, TimeoutError):
        return Finding("bad", "slow", said)
    if not isinstance(error, OSError):
        return Finding("bad", "fails", said)
    said = {"name": name, "what": str(error.filename or error.strerror or error), "why": error.strerror or str(error)}
    if error.errno in {errno.EACCES, errno.EPERM}:
        return Finding("bad", "forbidden", said, _rights(name))
    if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO}:
        return Finding("bad", "lacks", said, _brings(name, str(error.filename or "")))
    return Finding("bad", "fails", said)


def _drop_in(name: str) -> Path:
    return _INSTALLED / f"{_DROP_INS.get(name, name)}.conf"


def _rights(name: str) -> tuple[str, ...]:
    if name not in _DROP_INS:
        return ()
    example = _EXAMPLES / f"{_DROP_INS[name]}.conf.example"
    return (f"install -D -m 644 {example} {_drop_in(name)}", f"systemctl daemon-reload && systemctl restart {_UNIT}")


def _brings(name: str, missing: str) -> tuple[str, ...]:
    if missing in _PACKAGES:
        return (f"{'dnf' if shutil.which('dnf') else 'apt-get'} install {_PACKAGES[missing]}",)
    return (_BRINGS[name],) if name in _BRINGS else ()


def become_service() -> None:
    """As root, turn this process into the service's user, so that collectors see what they see there."""
    if os.geteuid() != 0:
        return
    with contextlib.suppress(KeyError):
        user = pwd.getpwnam(_USER)
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
