"""Recorded and made-up trees of /proc and /sys, read one after the other 10 s apart, give the lines of ``expected.lp``."""

import os
import tomllib
from pathlib import Path

import pytest

from collectors.host import COLLECTORS, Roots
from collectors.lineprotocol import decode, encode
from configs.plugin import find
from configs.read import Source

CASES = Path(__file__).parents[2] / "cases"
NAMES = [f"{name}/{case.name}" for name in COLLECTORS for case in sorted((CASES / name).glob("*"))]
START = 1_700_000_000_000_000_000
STEP = 10_000_000_000


@pytest.fixture
def case(request):
    return CASES / request.param


@pytest.fixture
def build(case):
    """How the case's collector is made, given where it reads."""
    plugin, shape = find("collector", case.parent.name, COLLECTORS)
    settings = case / "options.toml"
    options = Source.read(settings).parse(shape) if settings.exists() else shape()
    told = case / "statvfs.toml"
    if not told.exists():
        return lambda roots: plugin(options, roots)
    answers = tomllib.loads(told.read_text())

    def statvfs(path):
        size, blocks, free, available, inodes, inodes_free = answers[path]
        return os.statvfs_result((size, size, blocks, free, available, inodes, inodes_free, inodes_free, 0, 255))

    return lambda roots: plugin(options, roots, statvfs)


def shown(points):
    """Points as lines whose order and whose fields' order do not matter; types show."""
    return sorted(repr((p.measurement, sorted(p.tags.items()), p.time, sorted(p.fields.items()))) for p in points)


@pytest.mark.parametrize("case", NAMES, indirect=True)
async def test_it_writes_what_the_case_expects(case, build, tmp_path):
    # one collector sees the trees of all readings under one path, as it would see one host
    now = tmp_path / "now"
    host = Roots(proc=str(now / "proc"), sys=str(now / "sys"), run=str(now / "run"))
    collector = build(host)
    points = []
    for number, tree in enumerate(sorted(case.glob("[0-9]"))):
        now.unlink(missing_ok=True)
        now.symlink_to(tree)
        points += await collector.collect(START + number * STEP)
    expected = decode((case / "expected.lp").read_bytes(), now=0)
    assert not expected.errors
    assert shown(decode(encode(points), now=0).points) == shown(expected.points)


@pytest.mark.parametrize("name", COLLECTORS)
def test_each_collector_has_cases(name):
    assert len([case for case in NAMES if case.startswith(f"{name}/")]) >= 3
