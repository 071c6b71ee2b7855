"""Disks that hang are left alone, disks without rights are told, and nothing of it stops the others."""

import asyncio
import json

import pytest

from collectors.host.sources import program
from collectors.host.sources.program import Ended

HOUR = 3600 * 10**9
FINE = json.dumps({"smartctl": {"exit_status": 0}, "smart_status": {"passed": True}})


@pytest.fixture
def disks(collector):
    """A collector over two disks, of which each answers as told: text, an exception or a wait."""
    answers = {"/dev/sda": FINE, "/dev/sdb": FINE}
    asked = []

    async def run(command, *, seconds):
        if "--scan" in command:
            devices = [{"name": name, "type": "sat"} for name in answers]
            return Ended(0, json.dumps({"devices": devices}))
        asked.append(command[-1])
        answer = answers[command[-1]]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, float):
            await asyncio.sleep(answer)
        return Ended(0, answer)

    return collector("smart", None, run), answers, asked


def names(points):
    return [point.tags["device"] for point in points]


async def test_a_disk_that_does_not_answer_is_left_alone_longer_each_time(disks, caplog):
    smart, answers, asked = disks
    answers["/dev/sda"] = TimeoutError("no end within 15 s")
    assert names(await smart.collect(0)) == ["sdb"]
    tries = []
    for hour in range(60):
        asked.clear()
        assert names(await smart.collect(hour * HOUR + 1)) == ["sdb"]
        if "/dev/sda" in asked:
            tries.append(hour)
    assert tries == [1, 3, 7, 15, 31, 55]
    assert "left alone for 24 h" in caplog.text


async def test_a_disk_that_answers_again_is_asked_as_ever(disks):
    smart, answers, _ = disks
    answers["/dev/sda"] = TimeoutError()
    await smart.collect(0)
    answers["/dev/sda"] = FINE
    assert names(await smart.collect(HOUR)) == ["sda", "sdb"]
    answers["/dev/sda"] = TimeoutError()
    await smart.collect(HOUR + 1)
    answers["/dev/sda"] = FINE
    assert names(await smart.collect(2 * HOUR + 1)) == ["sda", "sdb"]


async def test_the_agents_deadline_leaves_the_hanging_disk_alone_too(disks):
    smart, answers, asked = disks
    answers["/dev/sda"] = 60.0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(smart.collect(0), 0.1)
    asked.clear()
    assert names(await smart.collect(10**10)) == ["sdb"]
    assert asked == ["/dev/sdb"]


async def test_missing_rights_are_told_when_no_disk_can_be_read(disks):
    smart, answers, _ = disks
    refused = {"exit_status": 2, "messages": [{"string": "Smartctl open device: /dev/sda failed: Permission denied"}]}
    answers["/dev/sda"] = json.dumps({"smartctl": refused})
    assert names(await smart.collect(0)) == ["sdb"]
    answers["/dev/sdb"] = json.dumps({"smartctl": refused})
    with pytest.raises(PermissionError, match="Permission denied"):
        await smart.collect(1)


async def test_an_answer_that_is_no_json_is_told(disks):
    smart, answers, _ = disks
    answers["/dev/sda"] = answers["/dev/sdb"] = "sudo: a password is required\n"
    with pytest.raises(OSError, match="a password is required"):
        await smart.collect(0)


@pytest.mark.real
async def test_the_real_smartctl_is_understood(collector):
    try:
        await program.run(("smartctl", "--version"), seconds=5)
    except FileNotFoundError:
        pytest.skip("smartctl is missing: apt-get install smartmontools")
    try:
        points = await collector("smart").collect(0)
    except FileNotFoundError as error:
        if error.strerror != "smartctl finds no disk that can tell of itself":
            raise
        return
    assert all("exit_status" in point.fields for point in points)


async def test_a_disk_behind_a_controller_that_hangs_does_not_silence_its_neighbours(collector):
    hanging, asked = {"megaraid,1"}, []

    async def run(command, *, seconds):
        kind = command[command.index("-d") + 1]
        asked.append(kind)
        if kind in hanging:
            raise TimeoutError("no end within 15 s")
        return Ended(0, FINE)

    smart = collector("smart", None, run, devices=tuple(f"/dev/bus/0 -d megaraid,{number}" for number in range(4)))
    for reading in range(3):
        asked.clear()
        points = await smart.collect(reading * 10**10)
        assert [point.tags["type"] for point in points] == ["megaraid,0", "megaraid,2", "megaraid,3"]
    assert asked == ["megaraid,0", "megaraid,2", "megaraid,3"]
    hanging.clear()
    assert len(await smart.collect(HOUR)) == 4


async def test_one_disk_behind_a_controller_can_be_left_out(collector):
    async def run(command, *, seconds):
        return Ended(0, FINE)

    devices = tuple(f"/dev/bus/0 -d megaraid,{number}" for number in range(3))
    smart = collector("smart", None, run, devices=devices, excludes=("/dev/bus/0 -d megaraid,1",))
    assert [point.tags["type"] for point in await smart.collect(0)] == ["megaraid,0", "megaraid,2"]


async def test_a_disk_that_is_listed_twice_is_asked_once(collector):
    async def run(command, *, seconds):
        return Ended(0, FINE)

    smart = collector("smart", None, run, devices=("/dev/sda", "/dev/sda"))
    assert names(await smart.collect(0)) == ["sda"]
