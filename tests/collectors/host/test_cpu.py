"""A machine with 256 processors, some of which come and go."""

import math

from collectors.host import Roots


async def test_256_processors_of_which_some_go_and_come_give_no_nan_and_no_percentage_out_of_range(collector, tmp_path):
    def write(tick, cores):
        lines = [f"cpu{core} {tick * 50} 0 {tick * 10} {tick * 940} 0 0 0 0 0 0" for core in cores]
        total = f"cpu  {tick * 50 * len(cores)} 0 {tick * 10 * len(cores)} {tick * 940 * len(cores)} 0 0 0 0 0 0"
        (tmp_path / "stat").write_text("\n".join([total, *lines, "intr 1", ""]))

    cpu = collector("cpu", Roots(proc=str(tmp_path)))
    every = list(range(256))
    counts = []
    for tick, cores in enumerate([every, every, every[::2], every, every, every], 1):
        write(
            tick if tick != 6 else 5, cores
        )  # the sixth reading comes in the same instant as the fifth: no time passed
        points = await cpu.collect(0)
        counts.append(len(points))
        values = [value for point in points for value in point.fields.values()]
        assert all(math.isfinite(value) and 0 <= value <= 100 for value in values)
    assert counts[:2] == [0, 257]
    assert counts[2] in {128, 129}  # the sum of fewer processors is less than before: that is no percentage
    assert counts[4:] == [257, 0]
