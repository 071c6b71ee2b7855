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
        pytest.param(
            [
                Event(1351, "stop", 10.2),
                Event(2156, "stop", 252.8),
                Event(2417.4, "state away", 129.4, "", "after commit"),
            ],
            id="a span that is new is written once, and not over its correction, when the answer to both is lost",
        ),
        pytest.param(
            [
                Event(600, "stop", 200),
                Event(1200, "service", 300, "svc0", "down"),
                Event(1200, "channel", 600, "keyed", "asks for patience"),
                Event(1500, "restart", 5),
            ],
            id="a channel that asked for patience has it from the next process, though the one before was stopped for a while",
        ),
        pytest.param(
            [Event(1200, "state away", 200, "", "before"), Event(1250, "change", 1, "", "service")],
            id="a service that left while the database was away is retired when that is back",
        ),
        pytest.param(
            [
                Event(600, "suspend", HOUR / 2),
                Event(2600, "refused", 120, "svc0"),
                Event(2800, "service", 900, "svc0", "down"),
            ],
            id="a service whose row was read back after a sleep is looked at as ever",
        ),
        pytest.param(
            [Event(600, "suspend", HOUR / 2), Event(2590, "service", 900, "svc0", "down"), Event(2650, "restart", 5)],
            id="a failed look after a sleep and one after a restart are two in a row",
        ),
        pytest.param(
            [
                Event(1200, "full", 3000, "srv-1", "overfull"),
                Event(2200, "change", 1, "", "family"),
                Event(2800, "change", 1, "", "family"),
            ],
            id="what is broken stays an incident while its rules leave their family and come back",
        ),
    ],
)
def test_it_stays_mended(happened):
    for seed in range(3):
        with closing(City(seed, TOWN, happened)) as city:
            assert wrong_with(city) == []
