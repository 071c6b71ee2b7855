"""Backups as a stranger meets them: a centre under load as its own user in a view of its own, commands as root, as it and as others.

Needs root for users and mount namespaces; folders are below /var/tmp, since a centre with a private /tmp sees no other.
"""

import contextlib
import shutil
import sqlite3
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
from house import CENTRE, OTHER, STRANGER, House, as_user, in_own_view, last_month
from parts import wait_for

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.may_block]


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
    # a folder of /tmp stands for all of it: this program may lie there itself
    with tempfile.TemporaryDirectory(dir="/tmp") as seen:
        with house.centre(*in_own_view(f"mount -t tmpfs none {seen}")):
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
            private = in_own_view(f"mount -t tmpfs none {seen}; mkdir {seen}/x")
            script = f'status=0; "$@" || status=$?; ls -A {seen}/x; exit $status'
            code, out, _ = house.run("backup", "--to", f"{seen}/x/own.tar", prefix=[*private, "sh", "-c", script, "sh"])
            assert code == 0
            assert out.splitlines()[1:] == ["own.tar"]
        assert owners(house.data) == {(CENTRE, CENTRE)}
        assert sorted(path.name for path in Path(seen).iterdir()) == ["copy.tar", "here.tar"]


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
