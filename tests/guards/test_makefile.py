"""Which Python ``make`` takes, on machines that have other ones."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"
OLD = "#!/bin/sh\necho 'SyntaxError' >&2\nexit 1\n"
SHIM = "#!/bin/sh\necho 'this version is not installed' >&2\nexit 127\n"
FITS = f'#!/bin/sh\nexec {sys.executable} "$@"\n'


@pytest.fixture
def make(tmp_path):
    """Run ``make`` where the programs given (name -> script) are all that is on the way; return its code and output."""

    def run(programs, *words):
        for name, script in programs.items():
            file = tmp_path / name
            file.write_text(script)
            file.chmod(0o755)
        command = [shutil.which("make"), "-f", MAKEFILE, f"VENV={tmp_path}/venv", *words, f"{tmp_path}/venv/.runs"]
        environment = {
            key: value for key, value in os.environ.items() if key not in {"MAKEFLAGS", "MAKELEVEL", "PYTHON"}
        }
        ended = subprocess.run(
            command,
            cwd=MAKEFILE.parent,
            env={**environment, "PATH": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return ended.returncode, ended.stdout

    return run


@pytest.mark.parametrize(
    ("programs", "taken"),
    [
        ({"python3.13": FITS, "python3": FITS}, "python3.13"),
        ({"python3.14": FITS, "python3.12": FITS, "python3": FITS}, "python3.12"),
        ({"python3.11": SHIM, "python3.12": SHIM, "python3.14": FITS}, "python3.14"),
        ({"python3": FITS}, "python3"),
    ],
)
def test_the_first_python_that_works_is_taken(make, programs, taken):
    code, out = make(programs, "--dry-run")
    assert code == 0
    assert f"\n{taken} -m venv" in out


def test_another_one_may_be_named(make):
    assert "\nmine -m venv" in make({"python3.11": FITS, "mine": FITS}, "--dry-run", "PYTHON=mine")[1]


@pytest.mark.parametrize(
    ("programs", "words", "why"),
    [
        ({}, (), "and none of python3.11 to python3.14 and python3 is that here"),
        ({"python3": OLD, "python3.11": SHIM}, (), "and none of python3.11 to python3.14 and python3 is that here"),
        ({"python3": FITS, "old": OLD}, ("PYTHON=old",), "which old is not"),
    ],
)
def test_without_one_it_says_what_to_do(make, programs, words, why):
    code, out = make(programs, *words)
    assert code != 0
    assert f"Pantau needs Python 3.11 or newer, {why}: install one" in out
    assert "-m venv" not in out
