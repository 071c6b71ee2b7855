"""Merged roll-ups of a week, here of two days: answers stay, whatever comes late, is forgotten, fails or is copied."""

from unittest.mock import patch

import duckdb
import msgspec
import pytest
from settled import AT_ONCE, SHORT, T, counted, every_minute, files, settle_all

from configs.units import Duration
from server.store import StoreUnavailable
from server.store.embedded import export
from server.store.embedded.levels import DAY, HOUR
from server.store.embedded.store import Embedded, Options

UNMERGED = msgspec.structs.replace(SHORT, merged_max=-1)
pytestmark = pytest.mark.usefixtures("small_files", "short_weeks")


def rolled(store):
    """Return where the roll-ups of 1 h are, in days since T."""
    return [((start - T) / DAY, width // DAY) for level, start, width in files(store) if level == "1h"]


async def filled(make, days, limits=SHORT):
    """Return a store with a settled hour and a half on each day."""
    store = await make()
    for day in range(days):
        await store.write(every_minute("a", T + day * DAY, 90, value=float(day)))
    expected = await counted(store)
    await settle_all(store, limits)
    assert await counted(store) == expected
    return store, expected


async def test_a_week_that_is_over_becomes_one_file(make, tmp_path):
    store, expected = await filled(make, 5)
    assert rolled(store) == [(0, 2), (2, 2), (4, 1)]
    assert {path.name for path in store._tables.folder.iterdir()} == {
        one.name for one in store._tables.shelves["float"].files()
    }
    assert await counted(store, T + DAY, T + 3 * DAY) == {
        hour: value for hour, value in expected.items() if T + DAY <= hour < T + 3 * DAY
    }
    await store.close()
    store = await make()
    assert rolled(store) == [(0, 2), (2, 2), (4, 1)]
    assert await counted(store) == expected


async def test_a_week_with_one_day_is_not_merged(make):
    store = await make()
    for day in (0, 2, 3, 9):
        await store.write(every_minute("a", T + day * DAY, 60))
    await settle_all(store)
    assert rolled(store) == [(0, 1), (2, 2), (9, 1)]


async def test_files_too_large_to_sort_stay_as_they_are(make):
    store, _ = await filled(make, 3, msgspec.structs.replace(SHORT, merged_max=10))
    assert rolled(store) == [(0, 1), (1, 1), (2, 1)]


async def test_late_values_overrule_a_merged_hour_until_the_week_is_merged_again(make):
    store, expected = await filled(make, 3)
    for day, found in ((0, [(0, 1), (0, 2), (2, 1)]), (1, [(0, 2), (2, 1)])):
        hour = T + day * DAY + HOUR
        await store.write(every_minute("a", hour, 1, value=1000.0))
        await store.write(every_minute("b", hour + 5 * HOUR, 1, value=7.0))
        # what was the first minute of the second hour
        expected[hour] += 1000.0 - (60 + day)
        expected[hour + 5 * HOUR] = 7.0
        assert await counted(store) == expected
        await settle_all(store)
        assert sorted(rolled(store)) == found
        assert await counted(store) == expected
        await store.close()
        store = await make()
        assert await counted(store) == expected


async def test_a_day_that_comes_late_is_merged_with_the_next_one(make):
    store = await make()
    for day in (0, 4):
        await store.write(every_minute("a", T + day * DAY, 60))
    await settle_all(store)
    await store.write(every_minute("a", T + DAY, 60))
    expected = await counted(store)
    await settle_all(store)
    assert rolled(store) == [(0, 2), (4, 1)]
    assert await counted(store) == expected


async def test_what_is_forgotten_is_cut_off_a_merged_file(make):
    store, expected = await filled(make, 5)
    for forgotten, left in ((T + DAY // 2, 0), (T + DAY + HOUR, 0), (T + 2 * DAY, 2)):
        await store.drop_before(forgotten)
        expected = {hour: value for hour, value in expected.items() if hour >= forgotten}
        assert await counted(store) == expected
        await settle_all(store)
        assert await counted(store) == expected
        assert rolled(store)[0] == (left, 2)
    assert len(list(store._tables.folder.iterdir())) == len(store._tables.shelves["float"].files())


async def test_within_an_hour_that_is_cut_raw_values_answer(make):
    store, expected = await filled(make, 3)
    await store.drop_before(T + DAY + HOUR // 2)
    expected = {hour: value for hour, value in expected.items() if hour >= T + DAY}
    expected[T + DAY] = sum(range(31, 61))
    assert await counted(store) == expected
    # late values of a cut day
    await store.write(every_minute("b", T + DAY + 2 * HOUR, 1, value=3.0))
    expected[T + DAY + 2 * HOUR] = 3.0
    for _ in range(2):
        await settle_all(store)
        assert await counted(store) == expected


async def test_a_merged_file_of_which_nothing_counts_any_more_goes(make):
    store, expected = await filled(make, 3)
    await store.drop_before(T + HOUR)
    expected.pop(T)
    late = [*every_minute("b", T, 1, value=5.0), *every_minute("b", T + DAY, 1, value=7.0)]
    await store.write(late)
    expected |= {T: 5.0, T + DAY: expected[T + DAY] + 7.0}
    await settle_all(store)
    assert rolled(store) == [(0, 2), (2, 1)]
    assert await counted(store) == expected


async def test_days_that_are_cut_meanwhile_are_not_merged(make):
    store = await make()
    for day in range(3):
        await store.write(every_minute("a", T + day * DAY, 90))
    await settle_all(store, UNMERGED)
    expected = await counted(store)
    view = store._tables.views.lasting

    def forgetting():
        store._tables.drop_before(T + HOUR)
        return view()

    with patch.object(store._tables.views, "lasting", forgetting):
        await store.settle(everything=True)
    expected.pop(T)
    assert await counted(store) == expected
    await settle_all(store)
    assert rolled(store) == [(0, 1), (1, 1), (2, 1)]
    assert await counted(store) == expected


@pytest.mark.parametrize("step", ["written", "exchanged"])
async def test_a_merge_that_fails_leaves_the_days_and_no_file(make, step):
    """Whether an exchange that fails has been done is not sure: its file goes at the next start."""
    store, expected = await filled(make, 3, UNMERGED)
    folder = store._tables.folder
    before = {path.name for path in folder.iterdir()}
    failing = {
        "written": ("server.store.embedded.settling.sync", OSError(28, "No space left on device")),
        "exchanged": ("server.store.embedded.tables.Tables.settled", StoreUnavailable("gone")),
    }
    where, error = failing[step]
    with patch(where, side_effect=error), pytest.raises(StoreUnavailable):
        await store.settle(everything=True)
    assert await counted(store) == expected
    if step == "exchanged":
        await store.close()
        store = await make()
    assert {path.name for path in folder.iterdir()} == before
    assert await counted(store) == expected
    await settle_all(store)
    assert rolled(store) == [(0, 2), (2, 1)]
    assert await counted(store) == expected


async def test_a_copy_has_merged_files_too(make, tmp_path):
    store, expected = await filled(make, 3)
    await store.write(every_minute("b", T, 1, value=7.0))
    expected[T] += 7.0
    await store.backup(tmp_path / "copy")
    copy = Embedded(AT_ONCE, tmp_path / "copy")
    try:
        assert await counted(copy) == expected
        assert rolled(copy) == [(0, 2), (2, 1)]
    finally:
        await copy.close()


def as_format_2(folder):
    """Write the files of a store anew as its second format had them: by key, without fields."""
    with duckdb.connect(folder / "points.duckdb") as file:
        file.execute("UPDATE about SET format = 2")
        file.execute("ALTER TABLE files DROP COLUMN by_field")
        for path in (folder / "points.files").iterdir():
            rows = f"SELECT * EXCLUDE field FROM '{path}' ORDER BY key, time"
            file.execute(f"COPY ({rows}) TO '{path}.old' (FORMAT parquet)")
            path.with_name(path.name + ".old").rename(path)


async def test_a_merged_file_is_exported_hour_by_hour(make):
    store = await make(Options(window=Duration(0.0), raw=Duration(86400), five_minutes=Duration(86400)))
    for day in range(4):
        await store.write(every_minute("a", T + day * DAY, 90, value=float(day)))
    expected = await counted(store)
    await settle_all(store)
    assert rolled(store) == [(0, 2), (2, 1), (3, 1)]
    tables = store._tables
    assert {hour for hour in export.hours(tables) if export.rolled(tables, hour, export.keys(tables))} == set(expected)
    (point,) = export.rolled(tables, T + DAY + HOUR, export.keys(tables))
    assert (point.tags, point.fields["count_f"], point.fields["mean_f"]) == ({"host": "a"}, 30, sum(range(61, 91)) / 30)
    assert not export.points(tables, T, T + HOUR, export.keys(tables))


async def test_a_store_of_an_older_format_is_read_and_merged(make, tmp_path):
    store, expected = await filled(make, 3, UNMERGED)
    await store.close()
    as_format_2(tmp_path)
    store = await make()
    assert await counted(store) == expected
    assert rolled(store) == [(0, 1), (1, 1), (2, 1)]
    await settle_all(store)
    assert rolled(store) == [(0, 2), (2, 1)]
    assert await counted(store) == expected
    await store.close()
    with duckdb.connect(tmp_path / "points.duckdb") as file:
        assert file.execute("SELECT format FROM about").fetchall() == [(4,)]
        by_field = dict(file.execute("SELECT name, by_field FROM files").fetchall())
    # what was merged lies by field, the rest as it was
    assert {name: new for name, new in by_field.items() if "-1h-" in name} == {
        name: "-48h-" in name for name in by_field if "-1h-" in name
    }


async def test_files_of_both_formats_answer_one_question(make, tmp_path):
    store = await make()
    days = {day: [*every_minute("a", T + day * DAY, 90), *every_minute("b", T + day * DAY, 90)] for day in range(4)}
    await store.write(days[0] + days[1])
    await settle_all(store, UNMERGED)
    await store.close()
    as_format_2(tmp_path)
    store = await make()
    # a value in an old hour, and days of the new format
    await store.write([*every_minute("c", T + DAY, 1, value=9.0), *days[2], *days[3]])
    expected = {}
    for day, points in days.items():
        for point in points:
            hour = T + day * DAY + (point.time - T) % DAY // HOUR * HOUR
            expected[hour] = expected.get(hour, 0.0) + point.fields["f"]
    expected[T + DAY] += 9.0
    for limits in (UNMERGED, SHORT):
        assert await counted(store) == expected
        await settle_all(store, limits)
        assert await counted(store) == expected
        minutes = await counted(store, step=60 * 10**9)
        assert sum(minutes.values()) == sum(expected.values())
