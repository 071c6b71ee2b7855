"""Rules for every test: no blocking call on the event loop, and no example that fails because the machine is busy."""

import importlib
import pkgutil

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

PACKAGES = ("agent", "alerts", "collectors", "configs", "server")

settings.register_profile("pantau", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# what `make test` takes: the same examples each time, so that its result tells of the change and not of the dice
settings.register_profile("pantau-steady", settings.get_profile("pantau"), derandomize=True, database=None)
settings.load_profile("pantau")


@pytest.fixture(scope="session", autouse=True)
def _constants_of_hypothesis():
    """Let hypothesis draw from the constants of all our modules, whichever the tests before have loaded.

    It takes one value of twenty from the constants of what is loaded by then (and finds ``_field`` so), which made "the same"
    examples depend on how the files of tests were dealt out to processes.
    """
    for package in PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            importlib.import_module(module.name)
    constants = providers._get_local_constants()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(providers, "_get_local_constants", lambda: constants)
        yield


@pytest.fixture(autouse=True)
def _no_blocking_on_the_loop(request):
    if request.node.get_closest_marker("may_block"):
        yield
        return
    with blockbuster_ctx([*PACKAGES]) as buster:
        assert isinstance(buster, BlockBuster)
        # a traceback that is logged reads the source lines once
        for name in ("os.stat", "io.BufferedReader.read", "io.TextIOWrapper.read"):
            if name in buster.functions:
                buster.functions[name].can_block_in("linecache.py", {"checkcache", "updatecache"})
        yield
