"""Lays the centre's private environment, ROOT/opt/pantau, out of the wheels beside this file: no pip, no network.

python3 lay.py --root ROOT [--home FOLDER] [--python PATH]

Each wheel must be the one that ``wheels.sha256`` names. The environment is a virtual one of the Python that runs this (or of the
one at PATH, of the same minor), compiled for where it will be: /opt/pantau. FOLDER (default opt/pantau) is where it is laid first.
"""

import argparse
import compileall
import hashlib
import os
import py_compile
import shutil
import sys
import time
import zipfile
from pathlib import Path

HOME = "/opt/pantau"
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
LAUNCHER = f"""#!{HOME}/bin/python3 -I
import sys

from server.cli.main import main

sys.exit(main())
"""


def main() -> int:
    """Lay the environment; 1 and one line when a wheel is not what it should be."""
    parser = argparse.ArgumentParser(description="Lay the centre's private environment.")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--home", default=HOME[1:])
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    arguments = parser.parse_args()
    bundle = Path(__file__).resolve().parent
    try:
        wheels = verified(bundle)
    except ValueError as error:
        print(f"pantau: {error}", file=sys.stderr)
        return 1
    home = arguments.root / arguments.home
    shutil.rmtree(home, ignore_errors=True)
    site = home / f"lib/python{MINOR}/site-packages"
    site.mkdir(parents=True)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    interpreter(home, arguments.python)
    shutil.copytree(bundle / "share", home / "share")
    date(home)
    compiled(site)
    return 0


def verified(bundle: Path) -> list[Path]:
    """Return the wheels of a bundle; ValueError when one is damaged, missing, not named, or cannot be just unpacked."""
    lines = (bundle / "wheels.sha256").read_text(encoding="ascii").splitlines()
    named = {name: digest for digest, name in (line.split() for line in lines)}
    wheels = sorted((bundle / "wheels").glob("*.whl"))
    minor = (bundle / "python").read_text(encoding="ascii").strip()
    if minor != MINOR:
        raise ValueError(f"the bundle is for Python {minor}, and this is {MINOR}")
    if odd := named.keys() ^ {wheel.name for wheel in wheels}:
        raise ValueError(f"the bundle is not complete or not ours: {', '.join(sorted(odd))}")
    for wheel in wheels:
        with wheel.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != named[wheel.name]:
                raise ValueError(f"{wheel.name} is damaged: its SHA-256 is not the one of wheels.sha256")
        with zipfile.ZipFile(wheel) as archive:
            if any(name.partition("/")[0].endswith(".data") for name in archive.namelist()):
                raise ValueError(f"{wheel.name} has parts that pip would put elsewhere")
    return wheels


def interpreter(home: Path, python: Path) -> None:
    """Make the environment a virtual one of ``python`` and give it the command."""
    (home / "bin").mkdir()
    (home / "bin/python3").symlink_to(python)
    (home / "pyvenv.cfg").write_text(
        f"home = {python.parent}\ninclude-system-site-packages = false\n", encoding="utf-8"
    )
    launcher = home / "bin/pantau"
    launcher.write_text(LAUNCHER, encoding="utf-8")
    launcher.chmod(0o755)


def date(home: Path) -> None:
    """Give all files one time, so that a package is built alike each time; before compiling, which notes it."""
    at = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    for file in home.rglob("*"):
        os.utime(file, (at, at), follow_symlinks=False)


def compiled(site: Path) -> None:
    """Compile once what the service's user may not write; a file that is no Python of this minor stays as it is."""
    there = f"{HOME}/{site.relative_to(site.parents[2])}"
    by_time = py_compile.PycInvalidationMode.TIMESTAMP
    compileall.compile_dir(site, ddir=there, quiet=2, invalidation_mode=by_time)


if __name__ == "__main__":
    sys.exit(main())
