"""Two centres on one InfluxDB: who came later ends; a clean stop or 45 s of silence let another one begin."""

import time

import pytest
from parts import wait_until

from configs.secret import Secret
from configs.units import Duration
from server.store import StoreUnavailable
from server.store.influx.store import Options
from server.store.spooled import Options as SpooledOptions
from server.store.spooled import SpooledInflux
from server.watching.lease import Lease


class Kept:
    """A store in memory that counts as an InfluxDB: a database with a clock and a retention of its own."""

    def __init__(self):
        self.points, self.away = {}, False

    def newest(self):
        return None

    async def write(self, points):
        if self.away:
            raise StoreUnavailable("away")
        for point in points:
            self.points[tuple(sorted(point.tags.items()))] = point

    async def latest(self, measurement, fields, *, since, where=None):
        if self.away:
            raise StoreUnavailable("away")
        return [point for point in self.points.values() if point.measurement == measurement and point.time >= since]


@pytest.fixture
def city(tmp_path):
    class City:
        now, store = 10**12, Kept()

        def centre(self, name):
            folder, lost = tmp_path / name, []
            folder.mkdir(exist_ok=True)
            return Lease(self.store, folder, lambda: self.now, lost.append), lost

    return City()


async def test_who_comes_later_ends_and_who_was_there_stays(city):
    first, lost_first = city.centre("a")
    await first.renew()
    city.now += 20_000
    second, lost_second = city.centre("b")
    await second.renew()
    await first.renew()
    assert lost_first == []
    (words,) = lost_second
    assert words.startswith("another centre writes into this store: on ")
    await second.renew()
    assert len(lost_second) == 1
    assert len(city.store.points) == 1


async def test_of_two_that_begin_at_once_one_stays(city):
    first, lost_first = city.centre("a")
    second, lost_second = city.centre("b")
    for _ in range(2):
        await first.renew()
        await second.renew()
    assert len(lost_first) + len(lost_second) == 1


async def test_after_a_clean_stop_or_a_long_silence_another_one_begins(city):
    first, _ = city.centre("a")
    await first.renew()
    await first.end()
    city.now += 1000
    second, lost = city.centre("b")
    await second.renew()
    city.now += 46_000
    third, lost_third = city.centre("c")
    await third.renew()
    assert (lost, lost_third) == ([], [])


async def test_the_same_centre_begins_again_at_once_after_a_kill(city):
    first, _ = city.centre("a")
    await first.renew()
    city.now += 1000
    again, lost = city.centre("a")
    await again.renew()
    assert lost == []


async def test_a_store_that_is_away_holds_up_nobody_and_is_asked_again(city):
    first, _ = city.centre("a")
    await first.renew()
    city.now += 1000
    second, lost = city.centre("b")
    city.store.away = True
    await second.renew()
    await second.end()
    assert lost == []
    city.store.away = False
    await second.renew()
    assert len(lost) == 1


@pytest.mark.real
@pytest.mark.may_block
async def test_in_a_real_influxdb(influx2, tmp_path):
    url, _, token = influx2
    influx = Options(url=url, org="kota", bucket="first", token=Secret("file", str(token)), timeout=Duration(20))
    stores = [
        SpooledInflux(
            SpooledOptions(**{name: getattr(influx, name) for name in influx.__struct_fields__}), tmp_path / name
        )
        for name in "ab"
    ]
    for store in stores:
        (tmp_path / "ab"[stores.index(store)]).mkdir()
        await store.open()
    lost, now = [], time.time_ns() // 1_000_000
    first = Lease(stores[0], tmp_path / "a", lambda: now - 5000, lost.append)
    second = Lease(stores[1], tmp_path / "b", lambda: now, lost.append)
    await first.renew()

    async def ended():
        await second.renew()
        return lost

    await wait_until(ended, 10, "the end of the second")
    await first.renew()
    assert len(lost) == 1
    for store in stores:
        await store.close()
