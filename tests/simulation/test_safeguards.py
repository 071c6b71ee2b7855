"""Without any one of its safeguards the city fails, and says so in the words of an invariant that is meant to notice."""

from pathlib import Path

import pytest
from simulation.safeguards import SAFEGUARDS

MOST = 60  # seeds until it must be noticed

pytestmark = [pytest.mark.may_block, pytest.mark.timeout(600)]


def test_each_is_in_the_table_of_the_docs():
    page = (Path(__file__).parents[2] / "docs/simulation.md").read_text(encoding="utf-8")
    for one in SAFEGUARDS:
        assert f"| {one.name} | {one.without} | {', '.join(one.noticed)} |" in page


@pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=lambda safeguard: safeguard.name)
def test_a_city_without_it_fails(safeguard):
    first = safeguard.seed
    for seed in range(first, first + MOST):
        noticed = {words.partition(":")[0] for words in safeguard.wrong(seed)}
        if noticed & set(safeguard.noticed):
            return
    pytest.fail(f"{safeguard.name} is gone, and {MOST} seeds hold")
