"""The root of another machine: an empty Debian without Python, to install packages into and run them."""

import os
import shutil
import subprocess

from debian import root_of, unpacked
from parts import require

# the suite -> what it has beyond the least that Debian is; none of it has a Python
SUITES = {"bullseye": (), "bookworm": ("rpm",), "trixie": ()}


def run(*command, **more):
    """Run a program; return what it did, or fail with what it said."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=more.pop("timeout", 400), **more)
    assert ended.returncode == 0, f"{command}: {ended.stdout}\n{ended.stderr}"
    return ended


class Root:
    """The root of another machine; ``call`` runs a command in it."""

    def __init__(self, folder, suite):
        require("unshare", "util-linux")
        self.folder = unpacked(root_of(suite, *SUITES[suite]), folder)
        (folder / "dev/null").unlink(missing_ok=True)
        run("mknod", "-m", "666", folder / "dev/null", "c", "1", "3")
        run("mknod", "-m", "666", folder / "dev/urandom", "c", "1", "9")
        # it is thrown away, so nothing has to be safe on disk
        (folder / "etc/dpkg/dpkg.cfg.d").mkdir(parents=True, exist_ok=True)
        (folder / "etc/dpkg/dpkg.cfg.d/thrown-away").write_text("force-unsafe-io\n")
        (folder / "etc/hosts").write_text("127.0.0.1 localhost\n")

    def call(self, *command, network=False, check=True, timeout=200):
        """Run with /proc and /sys of its own name space and, unless ``network``, without any network."""
        spaces = ["--mount", "--pid", "--fork", *([] if network else ["--net"])]
        script = 'mount -t proc proc "$0/proc" && mount --rbind /sys "$0/sys" && exec chroot "$0" "$@"'
        ended = subprocess.run(
            ["unshare", *spaces, "sh", "-c", script, self.folder, *command],
            capture_output=True,
            text=True,
            timeout=timeout,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )
        assert not check or ended.returncode == 0, f"{command}: {ended.stdout}\n{ended.stderr}"
        return ended

    def bring(self, file, name):
        """Put a file of this machine into it as ``name``."""
        shutil.copy(file, self.folder / name.removeprefix("/"))

    def has(self, name):
        """Tell whether there is such a file, even a link to nowhere."""
        return os.path.lexists(self.folder / name.removeprefix("/"))

    def remove(self):
        """Delete it."""
        shutil.rmtree(self.folder)
