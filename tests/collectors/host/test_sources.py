"""What holds for every collector: building reads nothing, a missing source is an OSError, this host can be read."""

import errno
import time

import pytest

from collectors.host import COLLECTORS, DEFAULT, Roots
from collectors.lineprotocol import encode
from collectors.linereader import decode

# the kernel is asked by a system call, which it never lacks on Linux
BY_CALL = {"timex"}
# nobody may have left a file, this may be no container
SILENT = {"textfile", "container"}
BY_PROGRAM = {"chrony", "journald", "smart"}
OF_SERVERS = {
    "apache",
    "exec",
    "mysql",
    "nginx",
    "phpfpm",
    "postgresql",
    "redis",
}  # what is not there is told in the tests of each


@pytest.fixture
def points_of():
    """Read a collector at one instant; None where this host lacks what an optional one reads, and it says so in words."""

    async def read(name, one, at):
        try:
            return await one.collect(at)
        except OSError as error:
            if name in DEFAULT or not error.errno or not error.strerror:
                raise
            return None

    return read


@pytest.mark.parametrize("name", [name for name in COLLECTORS if name not in BY_CALL | OF_SERVERS])
async def test_a_missing_source_is_an_os_error_with_a_number(collector, programs, tmp_path, name):
    nowhere = str(tmp_path / "nowhere")
    parts = [programs(tmp_path / "nowhere")] if name in BY_PROGRAM else []
    one = collector(name, Roots(proc=nowhere, sys=nowhere, etc=nowhere, run=nowhere, var=nowhere), *parts)
    for _ in range(2):
        with pytest.raises(OSError, match="nowhere") as caught:
            await one.collect(0)
        assert caught.value.errno == errno.ENOENT  # by which the agent tells what is lacking from what fails


@pytest.mark.parametrize("name", COLLECTORS)
async def test_this_host_can_be_read_twice_or_lacks_what_is_read(collector, points_of, linux, name):
    one = collector(name)
    first = await points_of(name, one, 1_700_000_000_000_000_000)
    time.sleep(0.05)
    points = await points_of(name, one, 1_700_000_000_050_000_000)
    if first is None or points is None:
        assert first is points
        return
    assert points or name in SILENT
    assert all(point.time == 1_700_000_000_050_000_000 for point in points)
    back = decode(encode(points), now=0)
    assert not back.errors
    assert len({(p.measurement, *sorted(p.tags.items())) for p in back.points}) == len(points)
    assert all("host" not in point.tags for point in points)


@pytest.mark.parametrize("name", COLLECTORS)
async def test_the_second_reading_has_the_types_of_the_first(collector, points_of, linux, name):
    one = collector(name)
    kinds = {}
    for at in (0, 10_000_000_000):
        for point in await points_of(name, one, at) or ():
            for field, value in point.fields.items():
                assert kinds.setdefault((point.measurement, field), type(value)) is type(value)


async def test_the_whole_default_set_takes_a_few_milliseconds(collector, linux):
    every = [collector(name) for name in DEFAULT]
    rounds = []
    for at in range(5):
        start = time.process_time()
        for one in every:
            await one.collect(at)
        rounds.append(time.process_time() - start)
    # measured 5 ms; the bound only catches a walk through every process' files or the like
    assert min(rounds) < 0.1
