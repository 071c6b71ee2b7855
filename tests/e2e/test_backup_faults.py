"""What a disk, a kill and an impatient user do to a backup: one line, nothing of that name, and the next one works."""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from house import CENTRE, PANTAU, in_own_view
from parts import require, wait_for

from server.admin.backup_file import save
from server.admin.control_socket import coming_backup
from server.admin.manifest import BackupFailed

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.may_block]


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
            # tests that run behind a shell have SIGINT ignored, and so would what they start
            command = [
                "env",
                "--default-signal=INT",
                *PANTAU,
                "backup",
                "--to",
                str(folder / "copy.tar"),
                "--settings",
                str(house.settings),
            ]
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
