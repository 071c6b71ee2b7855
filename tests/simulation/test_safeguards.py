"""Without any one of its safeguards the city fails, and says so in the words of an invariant that is meant to notice."""

import pytest
from simulation.safeguards import SAFEGUARDS
from simulation.seeds import run

MOST = 60  # seeds until it must be noticed

pytestmark = [pytest.mark.may_block, pytest.mark.timeout(600)]


@pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=lambda safeguard: safeguard.name)
def test_a_city_without_it_fails(safeguard):
    first = safeguard.seed
    for seed in range(first, first + MOST):
        with safeguard.off():
            noticed = {words.partition(":")[0] for words in run(seed).wrong}
        if noticed & set(safeguard.noticed):
            return
    pytest.fail(f"{safeguard.name} is gone, and {MOST} seeds hold")
