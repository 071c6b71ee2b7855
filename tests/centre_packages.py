"""The centre's packages, built once for the tests that install them."""

import shutil
import sys
from pathlib import Path

import pytest
from parts import require
from roots import run

ROOT = Path(__file__).parents[1]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def build_packages(folder):
    """Build both out of a copy of the source in ``folder``; return the .deb and the tar.gz."""
    require("dpkg-deb", "dpkg")
    top = folder / "source"
    for name in ("agent", "alerts", "collectors", "configs", "server"):
        shutil.copytree(ROOT / name, top / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, top)
    built = run("sh", top / "configs/centre/build.sh", sys.executable, timeout=900, check=False)
    if built.returncode and "Retrying (" in built.stderr:  # pip's word for a network that fails
        pytest.skip(f"the wheels cannot be fetched now, the network fails: {built.stderr[-300:]}")
    assert built.returncode == 0, built.stderr
    return next((top / "dist").glob("*.deb")), next((top / "dist").glob("*.tar.gz"))
