"""The agent does not grow, beside a centre that comes and goes. The long run by hand: ``python benchmarks/soak.py``."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.real
@pytest.mark.timeout(300)
def test_after_a_thousand_rounds_files_threads_and_memory_are_what_they_were():
    script = Path(__file__).parents[2] / "benchmarks/soak.py"
    ended = subprocess.run([sys.executable, script, "1000"], capture_output=True, text=True, timeout=110)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "books balanced: True\ngrown: nothing" in ended.stdout
