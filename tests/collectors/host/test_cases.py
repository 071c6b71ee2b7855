"""Recorded and made-up trees of /proc and /sys, read one after the other 10 s apart, give the lines of ``expected.lp``."""

import asyncio
import json
import os
import shutil
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from collectors.host import COLLECTORS, Roots
from collectors.host.timex import Kernel
from collectors.lineprotocol import encode
from collectors.linereader import decode
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
def build(case, tmp_path, programs):
    """How the case's collector is made, given where it reads."""
    plugin, shape = find("collector", case.parent.name, COLLECTORS)
    settings = case / "options.toml"
    options = Source.read(settings).parse(shape) if settings.exists() else shape()
    return lambda roots: plugin(options, roots, *parts(case, tmp_path / "now", programs))


def parts(case, now, programs):
    """What a case's collector asks instead of this host's kernel and programs."""
    if (told := case / "statvfs.toml").exists():
        answers = tomllib.loads(told.read_text())

        def statvfs(path):
            size, blocks, free, available, inodes, inodes_free = answers[path]
            return os.statvfs_result((size, size, blocks, free, available, inodes, inodes_free, inodes_free, 0, 255))

        return [statvfs]
    if case.parent.name == "netstat":

        def ask(_states):
            if not (told := now / "sock_diag.toml").exists():
                raise PermissionError("the case has no netlink")
            return Counter({int(state): count for state, count in tomllib.loads(told.read_text()).items()})

        return [ask]
    if list(case.glob("[0-9]/pages.toml")):

        async def page(url, **_):
            return tomllib.loads(await asyncio.to_thread((now / "pages.toml").read_text))[url].encode()

        return [page]
    if case.parent.name == "docker":

        async def fetch(url, *, socket, **_):
            assert socket == f"{now}/run/docker.sock"
            answers = json.loads(await asyncio.to_thread((now / "engine.json").read_text))
            place = url.removeprefix("http://localhost")
            return json.dumps(answers[place.removesuffix("?stream=false&one-shot=true")]).encode()

        return [fetch]
    if case.parent.name == "timex":

        def adjtimex():
            told = tomllib.loads((now / "adjtimex.toml").read_text())
            return Kernel(told.pop("returns"), told)

        return [adjtimex]
    return [programs(now / "programs.toml")] if list(case.glob("[0-9]/programs.toml")) else []


def dated(tree, copy):
    """The tree, or a copy of it whose files were written as many seconds before START as ``ages.toml`` says."""
    if not (told := tree / "ages.toml").exists():
        return tree
    shutil.copytree(tree, copy, symlinks=True)
    for name, seconds in tomllib.loads(told.read_text()).items():
        at = START - seconds * 10**9
        os.utime(copy / name, ns=(at, at))
    return copy


def shown(points):
    """Points as lines whose order and whose fields' order do not matter; types show."""
    return sorted(repr((p.measurement, sorted(p.tags.items()), p.time, sorted(p.fields.items()))) for p in points)


@pytest.mark.parametrize("case", NAMES, indirect=True)
async def test_it_writes_what_the_case_expects(case, build, tmp_path):
    # one collector sees the trees of all readings under one path, as it would see one host
    now = tmp_path / "now"
    host = Roots(**{name: str(now / name) for name in ("proc", "sys", "etc", "run", "var")})
    collector = build(host)
    points = []
    for number, tree in enumerate(sorted(case.glob("[0-9]"))):
        now.unlink(missing_ok=True)
        now.symlink_to(dated(tree, tmp_path / tree.name))
        points += await collector.collect(START + number * STEP)
    expected = decode((case / "expected.lp").read_bytes(), now=0)
    assert not expected.errors
    # a case does not know under which path it is read
    lines = encode(points).replace(str(now).encode(), b"")
    assert shown(decode(lines, now=0).points) == shown(expected.points)


# these ask a program over the network: their tests start the real one; cases show versions that are not here
OF_SERVERS = {"apache", "mysql", "nginx", "phpfpm", "postgresql", "redis"}


@pytest.mark.parametrize("name", [name for name in COLLECTORS if name not in OF_SERVERS])
def test_each_collector_has_cases(name):
    assert len([case for case in NAMES if case.startswith(f"{name}/")]) >= 3
