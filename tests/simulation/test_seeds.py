"""A failing seed is made small, and the command that shows it again shows the same."""

import subprocess
import sys
from pathlib import Path

import pytest
from simulation.safeguards import SAFEGUARDS
from simulation.seeds import run, shrink, told

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.may_block, pytest.mark.timeout(300)]


def test_one_seed_is_the_same_city_each_time():
    first, second = run(3, 1.0), run(3, 1.0)
    assert first[:-1] == second[:-1]


def test_a_failing_seed_is_made_small_and_fails_again_in_the_same_way():
    (confirmation,) = (one for one in SAFEGUARDS if one.name == "confirmation")
    with confirmation.off():
        seed = next(seed for seed in range(20) if run(seed).wrong)
        kept = shrink(seed, tries=60)
        again = run(seed, only=kept)
    assert len(kept) <= 2
    assert again.wrong
    assert f"SEEDS={seed} HOURS=2 ONLY={','.join(map(str, kept))}" in told(again, only=kept)


def test_the_command_prints_what_it_ran():
    command = [sys.executable, "-m", "simulation", "0-2", "--hours", "0.5", "--processes", "1"]
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": "tests"}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 seeds" in done.stdout
