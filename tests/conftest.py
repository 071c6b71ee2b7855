"""Rules for every test: no blocking call on the event loop."""

import pytest
from blockbuster import BlockBuster, blockbuster_ctx


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
