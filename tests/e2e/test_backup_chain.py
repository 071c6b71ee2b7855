"""Backups as a stranger meets them: a centre under load as its own user in a view of its own, commands as root, as it and as others.

Needs root for users and mount namespaces; folders are below /var/tmp, since a centre with a private /tmp sees no other.
"""

import contextlib
import datetime as dt
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from parts import daemon, free_port, require, wait_for

from alerts.tables import incident
from server.admin.backup_file import save
from server.admin.control_socket import coming_backup
from server.admin.manifest import BackupFailed
from server.state.database import Database
from server.state.migrate import upgrade
from server.state.tables import monitor_run, span, user

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.may_block]

CENTRE, OTHER, STRANGER = 61001, 61002, 61003
WIB = dt.timezone(dt.timedelta(hours=7))
HOUR = 3_600_000
SETTINGS = """
[server]
listen = "127.0.0.1:{port}"
data = "{data}"
[ingest]
tokens = [{{ name = "test", token = {{ file = "token" }} }}]
[[check]]
id = "portal-tcp"
service = "portal"
type = "tcp"
host = "127.0.0.1"
port = {port}
interval = "1s"
timeout = "1s"
counts = false
"""
SERVICES = """
[[agency]]
id = "kominfo"
name = "Dinas Kominfo"
[[service]]
id = "portal"
name = "Portal"
agency = "kominfo"
registered = 2020-01-01
"""
PANTAU = [sys.executable, "-m", "server.cli.main"]


def as_user(uid):
    return [require("setpriv", "util-linux"), f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


def in_own_view(script):
    """Return a command that runs a script of sh, then its arguments, in a mount namespace of its own."""
    return [
        require("unshare", "util-linux"),
        "-m",
        "--propagation",
        "private",
        "sh",
        "-ec",
        f'{script}; exec "$@"',
        "sh",
    ]


@pytest.fixture(autouse=True)
def _able():
    if os.geteuid() != 0:
        pytest.skip("other users and mount namespaces need root")
    for command in ([*as_user(CENTRE), *PANTAU, "--version"], [*in_own_view("mount -t tmpfs none /tmp"), "true"]):
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            pytest.skip(f"this machine does not allow it: {ended.stderr.strip()[-200:]}")


class House:
    """A folder with settings and ``data``; ``data`` is of the user ``CENTRE`` and closed to others."""

    def __init__(self, folder, name="data"):
        self.folder, self.data, self.port = folder, folder / name, free_port()
        self.settings = folder / f"{name}.toml"
        self.settings.write_text(SETTINGS.format(port=self.port, data=name))
        (folder / "services.toml").write_text(SERVICES)
        (folder / "token").write_text("made-up-token")
        self.log = folder / f"{name}.log"

    def make(self, uid):
        self.data.mkdir(mode=0o700)
        os.chown(self.data, uid, uid)

    def centre(self, *prefix, uid=CENTRE):
        command = [*prefix, *as_user(uid), *PANTAU, "server", "--settings", self.settings]
        return daemon(command, port=self.port, log=self.log, seconds=60, cwd=self.folder)

    def run(self, *words, prefix=(), cwd=None):
        """Run a command of ``pantau``; return its exit code, output and errors."""
        command = [*map(str, prefix), *PANTAU, *map(str, words), "--settings", str(self.settings)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd or self.folder)
        return ended.returncode, ended.stdout, ended.stderr

    def write(self, number):
        at = time.time_ns() - 10**9 * 3600 + number * 10**7
        lines = "\n".join(f"cpu,host=h{host} f={number}.5,g={host}i {at}" for host in range(200))
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v2/write?org=pantau&bucket=pantau",
            data=lines.encode(),
            headers={"Authorization": "Token made-up-token"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status


@pytest.fixture
def folder():
    made = Path(tempfile.mkdtemp(prefix="pantau-test-", dir="/var/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def house(folder):
    """A house with a state that has a past: a month with an outage, users and an incident."""
    made = House(folder)
    made.make(CENTRE)
    start = month_start()
    fell = start + 100 * HOUR
    with closing(Database(f"sqlite:///{made.data / 'state.db'}")) as database:
        upgrade(database.engine)
        with database.engine.begin() as tx:
            tx.execute(monitor_run.insert().values(start_ms=start, beat_ms=start + 32 * 24 * HOUR))
            for status, begin, end in (
                ("up", start, fell),
                ("down", fell, fell + HOUR),
                ("up", fell + HOUR, start + 600 * HOUR),
            ):
                tx.execute(
                    span.insert().values(
                        check_id="portal-http",
                        subject="service/portal",
                        status=status,
                        counts=True,
                        looks=9,
                        reason="ok" if status == "up" else "timeout",
                        start_ms=begin,
                        last_ms=end,
                        end_ms=end,
                    )
                )
            for name in ("sari", "budi"):
                tx.execute(user.insert().values(name=name, password="x", role="admin", created_ms=1, disabled=False))
            tx.execute(
                incident.insert().values(
                    check_id="portal-tcp",
                    subject="service/portal",
                    status="down",
                    severity="high",
                    reason="timeout",
                    opened_ms=fell,
                    confirmed_ms=fell,
                    closed_ms=fell + HOUR,
                    close_reason="recovered",
                )
            )
    for file in made.data.iterdir():
        os.chown(file, CENTRE, CENTRE)
        file.chmod(0o600)
    return made


def last_month():
    return dt.datetime.fromtimestamp(time.time(), WIB).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    ) - dt.timedelta(days=1)


def month_start():
    return int(last_month().replace(day=1).timestamp() * 1000)


def report(house, prefix=()):
    code, out, err = house.run("report", "--month", f"{last_month():%Y-%m}", "--format", "json", prefix=prefix)
    assert (code, err) == (0, "")
    assert '"outages":[{' in out
    return out


def users(file):
    with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as state:
        return state.execute("SELECT * FROM user ORDER BY id").fetchall()


@contextlib.contextmanager
def load(house):
    """Write all the time; yields the count of acknowledged writes."""
    done, count = threading.Event(), [0]

    def write():
        while not done.is_set():
            assert house.write(count[0]) == 204
            count[0] += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield count
    finally:
        done.set()
        thread.join()


def owners(folder):
    return {(path.stat().st_uid, path.stat().st_gid) for path in (folder, *folder.rglob("*"))}


def modes(folder):
    return {(path.is_dir(), path.stat().st_mode & 0o777) for path in (folder, *folder.rglob("*"))}


def test_a_backup_under_load_comes_back_as_another_user_with_the_same_report_series_and_users(house, folder):
    saved = [folder / "saved.tar", folder / "saved"]
    with house.centre(), load(house) as count:
        wait_for(lambda: count[0] > 20, 60, "some writes")
        for to in saved:
            before = count[0]
            code, out, err = house.run("backup", "--to", to)
            assert (code, err) == (0, "")
            assert out.startswith(f"{to}: ")
            wait_for(lambda b=before: count[0] > b, 60, "writes that go on")
        told = report(house, as_user(CENTRE))
    assert users(house.data / "state.db")[0][1] == "sari"
    assert saved[0].stat().st_mode & 0o777 == 0o600
    assert modes(saved[1]) == {(True, 0o700), (False, 0o600)}
    for number, source in enumerate(saved):
        other = House(folder, f"other{number}")
        other.make(OTHER)
        code, out, err = other.run("restore", "--from", source)
        assert (code, err) == (0, "")
        assert f"belongs to user {OTHER}" in out
        assert " series, as it was at 20" in out
        assert owners(other.data) == {(OTHER, OTHER)}
        assert modes(other.data) <= {(True, 0o700), (False, 0o600)}
        assert users(other.data / "state.db") == users(house.data / "state.db")
        assert report(other, as_user(OTHER)) == told
        code, _, err = other.run("restore", "--from", source)
        assert (code, err) == (1, f"pantau: {other.data} is not empty: move it away first\n")
        with other.centre(uid=OTHER):
            assert other.write(0) == 204
            code, _, err = other.run("restore", "--from", source)
            assert (code, err) == (1, f"pantau: a centre runs on {other.data}: stop it first\n")
        assert owners(other.data) == {(OTHER, OTHER)}
        code, out, err = house.run("restore", "--drill", "--from", source, "--in", folder)
        assert (code, err) == (0, "")
        assert {"users: 2", "incidents: 1"} <= set(out.splitlines())
        assert out.endswith(f"{source} can be restored\n")
    assert not [path for path in folder.iterdir() if path.name.startswith("pantau-drill-")]


def test_a_centre_with_a_private_tmp_puts_nothing_there_and_the_command_writes_where_it_stands(house):
    with tempfile.TemporaryDirectory(dir="/tmp") as seen:
        with house.centre(*in_own_view("mount -t tmpfs none /tmp")):
            assert house.run("backup", "--to", f"{seen}/copy.tar")[0] == 0
            assert (Path(seen) / "copy.tar").stat().st_uid == 0
            # relative paths are those of the command
            assert house.run("backup", "--to", "here.tar", cwd=seen)[0] == 0
            assert (Path(seen) / "here.tar").is_file()
            Path(seen).chmod(0o755)
            code, out, err = house.run("backup", "--to", f"{seen}/no.tar", prefix=as_user(CENTRE))
            assert (code, out, err) == (1, "", f"pantau: cannot write {seen}/no.tar: Permission denied\n")
            code, out, err = house.run("backup", "--to", "/var/tmp/no.tar", prefix=as_user(STRANGER))
            assert (code, out) == (1, "")
            assert "run this as the folder's owner or as root" in err
            # the view of the command is another one than ours and the centre's
            private = in_own_view("mount -t tmpfs none /tmp; mkdir /tmp/x")
            script = 'status=0; "$@" || status=$?; ls -A /tmp/x; exit $status'
            code, out, _ = house.run("backup", "--to", "/tmp/x/own.tar", prefix=[*private, "sh", "-c", script, "sh"])
            assert code == 0
            assert out.splitlines()[1:] == ["own.tar"]
        assert owners(house.data) == {(CENTRE, CENTRE)}
        assert sorted(path.name for path in Path(seen).iterdir()) == ["copy.tar", "here.tar"]


@pytest.mark.parametrize("name", ["copy", "copy.tar"])
def test_a_full_disk_at_the_target_is_one_line_and_leaves_nothing(house, name):
    view = in_own_view("mount -t tmpfs -o size=200k none /mnt")
    script = 'status=0; "$@" || status=$?; ls -A /mnt; exit $status'
    with house.centre():
        code, out, err = house.run("backup", "--to", f"/mnt/{name}", prefix=[*view, "sh", "-c", script, "sh"])
        assert (code, out, err) == (1, "", f"pantau: cannot write /mnt/{name}: No space left on device\n")
        assert house.run("backup", "--to", house.folder / "copy.tar")[0] == 0
        assert not (house.data / "backup.scratch").exists()


def test_a_full_disk_of_the_centre_is_one_line_and_it_lives_on(house, folder):
    kept = folder / "kept"
    shutil.copytree(house.data, kept)
    view = in_own_view(
        f"mount -t tmpfs -o size=24m,mode=700,uid={CENTRE},gid={CENTRE} none {house.data};"
        f" cp -a {kept}/. {house.data}; chown -R {CENTRE}:{CENTRE} {house.data}"
    )
    with house.centre(*view) as process:
        inside = [require("nsenter", "util-linux"), "-t", str(process.pid), "-m"]
        fill = (
            f"dd if=/dev/zero of={house.data}/filler bs=64k 2>/dev/null; rm {house.data}/filler.hole 2>/dev/null; true"
        )
        subprocess.run([*inside, "sh", "-c", fill], check=True)
        code, out, err = house.run("backup", "--to", folder / "copy.tar", prefix=inside)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert err.startswith("pantau: cannot write the backup: ")
        subprocess.run([*inside, "rm", str(house.data / "filler")], check=True)
        assert subprocess.run([*inside, "test", "-e", str(house.data / "backup.scratch")]).returncode == 1
        code, _, err = house.run("backup", "--to", folder / "copy.tar", prefix=inside)
        assert (code, err) == (0, "")
        assert process.poll() is None
    assert (folder / "copy.tar").is_file()


def test_a_centre_that_is_killed_in_the_middle_leaves_nothing_of_that_name(house, folder):
    with house.centre() as process:
        for number in range(50):
            house.write(number)
        with coming_backup(house.data) as coming:
            coming.read(1)
            os.killpg(process.pid, signal.SIGKILL)
            with pytest.raises(BackupFailed, match="the backup broke off: the centre stopped"):
                save(coming, folder / "copy.tar")
    assert not (folder / "copy.tar").exists()
    assert (house.data / "backup.scratch").exists()
    with house.centre():
        assert not (house.data / "backup.scratch").exists()
        assert house.run("backup", "--to", folder / "copy.tar")[0] == 0
        house.run("backup", "--last")


def test_a_command_that_is_ended_leaves_nothing_and_the_next_one_works(house, folder):
    with house.centre() as process:
        for sign, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)):
            os.kill(process.pid, signal.SIGSTOP)  # so that it cannot be done before it is ended
            command = [*PANTAU, "backup", "--to", str(folder / "copy.tar"), "--settings", str(house.settings)]
            asking = subprocess.Popen(command, cwd=house.folder)
            wait_for(lambda a=asking: connected(a.pid), 30, "the command to ask")
            asking.send_signal(sign)
            assert asking.wait(60) == code
            os.kill(process.pid, signal.SIGCONT)
        assert not (folder / "copy.tar").exists()
        wait_for(lambda: house.run("backup", "--to", folder / "copy.tar")[0] == 0, 60, "a backup")


def connected(pid):
    with contextlib.suppress(OSError):
        return any(str(link.readlink()).startswith("socket:") for link in Path(f"/proc/{pid}/fd").iterdir())
    return False


def test_without_a_centre_root_leaves_nothing_of_its_own_in_the_data(house, folder):
    with house.centre():
        house.write(1)
    code, out, err = house.run("backup", "--to", folder / "copy.tar")
    assert (code, err) == (0, "")
    assert (folder / "copy.tar").stat().st_uid == 0
    assert owners(house.data) == {(CENTRE, CENTRE)}
    code, out, err = house.run("backup", "--to", folder / "no.tar", prefix=as_user(STRANGER))
    assert (code, out, err.count("\n")) == (1, "", 1)
    # what the line of a damaged state says, as root; the folder is gone, so whose it is to be is said
    house.data.rename(folder / "data.damaged")
    code, out, err = house.run("restore", "--from", folder / "copy.tar", "--owner", "nobody")
    assert (code, err) == (0, "")
    assert out.rstrip().endswith("belongs to nobody")
    assert {uid for uid, _ in owners(house.data)} == {65534}
    shutil.rmtree(house.data)
    code, _, err = house.run("restore", "--from", folder / "copy.tar", "--owner", "no-such-user")
    assert (code, err) == (1, "pantau: there is no user 'no-such-user'\n")


def test_a_restore_is_refused_while_the_centre_runs_on_the_folder_that_was_moved_away(house, folder):
    with house.centre():
        assert house.run("backup", "--to", folder / "copy.tar")[0] == 0
        house.data.rename(folder / "data.damaged")
        code, _, err = house.run("restore", "--from", folder / "copy.tar")
        assert (code, err) == (1, f"pantau: a centre runs on {folder / 'data.damaged'}: stop it first\n")
        (folder / "data.damaged").rename(house.data)


def test_a_drill_says_what_is_wrong_and_where_room_lacks(house, folder):
    assert house.run("backup", "--to", folder / "copy.tar")[0] == 0
    whole = (folder / "copy.tar").read_bytes()
    at = whole.index(b"SQLite format 3") + 3000
    (folder / "bad.tar").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    code, out, err = house.run("restore", "--drill", "--from", folder / "bad.tar", "--in", folder)
    assert (code, err) == (1, f"pantau: {folder / 'bad.tar'}: state.db is missing or not as it was written\n")
    assert "can be restored" not in out
    view = in_own_view("mount -t tmpfs -o size=64k none /mnt")
    code, _, err = house.run("restore", "--drill", "--from", folder / "copy.tar", "--in", "/mnt", prefix=view)
    assert code == 1
    assert "MB are free: name another folder with --in" in err
    assert sorted(path.name for path in folder.iterdir() if "drill" in path.name) == []
