"""Empty roots of other machines, made by debootstrap and kept over runs, in which packages are installed without a network."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from parts import require

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(*command, check=True, **more):
    """Run a program; return how it ended, or fail with what it said."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=more.pop("timeout", 200), **more)
    assert not check or ended.returncode == 0, f"{command}: {ended.stdout}\n{ended.stderr}"
    return ended


def mirror():
    """Return (address, suite) of the first source of packages that apt has on this machine."""
    fields = "$(SITE) $(CODENAME)"
    told = run("apt-get", "indextargets", "--format", fields, "Created-By: Packages").stdout.split("\n")
    address, suite = next(line.split() for line in told if line and "-" not in line.split()[1])
    return address, suite


def kept_root(folder):
    """Return the tar of an empty Debian with Python, of the suite of this machine; made in ``folder`` the first time: a minute."""
    if os.geteuid() != 0:
        pytest.skip("installing into an empty root needs root")
    tool = require("debootstrap", "debootstrap")
    require("unshare", "util-linux")
    require("apt-get", "apt")
    address, suite = mirror()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pantau-tests")
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / f"root-{suite}.tar"
    if not kept.exists():
        root = folder / "root"
        made = run(tool, "--variant=minbase", "--include=python3", suite, root, address, timeout=900, check=False)
        if made.returncode:
            pytest.skip(f"no empty Debian can be made here and now: {tool}: {made.stdout[-300:]}")
        fresh = kept.with_suffix(f".{os.getpid()}")
        left_out = ("--exclude=./var/cache/apt/*", "--exclude=./dev/*")
        run("tar", "--create", "--file", fresh, "--directory", root, *left_out, ".")
        fresh.rename(kept)
        shutil.rmtree(root)
    return kept


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
