"""Nagios plug-ins of every kind: those that behave, and those that never end, flood, hide or leave something behind."""

import errno
import os
import time
from pathlib import Path

import pytest

from collectors.host import Roots
from collectors.host.exec import Exec, Options
from collectors.host.sources import nagios
from configs.units import Duration, Size

NOW = 1_700_000_000_000_000_000


@pytest.fixture
def plugin(tmp_path):
    """Write a shell script as a plug-in; ``plugin("name", "echo OK")`` gives its path."""

    def write(name, script):
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return str(file)

    return write


async def states(commands, **options):
    points = await Exec(Options(commands=commands, **options), Roots()).collect(NOW)
    return {point.tags["check"]: point.fields for point in points if point.measurement == "nagios_state"}


def alive(pid):
    """The state of a process, "" when it is gone; a zombie is one that nobody buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize(("code", "state"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (127, 3), (255, 3)])
async def test_exit_codes_are_states(plugin, code, state):
    told = await states({"a": (plugin("a", f"echo teks; exit {code}"),)})
    assert told["a"]["state"] == state
    assert told["a"]["service_output"] == ("teks" if code <= 3 else f"ended with {code}: teks")


async def test_a_plug_ins_words_and_figures_are_taken(plugin):
    script = r"""echo "DISK WARNING - /var 91%|'/var log'=91.5%;80:90;@10:20;0;100 inode=12;;95"
echo "baris kedua"
echo "baris ketiga|waktu=0.5s
lain=7c" """
    one = Exec(Options(commands={"disk": (plugin("d", f"{script}\nexit 1"), "-x", "a b")}), Roots())
    state, *figures = await one.collect(NOW)
    assert state.tags == {"check": "disk"}
    assert state.fields == {
        "state": 1,
        "service_output": "DISK WARNING - /var 91%",
        "long_service_output": "baris kedua\nbaris ketiga",
    }
    assert [(point.tags["perfdata"], point.tags.get("unit"), point.fields["value"]) for point in figures] == [
        ("/var log", "%", 91.5),
        ("inode", None, 12.0),
        ("waktu", "s", 0.5),
        ("lain", "c", 7.0),
    ]
    assert {point.measurement for point in figures} == {"nagios"}


async def test_arguments_reach_the_plug_in_without_a_shell(plugin):
    told = await states({"a": (plugin("a", 'echo "$#:$1"'), "a b; $(id) | x")})
    assert told["a"]["service_output"] == "1:a b; $(id)"


async def test_one_that_says_nothing_tells_its_complaint(plugin):
    told = await states({"a": (plugin("a", "echo salah >&2; exit 2"),), "b": (plugin("b", "exit 0"),)})
    assert told["a"]["service_output"] == "salah"
    assert told["b"] == {"state": 0, "service_output": "exit code 0"}


async def test_one_that_does_not_end_is_killed_with_all_it_started_though_it_ignores_sigterm(plugin, tmp_path, until):
    script = f"trap '' TERM HUP INT; sleep 60 & echo $! $$ > {tmp_path}/pids; wait; wait; sleep 60"
    began = time.monotonic()
    told = await states({"a": (plugin("a", script),)}, deadline=Duration(2))
    assert time.monotonic() - began < 20
    assert told["a"] == {"state": 3, "service_output": "no end within 2 s"}
    child, own = (tmp_path / "pids").read_text().split()
    await until(lambda: alive(own) == "", what="the end")
    await until(lambda: alive(child) in {"", "Z"}, what="the end of its child")  # to be buried by init, if there is one


async def test_one_that_closes_its_output_and_runs_on_is_killed_too(plugin, tmp_path, until):
    script = f"echo $$ > {tmp_path}/pid; echo OK; exec >&- 2>&-; sleep 60"
    told = await states({"a": (plugin("a", script),)}, deadline=Duration(2))
    assert told["a"]["state"] == 3
    await until(lambda: alive((tmp_path / "pid").read_text().strip()) == "", what="the end")


async def test_what_one_leaves_behind_does_not_hold_its_answer_back(plugin, tmp_path, until):
    began = time.monotonic()
    told = await states({"a": (plugin("a", f"sleep 60 & echo $! > {tmp_path}/pid; echo OK; exit 1"),)})
    assert told["a"] == {"state": 1, "service_output": "OK"}
    assert time.monotonic() - began < 20
    await until(lambda: alive((tmp_path / "pid").read_text().strip()) in {"", "Z"}, what="the end")


@pytest.mark.parametrize("flood", ["yes", "head -c 10000000 /dev/zero", "yes >&2 & exec yes"])
async def test_a_flood_is_cut_off(plugin, flood):
    told = await states({"a": (plugin("a", flood),)}, max_output=Size(10_000), deadline=Duration(30))
    assert told["a"] == {"state": 3, "service_output": "wrote more than 10000 bytes"}


async def test_output_that_is_no_text_and_too_many_figures_are_bounded(plugin):
    script = r"""printf 'OK \377\376\000 %s|' "$(head -c 9000 /dev/zero | tr '\0' x)"; for i in $(seq 300); do printf "a$i=1 "; done"""
    points = await Exec(Options(commands={"a": (plugin("a", script),)}, max_perfdata=10), Roots()).collect(NOW)
    assert len(points) == 11
    assert len(points[0].fields["service_output"]) == 4096


async def test_many_runs_leave_no_zombie_and_no_open_file(plugin):
    ended = plugin("a", "exit 0")
    await states({str(number): (ended,) for number in range(10)})
    files, before = len(list(Path("/proc/self/fd").iterdir())), zombies()
    for _ in range(3):
        await states({str(number): (ended,) for number in range(10)})
    assert len(list(Path("/proc/self/fd").iterdir())) <= files
    assert zombies() <= before


def zombies():
    """Children of this process that it has not buried."""
    stats = {one.name: read(one / "stat").rpartition(")")[2].split() for one in Path("/proc").glob("[0-9]*")}
    return {pid for pid, stat in stats.items() if stat[:2] == ["Z", str(os.getpid())]}


def read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""


async def test_one_that_cannot_be_started_is_unknown_beside_others(plugin, tmp_path):
    told = await states({"good": (plugin("a", "echo OK"),), "gone": (str(tmp_path / "nowhere"),)})
    assert told["good"]["state"] == 0
    assert told["gone"] == {"state": 3, "service_output": "No such file or directory"}


async def test_a_host_without_any_of_them_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere") as caught:
        await states({"gone": (str(tmp_path / "nowhere"),)})
    assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize("commands", [{}, {"a": ()}])
def test_nothing_to_run_is_refused_at_once(commands):
    with pytest.raises(ValueError, match="at least one command"):
        Options(commands=commands)


@pytest.mark.parametrize(
    ("threshold", "fields"),
    [
        ("10", {"warning_lt": 0.0, "warning_gt": 10.0}),
        ("10:", {"warning_lt": 10.0}),
        ("~:10", {"warning_gt": 10.0}),
        ("10:20", {"warning_lt": 10.0, "warning_gt": 20.0}),
        ("@10:20", {"warning_ge": 10.0, "warning_le": 20.0}),
        ("-1.5:2e3", {"warning_lt": -1.5, "warning_gt": 2000.0}),
        (":5", {"warning_lt": 0.0, "warning_gt": 5.0}),
        ("", {}),
        ("~", {}),
        ("@", {}),
        ("a:b", {}),
    ],
)
def test_ranges_are_read_as_the_guidelines_say(threshold, fields):
    (one,) = nagios.perfdata(f"x=1;{threshold}")
    assert one.fields == {"value": 1.0, **fields}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'it''s'=1", [("it's", "", 1.0)]),
        ("a=U b=2ms", [("b", "ms", 2.0)]),
        ("a=-1.5e3B;;;0 junk b==2 'c d=3", [("a", "B", -1500.0), ("d", "", 3.0)]),
        ("a=1;2;3;4;5;6;7", [("a", "", 1.0)]),
        ("a=1,5", []),
        ("=1 ;;; | |", []),
    ],
)
def test_figures_without_sense_are_left_out(text, expected):
    assert [(one.label, one.unit, one.fields["value"]) for one in nagios.perfdata(text)] == expected
