"""What holds for every collector: building reads nothing, a missing source is an OSError, this host can be read."""

import time

import pytest

from collectors.host import COLLECTORS, Roots
from collectors.lineprotocol import decode, encode


@pytest.mark.parametrize("name", COLLECTORS)
async def test_a_missing_source_is_an_os_error(collector, tmp_path, name):
    nowhere = str(tmp_path / "nowhere")
    one = collector(name, Roots(proc=nowhere, sys=nowhere, etc=nowhere, run=nowhere))
    for _ in range(2):
        with pytest.raises(OSError, match="nowhere"):
            await one.collect(0)


@pytest.mark.parametrize("name", COLLECTORS)
async def test_this_host_can_be_read_twice(collector, linux, name):
    one = collector(name)
    await one.collect(1_700_000_000_000_000_000)
    time.sleep(0.05)
    points = await one.collect(1_700_000_000_050_000_000)
    assert points
    assert all(point.time == 1_700_000_000_050_000_000 for point in points)
    back = decode(encode(points), now=0)
    assert not back.errors
    assert len({(p.measurement, *sorted(p.tags.items())) for p in back.points}) == len(points)
    assert all("host" not in point.tags for point in points)


@pytest.mark.parametrize("name", COLLECTORS)
async def test_the_second_reading_has_the_types_of_the_first(collector, linux, name):
    one = collector(name)
    kinds = {}
    for at in (0, 10_000_000_000):
        for point in await one.collect(at):
            for field, value in point.fields.items():
                assert kinds.setdefault((point.measurement, field), type(value)) is type(value)


async def test_the_whole_default_set_takes_a_few_milliseconds(collector, linux):
    every = [collector(name) for name in COLLECTORS]
    rounds = []
    for at in range(5):
        start = time.process_time()
        for one in every:
            await one.collect(at)
        rounds.append(time.process_time() - start)
    # measured 5 ms; the bound only catches a walk through every process' files or the like
    assert min(rounds) < 0.1
