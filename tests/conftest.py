"""Rules for every test: no blocking call on the event loop, and no example that fails because the machine is busy."""

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings

settings.register_profile("pantau", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# what `make test` takes: the same examples each time, so that its result tells of the change and not of the dice
settings.register_profile("pantau-steady", settings.get_profile("pantau"), derandomize=True, database=None)
settings.load_profile("pantau")


@pytest.fixture(autouse=True)
def _no_blocking_on_the_loop(request):
    if request.node.get_closest_marker("may_block"):
        yield
        return
    with blockbuster_ctx(["agent", "alerts", "collectors", "configs", "server"]) as buster:
        assert isinstance(buster, BlockBuster)
        # a traceback that is logged reads the source lines once
        for name in ("os.stat", "io.BufferedReader.read", "io.TextIOWrapper.read"):
            if name in buster.functions:
                buster.functions[name].can_block_in("linecache.py", {"checkcache", "updatecache"})
        yield
