"""What anybody with a token may write must not break a page."""

import pytest

from collectors.point import Point
from server.readmodel import charts
from server.store.embedded.store import Embedded, Options

NOW = 1_795_571_000_000


@pytest.fixture
async def store(tmp_path):
    made = Embedded(Options(), tmp_path, lambda: NOW * 1_000_000)
    await made.open()
    yield made
    await made.close()


async def test_a_text_where_a_number_belongs_says_nothing(store):
    at = (NOW - 1000) * 1_000_000
    await store.write(
        [
            Point("mem", {"host": "a"}, {"used_percent": "x"}, at),
            Point("disk", {"host": "b", "path": "/"}, {"used_percent": "x"}, at),
            Point("device", {"source": "sw1"}, {"sysUpTime": "x"}, at),
            Point("interface", {"source": "sw1", "ifName": "Gi1²"}, {"ifHighSpeed": "x", "ifOperStatus": 1}, at),
            Point("interface", {"source": "sw1", "ifName": "Gi" + "9" * 5000}, {"ifOperStatus": 1}, at),
        ]
    )
    assert await charts.gauges(store, NOW) == {}
    assert await charts.uptime(store, "sw1", NOW) is None
    ports = await charts.ports(store, "sw1", NOW)
    assert [(port.name[:4], port.speed) for port in ports] == [("Gi1²", None), ("Gi99", None)]
