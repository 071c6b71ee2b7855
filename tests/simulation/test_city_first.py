"""The first half of the seeds of the made city (``simulation.chunks``)."""

import pytest
from simulation.chunks import chunks, hold

pytestmark = [pytest.mark.may_block, pytest.mark.timeout(600)]


@pytest.mark.parametrize("seeds", chunks(0, 2))
def test_each_seed_of_the_city_holds(seeds):
    hold(seeds)
