"""The packages of this source tree, built once for what they are made of and kept over runs."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from parts import require

ROOT = Path(__file__).parents[1]
_PARTS = ("agent", "alerts", "collectors", "configs", "server")
_FILES = ("pyproject.toml", "requirements.txt", "README.md", "LICENSE", "docs/manual.py")
_SCRIPTS = ("configs/package/build.sh", "configs/centre/build.sh")


def built() -> Path:
    """Return the folder with all packages of the agent and of the centre; skip where they cannot be made."""
    require("dpkg-deb", "dpkg")
    require("rpmbuild", "rpm")
    require_interpreter()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pantau-tests")
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / f"packages-{_digest()}"
    with (cache / "packages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be making them
        if not kept.exists():
            for old in cache.glob("packages-*"):
                shutil.rmtree(old)
            _make(kept)
    return kept


def require_interpreter() -> None:
    """Skip where the interpreter of the agent's packages is not built: that takes minutes, which are not a test's to spend."""
    recipe = ROOT / "configs/package/interpreter/build.sh"
    kept = subprocess.run(["sh", recipe, "--where"], capture_output=True, text=True, check=True).stdout.strip()
    if not Path(kept).exists():
        pytest.skip("the agent's interpreter is not built: make agent-interpreter")


def deb(name: str) -> Path:
    """Return the .deb called ``name`` for this machine."""
    (found,) = built().glob(f"{name}_*.deb")
    return found


def _make(kept: Path) -> None:
    top = kept.with_suffix(".source")
    shutil.rmtree(top, ignore_errors=True)
    copy_sources(top)
    for script in _SCRIPTS:
        made = subprocess.run(["sh", top / script, sys.executable], capture_output=True, text=True, timeout=1500)
        if made.returncode and "Retrying (" in made.stderr:  # pip's word for a network that fails
            pytest.skip(f"the packages cannot be made now, the network fails: {made.stderr[-300:]}")
        assert made.returncode == 0, f"{script}: {made.stdout[-1000:]}{made.stderr[-2000:]}"
    (top / "dist").rename(kept)
    shutil.rmtree(top)


def copy_sources(top: Path) -> None:
    """Put what packages are made of into ``top``, without what comes of running it."""
    top.mkdir(parents=True)
    for part in _PARTS:
        shutil.copytree(ROOT / part, top / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _FILES:
        (top / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, top / name)


def _digest() -> str:
    whole = hashlib.sha256()
    files = [path for part in _PARTS for path in sorted((ROOT / part).rglob("*")) if path.is_file()]
    for path in [*files, *(ROOT / name for name in _FILES)]:
        if "__pycache__" not in path.parts:
            whole.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return whole.hexdigest()[:16]
