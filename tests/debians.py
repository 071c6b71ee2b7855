"""Empty Debians to install packages into: a root each, made once by debootstrap and kept over runs in the user's cache."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from parts import require

# the suite -> what it has beyond the least that Debian is; none of it has a Python
SUITES = {"bullseye": (), "bookworm": ("rpm",), "trixie": ()}


def run(*command, **more):
    """Run a program; return what it did, or fail with what it said."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=more.pop("timeout", 200), **more)
    assert ended.returncode == 0, f"{command}: {ended.stdout}\n{ended.stderr}"
    return ended


def mirror():
    """Return the address of the first Debian that apt has on this machine, or the one that the environment names."""
    if given := os.environ.get("PANTAU_DEBIAN_MIRROR"):
        return given.split()[0]
    fields = "$(SITE) $(ORIGIN)"
    told = run("apt-get", "indextargets", "--format", fields, "Created-By: Packages").stdout.splitlines()
    sites = [line.split()[0] for line in told if line.endswith(" Debian")]
    return sites[0] if sites else pytest.skip("apt has no mirror of Debian here: set PANTAU_DEBIAN_MIRROR")


def kept_root(suite):
    """Return the tar of an empty Debian; the first time, fetching it takes a minute."""
    if os.geteuid() != 0:
        pytest.skip("installing into an empty root needs root")
    tool = require("debootstrap", "debootstrap")
    require("unshare", "util-linux")
    require("apt-get", "apt")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pantau-tests")
    cache.mkdir(parents=True, exist_ok=True)
    more = SUITES[suite]
    kept = cache / f"{'-'.join((suite, 'without-python', *more))}.tar"
    if kept.exists():
        return kept
    with tempfile.TemporaryDirectory() as folder:
        root, packages = Path(folder, "root"), [f"--include={','.join(more)}"] if more else []
        command = [tool, "--variant=minbase", *packages, suite, root, mirror()]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=900)
        except subprocess.TimeoutExpired:
            pytest.skip(f"debootstrap could not make {suite} here and now")
        if ended.returncode:
            pytest.skip(f"debootstrap could not make {suite} here and now: {ended.stdout[-300:]}")
        fresh = kept.with_suffix(f".{os.getpid()}")
        leave = ["--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*", "--exclude=./dev/*"]
        run("tar", "--create", "--file", fresh, "--directory", root, *leave, ".")
        fresh.rename(kept)
    return kept


class Root:
    """The root of another machine; ``call`` runs a command in it."""

    def __init__(self, folder, suite):
        kept = kept_root(suite)
        self.folder = folder
        folder.mkdir()
        run("tar", "--extract", "--file", kept, "--directory", folder)
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
