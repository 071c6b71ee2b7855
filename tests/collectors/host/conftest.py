"""Parts that several tests of the host collectors need."""

import sys

import pytest
from parts import wait_until

from collectors.host import COLLECTORS, Roots
from configs.plugin import find


@pytest.fixture
def collector():
    """Build a collector by name: ``collector("cpu", Roots(...), percpu=False)``; without roots it reads this host."""

    def build(name, roots=None, *parts, **options):
        plugin, shape = find("collector", name, COLLECTORS)
        return plugin(shape(**options), roots or Roots(), *parts)

    return build


@pytest.fixture
def linux():
    """Skip where there is no Linux to read."""
    if sys.platform != "linux":
        pytest.skip("reads this host's own /proc")


@pytest.fixture
def until():
    """Wait until something holds: ``await until(lambda: ...)``."""
    return wait_until
