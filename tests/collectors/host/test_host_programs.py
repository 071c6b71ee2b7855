"""systemctl, chronyc and apt: what they refuse, what takes too long, and the real ones where they are."""

import asyncio
import errno
import shutil
from datetime import datetime

import pytest
from parts import daemon, require

from collectors.host import Roots
from collectors.host.sources import end_of_support
from collectors.host.sources.program import Ended, run

NS = 10**9


@pytest.fixture
def booted(tmp_path):
    (tmp_path / "systemd/system").mkdir(parents=True)
    return Roots(run=str(tmp_path))


async def test_a_systemd_that_does_not_answer_is_an_error_to_be_tried_again(collector, booted):
    async def refusing(_command, *, seconds):
        return Ended(1, "", "Failed to list units: Connection timed out\n")

    with pytest.raises(OSError, match="Connection timed out") as caught:
        await collector("systemd_units", booted, refusing).collect(0)
    assert caught.value.errno == errno.EIO


async def test_a_host_without_systemd_is_told_in_one_line(collector, tmp_path):
    with pytest.raises(FileNotFoundError, match="this host was not started by systemd"):
        await collector("systemd_units", Roots(run=str(tmp_path))).collect(0)


async def test_chronyc_without_chronyd_is_an_error_to_be_tried_again(collector):
    require("chronyc", "chrony")
    if await chronyd_answers():
        pytest.skip("chronyd runs on this host")
    with pytest.raises(ConnectionRefusedError, match="Cannot talk to daemon"):
        await collector("chrony").collect(0)


async def chronyd_answers():
    return (await run(("chronyc", "-n", "-c", "tracking"), seconds=60)).code == 0


@pytest.mark.real
async def test_the_real_chronyd_is_understood(collector, tmp_path, until):
    binary = require("chronyd", "chrony")
    if await chronyd_answers():
        pytest.skip("chronyd runs on this host")
    settings = tmp_path / "chrony.conf"
    socket = tmp_path / "chronyd.sock"
    # a clock of its own that it takes for right; -x keeps it from touching this host's
    settings.write_text(
        f"local stratum 5\nport 0\ncmdport 0\nbindcmdaddress {socket}\npidfile {tmp_path}/chronyd.pid\n"
    )
    tmp_path.chmod(0o700)
    with daemon([binary, "-x", "-d", "-u", "root", "-f", settings], log=tmp_path / "log"):
        await until(lambda: asyncio.to_thread(socket.exists), what=(tmp_path / "log").read_text())

        async def there(command, *, seconds):
            return await run((command[0], "-h", str(socket), *command[1:]), seconds=seconds)

        (point,) = await collector("chrony", None, there).collect(0)
    assert point.tags["reference_id"] == "7F7F0101"
    assert point.tags["stratum"] == "5"
    assert all(type(value) is float for value in point.fields.values())


@pytest.fixture
def debian(tmp_path):
    (tmp_path / "lib/dpkg").mkdir(parents=True)
    (tmp_path / "lib/apt/lists").mkdir(parents=True)
    (tmp_path / "lib/dpkg/status").write_text("")
    return Roots(var=str(tmp_path), run=str(tmp_path))


async def test_apt_is_asked_when_something_changed_at_most_hourly_and_daily(collector, debian):
    asked = []

    async def apt(_command, *, seconds):
        asked.append(now)
        return Ended(0, "")

    one = collector("updates", debian, apt)
    start = 1_700_000_000 * NS
    for minute in range(0, 27 * 60, 10):
        now = start + minute * 60 * NS
        if minute == 30:
            status = debian.var + "/lib/dpkg/status"
            await asyncio.to_thread(shutil.copy, __file__, status)
        await one.collect(now)
    assert [(at - start) // (60 * NS) for at in asked] == [0, 60, 60 + 24 * 60]


async def test_an_apt_slower_than_the_agents_deadline_is_not_started_anew(collector, debian):
    started = 0
    done = asyncio.Event()

    async def slow(_command, *, seconds):
        nonlocal started
        started += 1
        await done.wait()
        return Ended(0, "Inst a [1] (2 Debian-Security:12/stable-security [amd64])\n")

    one = collector("updates", debian, slow)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.collect(NS), 0.05)
    done.set()
    (point,) = await one.collect(NS)
    assert (started, point.fields["pending"], point.fields["security"]) == (1, 1, 1)


async def test_a_failing_apt_is_tried_again(collector, debian):
    answers = [Ended(100, "", "E: The package cache file is corrupted\n"), Ended(0, "")]

    async def apt(_command, *, seconds):
        return answers.pop(0)

    one = collector("updates", debian, apt)
    with pytest.raises(OSError, match="cache file is corrupted"):
        await one.collect(NS)
    (point,) = await one.collect(2 * NS)
    assert point.fields["pending"] == 0


@pytest.mark.parametrize(
    ("release", "day"),
    [
        ({"ID": "debian", "VERSION_ID": "12"}, "2028-07-01"),
        ({"ID": "ubuntu", "VERSION_ID": "22.04"}, "2027-06-02"),
        ({"ID": "centos", "VERSION_ID": "7"}, "2024-07-01"),
        ({"ID": "rocky", "VERSION_ID": "9.3"}, "2032-06-01"),
        ({"ID": "debian", "VERSION_ID": "12", "SUPPORT_END": "2026-01-01"}, "2026-01-02"),
        ({"ID": "debian", "SUPPORT_END": "soon"}, None),
        ({"ID": "arch"}, None),
        ({}, None),
    ],
)
def test_the_end_of_support_is_what_the_system_says_or_its_makers_do(release, day):
    expected = None if day is None else int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp())
    assert end_of_support.end(release) == expected
