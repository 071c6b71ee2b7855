"""Roll-ups in memory: bounded, read once, the same answers as without them."""

import numpy as np
import pytest
from settled import T, counted, every_minute, settle_all

from collectors.point import Point, UInt
from server.store import Aggregate, Range
from server.store.embedded.file_cache import Held, cut, form
from server.store.embedded.levels import DAY, HOUR
from server.store.embedded.reading import over_time
from server.store.embedded.windows import windows

S = 10**9
MEAN = ("n", "total")


def block(count):
    return np.zeros(count, dtype=form("float", MEAN))


def name(number):
    return f"{number}.parquet", 7, MEAN


def asking(held, names):
    """Ask for blocks of ten rows; return the names of those that were read."""
    read = []

    def reading(missing):
        read.extend(missing)
        return [block(10) for _ in missing]

    assert [len(one) for one in held.blocks(names, reading)] == [10] * len(names)
    return read


def test_a_block_is_read_once():
    held = Held(100_000)
    assert asking(held, [name(1), name(2)]) == [name(1), name(2)]
    assert asking(held, [name(2), name(3)]) == [name(3)]
    assert asking(held, [name(3), name(2), name(1)]) == []


def test_other_columns_of_a_file_are_other_blocks():
    held = Held(100_000)
    asking(held, [name(1)])
    assert asking(held, [("1.parquet", 7, ("low",)), ("1.parquet", 8, MEAN)]) == [
        ("1.parquet", 7, ("low",)),
        ("1.parquet", 8, MEAN),
    ]


def test_what_was_asked_for_longest_ago_goes():
    held = Held(3 * (block(10).nbytes + 400))
    asking(held, [name(1), name(2), name(3)])
    assert asking(held, [name(1)]) == []
    assert asking(held, [name(4)]) == [name(4)]
    assert asking(held, [name(1), name(3), name(4)]) == []
    assert asking(held, [name(2)]) == [name(2)]


def test_more_than_there_is_room_for_is_answered_and_not_kept():
    held = Held(1000)
    names = [name(number) for number in range(50)]
    assert asking(held, names) == names
    assert held._size <= 1000
    assert sum(one.nbytes + 400 for one in held._blocks.values()) == held._size


def test_rows_are_cut_by_file_and_key():
    rows = np.zeros(5, dtype=form("float", MEAN))
    rows["time"] = [50, 10, 20, 30, 40]
    blocks = cut(rows, np.array([1, 0, 0, 1, 1]), np.array([9, 7, 9, 7, 9]), [(1, 9), (0, 7), (0, 8), (0, 9), (1, 7)])
    assert [one["time"].tolist() for one in blocks] == [[50, 40], [10], [], [20], [30]]
    assert all(one.base is None for one in blocks)


@pytest.fixture
def statements(monkeypatch):
    """Every statement that answers a question over time."""
    seen = []

    def watched(query, dictionary, shelves, ask, *more):
        def asked(statement, *rest):
            seen.append(statement)
            return ask(statement, *rest)

        return over_time(query, dictionary, shelves, asked, *more)

    monkeypatch.setattr("server.store.embedded.questions.over_time", watched)
    return seen


@pytest.mark.usefixtures("small_files")
async def test_a_page_that_is_drawn_again_reads_no_roll_ups_but_what_is_new(make, statements):
    store = await make()
    for day in range(3):
        await store.write(every_minute("a", T + day * DAY, 90) + every_minute("b", T + day * DAY, 90))
    await settle_all(store)
    expected = await counted(store)
    assert len(statements) == 1
    assert statements.pop().count(".parquet") == 3
    assert await counted(store) == expected
    assert not statements
    # the newest values lie in the table
    await store.write([Point("m", {"host": "a"}, {"f": 5.0}, T + 3 * DAY)])
    expected[T + 3 * DAY] = 5.0
    assert await counted(store) == expected
    assert "float_points" in statements[0]
    assert ".parquet" not in statements.pop()
    # a late value opens its hour, and settling makes new files of its day and of the newest one
    await store.write([Point("m", {"host": "b"}, {"f": 1000.0}, T + HOUR)])
    expected[T + HOUR] += 1000.0 - 60
    assert await counted(store) == expected
    statements.clear()
    await settle_all(store)
    assert await counted(store) == expected
    assert [f"-1h-{(T + day * DAY) // S}" in statements[0] for day in range(4)] == [True, False, False, True]


@pytest.mark.usefixtures("small_files")
async def test_values_as_they_came_are_held_of_few_series_only(make, statements):
    store = await make()
    hosts = [str(number) for number in range(9)]
    await store.write([point for host in hosts for point in every_minute(host, T, 150)])
    await settle_all(store)
    few = Range("m", "f", T + 7 * S, T + DAY, 7 * S, Aggregate.COUNT, {"host": "3"})
    many = Range("m", "f", T + 7 * S, T + DAY, 7 * S, Aggregate.COUNT)
    for question, asked, hosts_of_it in ((few, 1, 1), (many, 3, 9)):
        statements.clear()
        for _ in range(3):
            (answer,) = await store.range(question)
            assert (len(answer.times), sum(answer.values)) == (149, 149 * hosts_of_it)
        assert len(statements) == asked
    # what comes late overrules what is held, and what is forgotten is not told any more
    await store.write(every_minute("3", T + HOUR, 1, value=9.0))
    last = Range("m", "f", T, T + DAY, 60 * S, Aggregate.LAST, {"host": "3"})
    for _ in range(2):
        (answer,) = await store.range(last)
        assert answer.values == [*map(float, range(60)), 9.0, *map(float, range(61, 150))]
        await settle_all(store)
    await store.drop_before(T + HOUR)
    (answer,) = await store.range(last)
    assert answer.values[0] == 9.0
    assert len(answer.values) == 90


@pytest.mark.usefixtures("small_files")
async def test_of_many_series_only_the_rows_of_one_field_are_read(make, statements):
    store = await make()
    points = [
        Point("m", {"host": str(host)}, {field: float(host * 10 + number) for number, field in enumerate("fgh")}, T)
        for host in range(9)
    ]
    await store.write(points)
    for settled in (False, True):
        for step in (HOUR, 7 * S):
            for field in "fgh":
                answer = await store.range(Range("m", field, T, T + HOUR, step, Aggregate.MEAN, by=["host"]))
                assert [one.values for one in answer] == [[point.fields[field]] for point in points]
                assert ("WHERE field = " in statements[-1]) is settled
        await settle_all(store)


@pytest.mark.usefixtures("small_files")
async def test_a_field_that_was_forgotten_and_comes_again_is_found(make):
    store = await make()
    for time in (T, T + 9 * DAY):
        await store.write([Point("m", {"host": host}, {"f": 1.0}, time) for host in "ab"])
        await settle_all(store)
        (answer,) = await store.range(Range("m", "f", time, time + HOUR, 7 * S, Aggregate.SUM))
        assert answer.values == [2.0]
        await store.drop_before(time + DAY)
        store._forget_at = 0.0
        await store.settle()
        assert await store.fields("m") == {}


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("aggregate", list(Aggregate))
@pytest.mark.parametrize("by", [(), ("host",)])
async def test_in_memory_or_not_the_answer_is_the_same(make, statements, aggregate, by):
    store = await make()
    for day in range(2):
        for host in range(5):
            await store.write(every_minute(str(host), T + day * DAY, 150, value=float(-host)))
    await settle_all(store)
    await store.write(every_minute("0", T + DAY + 2 * HOUR, 60))
    question = Range("m", "f", T, T + 2 * DAY, HOUR, aggregate, by=by)
    held = [await store.range(question), await store.range(question)]
    store._tables.held.share = 10**9
    statements.clear()
    (joined,) = {str(await store.range(question)) for _ in range(2)}
    assert ".parquet" in statements[1]
    assert str(held[0]) == str(held[1]) == joined


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # a double would round them, an unsigned would underflow, a signed would overflow
        (
            [UInt(2**64 - 7200), UInt(2**64 - 3600), UInt(5), UInt(3605)],
            [(HOUR, 1.0), (2 * HOUR, 5 / 3600), (3 * HOUR, 1.0)],
        ),
        ([2**53 + 1, 2**53 + 3601, 2**53 + 3602], [(HOUR, 1.0), (2 * HOUR, 1 / 3600)]),
        ([2**63 - 1, 2**63 - 3600, 2**62 - 3600], [(2 * HOUR, (2**62 - 3600) / 3600)]),
        ([-(2**63), 2**63 - 1], [(HOUR, (2**64 - 1) / 3600)]),
        ([1.5, 3601.5, 1.5], [(HOUR, 1.0), (2 * HOUR, 1.5 / 3600)]),
    ],
)
@pytest.mark.parametrize("settled", [False, True])
async def test_what_a_counter_grew_by_is_exact(make, values, expected, settled):
    store = await make()
    await store.write([Point("m", {}, {"c": value}, T + hour * HOUR) for hour, value in enumerate(values)])
    if settled:
        await settle_all(store)
    for _ in range(2):
        (answer,) = await store.range(Range("m", "c", T, T + DAY, HOUR, Aggregate.RATE))
        assert list(zip(answer.times, answer.values, strict=True)) == [
            (T + offset, pytest.approx(value, rel=1e-15)) for offset, value in expected
        ]


def test_of_no_rows_there_are_no_windows():
    nothing = {"n": np.zeros(0), "last": np.zeros(0), "last_time": np.zeros(0, dtype=np.int64)}
    nothing |= {name: np.zeros(0) for name in ("low", "high", "total")}
    nothing |= {name: np.zeros(0, dtype=np.int64) for name in ("grp", "key", "moment")}
    for aggregate in Aggregate:
        assert [column.tolist() for column in windows(aggregate, nothing)] == [[], [], []]
