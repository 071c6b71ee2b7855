"""kill -9 at random instants while the embedded store is written to and settles: what was acknowledged is there."""

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
from server.store.embedded import Embedded, Options

HOUR = 3600 * 10**9
KILLS = int(os.environ.get("PANTAU_TEST_KILLS", "20"))
# each write has two new points (some 3,000 writes an hour of the store's time), overwrites one, and adds a series
WRITING = """
    import asyncio, sys
    from pathlib import Path
    from collectors.point import Point
    from configs.units import Duration
    from server.store import embedded_settling
    from server.store.embedded import Embedded, Options

    embedded_settling._HOUR_ROWS = embedded_settling._DAY_ROWS = 1
    store = Embedded(Options(window=Duration(0.0)), Path(sys.argv[1]))

    async def settle():
        while True:
            await store.settle(everything=True)
            await asyncio.sleep(0.01)

    async def main():
        await store.open()
        settling = asyncio.create_task(settle())
        number = int(sys.argv[2])
        while True:
            points = [Point("m", {}, {"f": float(number)}, number * 10**9), Point("m", {}, {"g": number}, number // 7 * 10**9)]
            await store.write([*points, Point("m", {"n": str(number)}, {"h": "x" * 99}, number * 10**9)])
            print(number, flush=True)
            number += 1
    asyncio.run(main())
"""


def write_until_killed(folder, start, seconds):
    """Let a process write from ``start``, kill it ``seconds`` after its first answer; return the last number it told."""
    command = [sys.executable, "-c", textwrap.dedent(WRITING), str(folder), str(start)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    ) as process:
        first = process.stdout.readline()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
    assert process.returncode == -signal.SIGKILL
    return int([first, *rest.split("\n")[:-1]][-1])


@pytest.mark.timeout(20 + 3 * KILLS)
async def test_no_acknowledged_point_is_lost_by_kill_9(tmp_path):
    start = 0
    chance = random.Random(5)
    for _ in range(KILLS):
        last = await asyncio.to_thread(write_until_killed, tmp_path, start, chance.random() * 0.4)
        store = Embedded(Options(window=Duration(0.0)), tmp_path)

        async def asked(field, aggregate, store=store):
            answer = await store.range(Range("m", field, 0, 10**18, 10**18, aggregate))
            return answer[0].values[0]

        counts = {await asked("f", Aggregate.COUNT), await asked("h", Aggregate.COUNT)}
        # the last write may be there unacknowledged, but only as a whole
        assert counts <= {last + 1, last + 2}
        assert len(counts) == 1
        start = int(counts.pop())
        assert await asked("f", Aggregate.SUM) == sum(range(start))
        assert await asked("g", Aggregate.COUNT) == (start - 1) // 7 + 1
        assert await asked("g", Aggregate.SUM) == sum({number // 7: number for number in range(start)}.values())
        assert len(await store.latest("m", ["h"], since=0)) == start
        await store.close()
