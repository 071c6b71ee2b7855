"""What the city found, each as the few events that it takes."""

from contextlib import closing

import pytest
from simulation.city import City
from simulation.script import HOUR, Event, Town
from simulation.seeds import wrong_with

pytestmark = [pytest.mark.may_block, pytest.mark.timeout(300)]

TOWN = Town({"svc0": (60.0, 2, 1)}, {"keyed": True, "plain": False}, ("srv-1",), 1.5)


@pytest.mark.parametrize(
    "happened",
    [
        pytest.param(
            [Event(1200, "service", 1200, "svc0", "down"), Event(1210, "state away", 200, "", "after commit")],
            id="a flip whose commit was not answered is written once",
        ),
        pytest.param(
            [Event(1200, "service", 4000, "svc0", "down"), Event(1226, "suspend", HOUR / 2)],
            id="a failed look before a machine sleeps and one after it are not two in a row",
        ),
        pytest.param(
            [Event(1200, "service", 4000, "svc0", "every second")],
            id="people are told of a service of which every second look fails",
        ),
    ],
)
def test_it_stays_mended(happened):
    for seed in range(3):
        with closing(City(seed, TOWN, happened)) as city:
            assert wrong_with(city) == []
