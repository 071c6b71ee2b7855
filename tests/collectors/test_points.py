"""Points in blocks, where a reader left a block without rows."""

from collectors.point import Point
from collectors.points import Block, Head, Points

EMPTY = Block(("f",), (False,), [], [], [], [])
HEAD = Head("cpu", {"host": "a"}, "a")
TWO = Block(("f",), (False,), [0, 1], [HEAD, HEAD], [9, 4], [1.0, 2.0])
OTHER = Point("m", {}, {"s": "x"}, 12)


def test_a_block_without_rows_changes_nothing():
    points = Points([EMPTY, TWO], [(2, OTHER)])
    assert points.times() == (4, 12)
    assert points.hosts() == {"a": 9, "": 12}
    assert points.measurements() == {"cpu", "m"}
    assert [point.time for point in points] == [9, 4, 12]
    assert Points([EMPTY], [(0, OTHER)]).times() == (12, 12)
