"""Empty roots of other machines, in which packages are installed without a network."""

import os
import subprocess
import sys

import pytest
from debian import root_of

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}  # the Python of each Debian


def run(*command, check=True, **more):
    """Run a program; return how it ended, or fail with what it said."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=more.pop("timeout", 200), **more)
    assert not check or ended.returncode == 0, f"{command}: {ended.stdout}\n{ended.stderr}"
    return ended


def root_with_our_python():
    """Return the tar of an empty Debian whose Python is of the minor that runs this; skip where no Debian has it."""
    suite = SUITES.get(sys.version_info[:2])
    if suite is None:
        pytest.skip("no Debian here has this Python: run the tests with Python 3.11 or 3.13")
    return root_of(suite, "python3")


class Empty:
    """The root of another machine; ``call`` runs a command in it."""

    def __init__(self, folder, kept):
        self.folder = folder
        folder.mkdir()
        run("tar", "--extract", "--file", kept, "--directory", folder)
        for name, number in (("null", "3"), ("urandom", "9")):
            (folder / "dev" / name).unlink(missing_ok=True)
            run("mknod", "-m", "666", folder / "dev" / name, "c", "1", number)
        # it is thrown away, so nothing has to be safe on disk
        (folder / "etc/dpkg/dpkg.cfg.d/thrown-away").write_text("force-unsafe-io\n")

    def entering(self, *command, network=False):
        """Return the command that runs ``command`` with /proc and /sys of its own and, unless ``network``, without any network."""
        spaces = ["--mount", "--pid", "--fork", "--kill-child", *([] if network else ["--net"])]
        script = 'mount -t proc proc "$0/proc" && mount --rbind /sys "$0/sys" && exec env -i "PATH=$1" LC_ALL=C chroot "$0" "${@:2}"'
        return ["unshare", *spaces, "bash", "-c", script, str(self.folder), PATH, *map(str, command)]

    def call(self, *command, network=False, **more):
        """Run a command there; return how it ended."""
        return run(*self.entering(*command, network=network), **more)

    def has(self, name):
        return os.path.lexists(self.folder / name.removeprefix("/"))

    def file(self, name):
        return self.folder / name.removeprefix("/")

    def mode(self, name):
        """Return ``(owner, group, mode)`` of a file by the names that this machine knows."""
        return tuple(self.call("stat", "--format", "%U %G %a", name).stdout.split())
