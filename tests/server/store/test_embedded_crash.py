"""kill -9 at random instants while the embedded store takes lines, settles, merges and forgets: what was acknowledged is there.

Twenty kills; PANTAU_TEST_KILLS says how many else.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from configs.units import Duration
from server.store import Aggregate, Range
from server.store.embedded.levels import DAY, ceil, floor
from server.store.embedded.store import Embedded, Options

KILLS = int(os.environ.get("PANTAU_TEST_KILLS", "20"))
UNIT = 3600 * 10**9  # between two writes, by their times: some days a second, two of which are a week
LEAST = 6  # writes before a kill
KEPT = 168  # writes, seven days, are kept; raw values two days
LATE = 100  # so many writes late comes a point of each, when raw values of its time are gone
# each write has two new points, a new series among them, and overwrites a third
WRITING = """
    import asyncio, sys
    from pathlib import Path
    from collectors.linereader import Cache, decode
    from configs.units import Duration
    from server.store.embedded import settling
    from server.store.embedded.store import Embedded, Limits, Options

    small = settling.Limits(hour_rows=2, day_rows=2, hour_quiet=0.02, day_quiet=0.05, week=2 * 86400 * 10**9)
    unit, kept, late = map(int, sys.argv[3:6])
    options = Options(window=Duration(0.0), raw=Duration(2 * 86400), five_minutes=Duration(3 * 86400))
    store = Embedded(options, Path(sys.argv[1]), limits=Limits(forget_every=0.1, settling=small))
    number = int(sys.argv[2])
    cache = Cache()

    async def settle():
        while True:
            await store.settle()
            await asyncio.sleep(0.001)

    async def forget():
        while True:
            await store.drop_before((number - kept) * unit)
            await asyncio.sleep(0.05)

    async def main():
        global number
        await store.open()
        tasks = [asyncio.create_task(settle()), asyncio.create_task(forget())]
        while True:
            time = number * unit
            lines = [f"m f={number} {time}", f"m g={number}i {time - number % 7 * unit}", f'm,n={number} h="{"x" * 99}" {time}']
            if number >= late:
                lines.append(f"m l={number - late} {time - late * unit}")
            await store.write(decode("\\n".join(lines).encode(), now=0, cache=cache).points)
            print(number, flush=True)
            number += 1
    asyncio.run(main())
"""


def write_until_killed(folder, start, seconds):
    """Let a process write from ``start``, kill it ``seconds`` after its first answers; return the last number it told."""
    command = [sys.executable, "-c", textwrap.dedent(WRITING), *map(str, (folder, start, UNIT, KEPT, LATE))]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    ) as process:
        first = [process.stdout.readline() for _ in range(LEAST)][-1]
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
    assert process.returncode == -signal.SIGKILL
    return int([first, *rest.split("\n")[:-1]][-1])


async def asked(store, field, aggregate, since):
    """Return an aggregate over everything since a moment."""
    answer = await store.range(Range("m", field, since, 10**18, DAY, aggregate))
    return sum(value for series in answer for value in series.values)


@pytest.mark.timeout(120 + 10 * KILLS)
async def test_no_acknowledged_point_is_lost_by_kill_9(tmp_path):
    start = 0
    chance = random.Random(5)
    settled, forgotten = set(), 0
    for _ in range(KILLS):
        last = await asyncio.to_thread(write_until_killed, tmp_path, start, chance.random() * 0.4)
        store = Embedded(Options(window=Duration(0.0)), tmp_path)
        (newest,) = await store.latest("m", ["f"], since=0)
        start = newest.time // UNIT + 1
        # the last write may be there unacknowledged, but only as a whole
        assert start in {last + 1, last + 2}
        since = ceil(max(0, (last + 2 - KEPT) * UNIT), DAY)
        there = range(ceil(since, UNIT) // UNIT, start)
        assert await asked(store, "f", Aggregate.COUNT, since) == len(there)
        assert await asked(store, "f", Aggregate.SUM, since) == sum(there)
        overwritten = {number - number % 7: number for number in range(start)}
        overwritten = [number for first, number in overwritten.items() if first * UNIT >= since]
        assert await asked(store, "g", Aggregate.COUNT, since) == len(overwritten)
        assert await asked(store, "g", Aggregate.SUM, since) == sum(overwritten)
        late = range(ceil(since, UNIT) // UNIT, start - LATE)
        assert await asked(store, "l", Aggregate.COUNT, since) == len(late)
        assert await asked(store, "l", Aggregate.SUM, since) == sum(late)
        # texts have no roll-ups: they go with the raw values
        since = max(0, floor((last + 2) * UNIT, DAY) - 2 * DAY)
        texts = start - ceil(since, UNIT) // UNIT
        assert await asked(store, "h", Aggregate.COUNT, since) == texts
        assert len(await store.latest("m", ["h"], since=since)) == texts
        (spender,) = await store.cardinality()
        forgotten = start + 1 - spender.series
        await store.close()
        settled.update(path.name for path in (tmp_path / "points.files").iterdir())
    assert settled, "nothing was settled between two kills"
    # a very slow machine has no time for it
    assert forgotten or start < 10 * KILLS, "no series was forgotten between two kills"
