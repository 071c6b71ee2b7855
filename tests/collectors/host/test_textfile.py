"""Files that others leave: what is wrong with one never touches the others."""

import os
import time

import pytest

from collectors.host.sources import prometheus

NOW = 1_700_000_000 * 10**9


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "textfile"


@pytest.fixture
def read(collector, folder):
    folder.mkdir()
    one = collector("textfile", folders=(str(folder),), max_size=1000, max_points=10, max_files=20)

    async def both():
        points = await one.collect(time.time_ns())
        about = {p.tags["file"].rpartition("/")[2]: p.fields for p in points if p.measurement == "textfile"}
        return [p for p in points if p.measurement != "textfile"], about

    return both


async def test_one_bad_file_does_not_touch_the_others(read, folder, caplog):
    (folder / "good.prom").write_text("a 1\n")
    (folder / "huge.prom").write_text("b 1\n" * 1000)
    (folder / "many.prom").write_text("".join(f"c{i} 1\n" for i in range(20)))
    (folder / "gone.lp").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.lp")
    (folder / "odd.prom").write_bytes(b'd{x="\xff\xfe"} NaN\n')
    for _ in range(2):
        points, about = await read()
    assert {p.measurement for p in points} == {"a", "d"}
    assert {name for name, fields in about.items() if fields["error"]} == {
        "huge.prom",
        "many.prom",
        "gone.lp",
        "pipe.lp",
    }
    assert about["good.prom"]["points"] == 1
    assert caplog.text.count("is left out") == 4  # once, not at each reading


async def test_values_of_a_stale_file_are_not_sent_and_come_back(read, folder):
    file = folder / "backup.prom"
    file.write_text("backup_ok 1\n")
    os.utime(file, (1, 1))
    points, about = await read()
    assert points == []
    assert about["backup.prom"]["stale"] is True
    os.utime(file)
    points, about = await read()
    assert [p.measurement for p in points] == ["backup_ok"]
    assert about["backup.prom"]["stale"] is False


async def test_other_files_and_too_many_files_are_not_read(read, folder):
    for number in range(30):
        (folder / f"{number:02}.prom").write_text("x 1\n")
    (folder / "note.txt").write_text("no points")
    _, about = await read()
    assert sorted(about) == [f"{number:02}.prom" for number in range(20)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("fine 1\nlatency{le=0.5} 3\n", "line 2: labels are wrong at 'le=0.5'"),
        ("x one\n", "line 1: could not convert string to float: 'one'"),
        ("x\n", "line 1 is no sample: 'x'"),
        ('x{a="b" 1\n', "line 1 is no sample"),
    ],
)
def test_a_wrong_line_is_told(text, why):
    with pytest.raises(ValueError, match="^" + why):
        prometheus.read(text, NOW)


def test_a_label_may_hold_anything():
    (point,) = prometheus.read('x{a="} 1, {\\"\\\\\\n",b="",} 2 1700000000000\n', NOW)
    assert point.tags == {"a": '} 1, {"\\\n'}
    assert (point.fields, point.time) == ({"value": 2.0}, NOW)
