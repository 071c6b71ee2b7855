"""The seeds of ``make test``, dealt out to files, which run beside each other."""

import pytest
from simulation.seeds import run, shrink, told

SEEDS = 300
EACH = 10  # seeds a test


def chunks(part, parts):
    """Return the seeds of one file of several, in lists for a test each."""
    mine = range(part, SEEDS, parts)
    return [pytest.param(mine[start : start + EACH], id=f"from-{mine[start]}") for start in range(0, len(mine), EACH)]


def hold(seeds):
    """Fail at the first seed that does not hold, made small, with the command that shows it again."""
    for seed in seeds:
        if run(seed).wrong:
            kept = shrink(seed, tries=40)
            pytest.fail(told(run(seed, only=kept), only=kept), pytrace=False)
