"""psutil as a second opinion: on Linux the portable collector and those that read /proc agree."""

import asyncio
import time

import pytest

from collectors import catalogue
from collectors.host import DEFAULT, Roots
from collectors.host.portable import Options, Portable

pytestmark = pytest.mark.usefixtures("linux")
# how far two readings a moment apart may differ, of the larger; everything else is counted exactly alike
NEAR = {"mem": 0.05, "disk": 0.01, "diskio": 0.05, "net": 0.05, "system": 0.3, "swap": 0.05}


@pytest.fixture
def read_both(collector):
    """Read series -> fields of the portable collector and of the others, right after each other."""

    async def read():
        portable = Portable(Options(), Roots())
        others = [collector(name) for name in DEFAULT]
        for _ in range(2):
            now = time.time_ns()
            theirs = await portable.collect(now)
            ours = [point for one in others for point in await one.collect(now)]
            await asyncio.sleep(0.2)
        return [{(p.measurement, *sorted(p.tags.items())): p.fields for p in points} for points in (theirs, ours)]

    return lambda: asyncio.run(read())


def always(read_both, look):
    """Return what ``look(theirs, ours)`` finds at each of up to ten readings: other programs of this machine do not rest."""
    found = set(look(*read_both()))
    for _ in range(9):
        if not found:
            break
        found &= set(look(*read_both()))
    return found


def test_it_sees_the_series_that_proc_shows(read_both):
    def missing(theirs, ours):
        expected = {s for s in ours if s[0] in Options().include}
        # psutil lists each device once and loop devices too
        series = {s for s in expected if s[0] != "disk"} - set(theirs)
        return series | ({s[0] for s in theirs} ^ {s[0] for s in expected})

    assert always(read_both, missing) == set()


def test_values_agree(read_both):
    def differing(theirs, ours):
        compared = 0
        for series in set(theirs) & set(ours):
            for name, value in theirs[series].items():
                mine = ours[series][name]
                assert type(mine) is type(value), (series, name)
                if series[0] in NEAR and not isinstance(value, str):
                    near = NEAR[series[0]] * max(abs(mine), abs(value), 1) + 4e6 * (series[0] == "mem")
                    if value != pytest.approx(mine, abs=near):
                        yield series, name
                    compared += 1
        assert compared > 30

    assert always(read_both, differing) == set()


def test_it_writes_nothing_that_the_catalogue_does_not_know(read_both):
    book = catalogue.read()
    for (measurement, *_), fields in read_both()[0].items():
        for name, value in fields.items():
            assert book.field(measurement, name).type == catalogue.kind(value), (measurement, name)


async def test_only_what_is_included_is_read():
    portable = Portable(Options(include=("swap", "mem")), Roots())
    assert {point.measurement for point in await portable.collect(0)} == {"swap", "mem"}


async def test_interfaces_may_be_ignored():
    portable = Portable(Options(include=("net",), ignore=("*",)), Roots())
    assert await portable.collect(0) == []


@pytest.mark.parametrize("kept", [True, False])
async def test_a_host_that_keeps_no_sessions_does_not_claim_that_nobody_is_there(monkeypatch, tmp_path, kept):
    monkeypatch.setattr("psutil.users", list)
    if kept:
        (tmp_path / "utmp").touch()
    (point,) = await Portable(Options(include=("system",)), Roots(run=str(tmp_path))).collect(0)
    assert [point.fields.get(name) for name in ("n_users", "n_unique_users")] == ([0, 0] if kept else [None, None])
