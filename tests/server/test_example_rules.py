"""Rules of the example settings over points as the agent writes them."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from alerts.rules import Evidence
from collectors.point import Point
from collectors.result import Status
from server.settings import read
from server.store.embedded.store import Embedded, Options

START = 1_780_561_800_000


@pytest.fixture
async def store(tmp_path):
    opened = Embedded(Options(), tmp_path, lambda: (START + 7_200_000) * 1_000_000)
    await opened.open()
    yield opened
    await opened.close()


@pytest.mark.may_block
async def test_a_disk_that_fails_is_told_of_and_its_repair_too_though_a_new_series_begins(store):
    rule = read(Path(__file__).parents[2] / "configs/server.toml").watched.rules["disk-failed"]
    known = {}

    async def look(minute, mode, failed):
        at = START + minute * 60_000
        tags = {"host": "srv-1", "path": "/var", "device": "sda1", "fstype": "ext4", "mode": mode}
        await store.write([Point("disk", tags, {"emergency_ro": failed}, at * 1_000_000)])
        (result,) = await rule.evaluate(Evidence(at + 1, at + 1, store, known))
        known[result.subject] = SimpleNamespace(subject=result.subject, status=result.status)
        return result.subject, result.status

    subject = "host/srv-1/path=/var"
    assert await look(0, "rw", 0) == (subject, Status.UP)
    assert await look(1, "ro", 1) == (subject, Status.DEGRADED)
    assert await look(30, "ro", 1) == (subject, Status.DEGRADED)
    assert await look(60, "rw", 0) == (subject, Status.UP)
