"""The page of faults is kept: every fault has its row, every test it names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
ROWS = {int(number): row for row in PAGE.splitlines() for number in re.findall(r"^\| (\d+) \|", row)}
NAMED = sorted(set(re.findall(r"`((?:agent|cases|collectors|e2e|server)/[^`]+)`", PAGE)))


def test_every_fault_has_a_row():
    assert sorted(ROWS) == list(range(1, 44))
    assert all(re.search(r"`[a-z0-9]+/", row) for row in ROWS.values())


@pytest.mark.parametrize("named", NAMED)
def test_what_it_names_is_there(named):
    file, _, test = named.partition("::")
    place = ROOT / "tests" / file
    assert place.exists()
    assert not test or re.search(rf"^(async )?def {test}\(", place.read_text(encoding="utf-8"), re.MULTILINE)
