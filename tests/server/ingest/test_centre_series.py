"""What the centre itself found can be forged by nobody who writes."""

import asyncio

import pytest
from aiohttp import ClientSession
from parts import free_port

from collectors.point import Point
from server.app import running
from server.enrolment.fingerprints import HEADER
from server.enrolment.invitations import invite
from server.ingest.centre_series import CentreSeries
from server.readmodel import charts
from server.settings import read
from server.store.embedded.store import Embedded, Options
from server.web.context import WEB

OURS = CentreSeries(measurements=frozenset({"pantau_check"}), polled=frozenset({"interface"}), devices=("sw-1",))
CHECK = Point("pantau_check", {"host": "srv-1", "subject": "service/portal"}, {"took": 1.0}, 7)
ANY = Point("cpu", {"host": "srv-1"}, {"f": 1.0}, 7)


def port(**tags):
    return Point("interface", tags, {"ifHCInOctets": 1}, 7)


@pytest.mark.parametrize(
    ("point", "joined", "taken"),
    [
        (ANY, True, True),
        (CHECK, True, False),
        (CHECK, False, False),
        (port(host="srv-1", source="sw-1"), True, False),
        (port(host="srv-1", source="sw-2"), True, True),  # of a device that nobody but this host polls
        (port(host="telegraf", source="sw-1"), False, True),  # which no page shows as our own finding
        (port(source="sw-1"), False, False),
        (port(source="sw-1", host=""), False, False),
        (port(source="sw-2"), False, True),
    ],
)
def test_what_only_the_centre_writes(point, joined, taken):
    kept, refused = OURS.without([ANY, point, ANY], joined=joined)
    assert kept == ([ANY, point, ANY] if taken else [ANY, ANY])
    assert [one.measurement for one in refused] == ([] if taken else [point.measurement])


SERVER = """
[server]
listen = "127.0.0.1:{port}"
data = "data"
[ingest]
tokens = [{{ name = "telegraf", token = {{ file = "token" }} }}]
[[bucket]]
name = "lab"
[[snmp.device]]
id = "sw-1"
address = "127.0.0.1"
port = {silent}
community = {{ file = "token" }}
"""
MACHINE = "aaaaaaaaaaaa 111111111111"
FORGED = b"""cpu,host=srv-1 usage_idle=3
pantau_check,host=srv-1,subject=service/portal,check=x took=9
internal_schedule,host=srv-1,type=http late_ms=9i
interface,host=srv-1,source=sw-1,ifName=eth0 ifHCInOctets=9i
device,host=srv-1,source=sw-1 sysUpTime=9"""


@pytest.mark.may_block
async def test_a_host_that_joined_writes_its_own_points_and_none_of_the_centre(tmp_path):
    (tmp_path / "token").write_text("shared-token")
    (tmp_path / "server.toml").write_text(SERVER.format(port=free_port(), silent=free_port()))
    (tmp_path / "services.toml").write_text("")
    settings = read(tmp_path / "server.toml")
    async with running(settings) as app, ClientSession("http://{}:{}".format(*settings.listen)) as client:
        parts = app[WEB].parts
        now = parts.clock()
        token = await parts.database.write(lambda tx: invite(tx, hosts=1, until=now + 60_000, by="sari", at=now))
        body = {"token": token, "host": "srv-1", "machine": MACHINE}
        async with client.post("/api/pantau/join", json=body) as answer:
            own = (await answer.json())["token"]
        ways = (("/api/v2/write?org=pantau&bucket=pantau", 422), ("/write?db=pantau", 400))
        for path, status in ways:
            headers = {"Authorization": f"Token {own}", HEADER: MACHINE}
            async with client.post(path, data=FORGED, headers=headers) as answer:
                told = await answer.text()
                assert answer.status == status
                assert "partial write" in told
                assert "dropped=4" in told
                assert r"measurement \"interface\" of device \"sw-1\" is written by the centre only" in told
        shared = {"Authorization": "Token shared-token"}
        async with client.post(
            "/write?db=pantau", data=b"interface,source=sw-1 ifHCInOctets=9i", headers=shared
        ) as answer:
            assert answer.status == 400
        async with client.post("/write?db=lab", data=FORGED, headers=shared) as answer:
            assert answer.status == 204  # another bucket, which no page of ours is drawn from
        asked = await asyncio.gather(
            *(
                parts.store.latest(name, [field], since=0)
                for name, field in (("cpu", "usage_idle"), ("device", "sysUpTime"))
            )
        )
        assert [len(found) for found in asked] == [1, 0]
        assert "interface" not in await parts.store.measurements()


async def test_pages_show_of_devices_and_services_what_the_centre_itself_found(tmp_path):
    now = 1_780_000_200_000
    store = Embedded(Options(), tmp_path)
    await store.open()
    for tags, pace in (({}, 1000), ({"host": "srv-1"}, 99_000)):
        for minute in range(30):
            at = (now - minute * 60_000) * 1_000_000
            octets = {
                "ifHCInOctets": (100 - minute) * 60 * pace,
                "ifHCOutOctets": 0,
                "ifHighSpeed": pace,
                "ifOperStatus": 1,
            }
            await store.write(
                [
                    Point("interface", {"source": "sw-1", "ifName": "eth0", **tags}, octets, at),
                    Point("device", {"source": "sw-1", **tags}, {"sysUpTime": float(pace)}, at),
                    Point(
                        "pantau_check", {"subject": "service/portal", "check": "x", **tags}, {"took": pace / 1000}, at
                    ),
                ]
            )
    traffic = await charts.draw(store, charts.of_device("sw-1")[0], "1h", now)
    assert [round(value) for value in traffic.lines[0].values[3:6]] == [8000] * 3
    one_port = await charts.draw(store, charts.of_device("sw-1", "eth0")[0], "1h", now)
    assert one_port.lines[0].values[3:6] == traffic.lines[0].values[3:6]
    (only,) = await charts.ports(store, "sw-1", now)
    assert (only.name, only.speed) == ("eth0", 1e9)
    assert await charts.uptime(store, "sw-1", now) == 1000.0
    (took,) = (await charts.draw(store, charts.of_service("portal")[0], "1h", now)).lines
    assert set(took.values) == {1.0}
    await store.close()
