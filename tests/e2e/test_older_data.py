"""A data folder that an older Pantau left behind opens: its points, incidents, ledger, accounts and invitations are there.

``tests/cases/older_data`` holds one folder for each state of the project, packed after a centre of that state had run: two hosts
with three days of points (rows and files of each kind), a service that was up, one that was down, a rule that found a full disk.
"""

import asyncio
import datetime as dt
import re
import tarfile
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest
from parts import free_port

from alerts import incident
from alerts.states import States
from alerts.states import read as read_states
from server.app import running
from server.enrolment import invitations
from server.readmodel.overview import Overview
from server.report.build import build, month
from server.settings import read
from server.state.database import Database
from server.store import Range
from server.web import accounts

FOLDERS = sorted((Path(__file__).parents[1] / "cases/older_data").glob("*.tar.xz"))
S = 1_000_000_000
START = 1_795_802_400  # of the points, every 300 s
COUNT = 866
STOPPED = 1_796_062_279_000


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.stem.removesuffix(".tar"))
def settings(request, tmp_path):
    with tarfile.open(request.param) as packed:
        for member in packed:
            if member.isfile():  # not extractall, whose ways differ from Python to Python
                place = tmp_path / member.name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(packed.extractfile(member).read())
    file = tmp_path / "server.toml"
    file.write_text(
        re.sub(r'listen = ".*"', f'listen = "127.0.0.1:{free_port()}"\nretention = "36500d"', file.read_text())
    )
    # nothing listens at the addresses of that day any more, and nobody is to be told anything
    services = tmp_path / "services.toml"
    services.write_text(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{free_port()}", services.read_text()))
    file.write_text(
        re.sub(r'url = "http://127\.0\.0\.1:\d+/"', f'url = "http://127.0.0.1:{free_port()}/"', file.read_text())
    )
    return read(file)


def busy(at, host):
    return (at // 300 + host) % 50 + 0.5


async def test_its_points_are_there(settings):
    (bucket,) = settings.buckets()
    store = bucket.store
    await store.open()
    try:
        end = START + 300 * COUNT
        query = Range("cpu", "usage_user", START * S, end * S, 300 * S, by=("host",))
        answer = {series.tags["host"]: series for series in await store.range(query)}
        times = [START + 300 * turn for turn in range(COUNT)]
        for host in (1, 2):
            assert list(answer[f"srv-{host}"].times) == [at * S for at in times]
            assert list(answer[f"srv-{host}"].values) == [busy(at, host) for at in times]
        newest = await store.latest(
            "disk", ["used_percent", "total", "fstype_ok", "label"], since=0, where={"host": "srv-1"}
        )
        assert [reading.fields for reading in newest] == [
            {"used_percent": 95.5, "total": 10**12, "fstype_ok": True, "label": "akar"}
        ]
        assert await store.tag_values("net", "interface") == ["eth0"]
    finally:
        await store.close()


@pytest.mark.may_block
async def test_what_was_believed_told_and_agreed_is_there(settings):
    async with running(settings):
        pass
    database = Database(settings.state_url)
    with database.engine.connect() as tx:
        found = {(one.check, one.subject): one for one in incident.recent(tx, limit=10)}
        portal, disk = found["portal-http", "service/portal"], found["rule/disk", "host/srv-1/path=/"]
        assert (portal.status, disk.status) == ("down", "degraded")
        assert [len(incident.messages(tx, one.id)) for one in (portal, disk)] >= [1, 1]
        account = accounts.find(tx, "sari")
        assert (account.role, accounts.Passwords().fits(account, "rahasia-sekali")) == ("operator", True)
        assert len(invitations.invitations(tx, STOPPED)) == 1
        start, end = month("2026-12", "Asia/Jakarta")
        report = build(tx, settings.watched.register, start=start, end=end, now=STOPPED, zone="Asia/Jakarta")
    simpus, portal = sorted(report.services, key=lambda each: each.id, reverse=True)
    assert (simpus.id, simpus.figures.down, portal.id) == ("simpus", 0, "portal")
    assert simpus.figures.observed > 100_000
    assert portal.figures.observed == portal.figures.down > 100_000
    database.close()


@pytest.mark.may_block
async def test_the_centre_starts_on_it_and_shows_it(settings):
    async with running(settings), aiohttp.ClientSession("http://{}:{}".format(*settings.listen)) as client:
        async with client.get("/health") as answer:
            assert answer.status == HTTPStatus.OK
        database = await asyncio.to_thread(Database, settings.state_url)
        states = States()
        states.load(*await database.read(read_states))
        fixed = {"clock": lambda: STOPPED, "steady": lambda: STOPPED}
        overview = Overview(database, states, settings.watched, zone="Asia/Jakarta", **fixed)
        front = await overview.front()
        await asyncio.to_thread(database.close)
    # a slow machine may see by then that nothing answers at the address of the other service
    assert {problem.name.subject for problem in front.problems} >= {"service/portal", "host/srv-1/path=/"}
    assert dt.date(2026, 12, 1) in {day.date for group in front.groups for row in group.services for day in row.days}
