"""Empty Debians for tests: a root made by debootstrap from the mirror that apt uses here, kept over runs as a tar file."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from parts import require

_KEPT_OUT = ("./var/cache/apt/archives/*.deb", "./var/lib/apt/lists/*", "./dev/*", "./proc/*", "./sys/*")


def mirror() -> str:
    """Return the address from which apt gets the Debian of this machine, or what PANTAU_DEBIAN_MIRROR says; skip without one."""
    if chosen := os.environ.get("PANTAU_DEBIAN_MIRROR"):
        return chosen
    require("apt-get", "apt")
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(CREATED_BY) $(ORIGIN) $(SITE)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for line in told:
        match line.split():
            case ["Packages", "Debian", site]:
                return site
    pytest.skip("apt has no mirror of Debian here: set PANTAU_DEBIAN_MIRROR")


def root_of(suite: str, *packages: str) -> Path:
    """Return the tar file of an empty Debian with these packages, made the first time in one to four minutes; skip where it cannot be."""
    if os.geteuid() != 0:
        pytest.skip("a root of its own needs root")
    tool = require("debootstrap", "debootstrap")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pantau-tests")
    cache.mkdir(parents=True, exist_ok=True)
    name = f"{suite}-{hashlib.sha256(' '.join(packages).encode()).hexdigest()[:12]}"
    kept = cache / f"{name}.tar"
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be making it
        if not kept.exists():
            _make(tool, suite, packages, kept)
    return kept


def _make(tool, suite, packages, kept) -> None:
    folder = kept.with_suffix(".root")
    shutil.rmtree(folder, ignore_errors=True)
    include = f"--include={','.join(packages)}" if packages else "--include=libc-bin"
    try:
        subprocess.run(
            [tool, "--variant=minbase", include, suite, folder, mirror()],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, check=True,
        )  # fmt: skip
        part = kept.with_suffix(".part")
        left_out = [f"--exclude={one}" for one in _KEPT_OUT]
        subprocess.run(["tar", "--create", "--file", part, "--directory", folder, *left_out, "."], check=True)
        part.rename(kept)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"no empty {suite} can be made here and now: {tool}: {str(error.stdout)[-300:]}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unpacked(kept: Path, folder: Path) -> Path:
    """Unpack a root into ``folder``, which is not there yet, and return it."""
    folder.mkdir()
    subprocess.run(["tar", "--extract", "--file", kept, "--directory", folder], check=True)
    return folder
