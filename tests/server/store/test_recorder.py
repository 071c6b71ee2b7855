from collectors.point import Point
from server.store import StoreUnavailable, Written
from server.store.recorder import Recorder


class FlakyStore:
    def __init__(self):
        self.points = []
        self.away = False

    async def write(self, points):
        if self.away:
            raise StoreUnavailable("gone")
        self.points += points
        return Written(len(points))


def point(number):
    return Point("pantau_check", {"check": "a"}, {"took": 0.1}, number)


async def test_points_wait_while_the_store_is_away_and_are_written_once_when_it_is_back():
    store = FlakyStore()
    recorder = Recorder(store)
    recorder.add([point(1), point(2)])
    store.away = True
    await recorder.flush()
    recorder.add([point(3)])
    assert store.points == []
    store.away = False
    await recorder.flush()
    await recorder.flush()
    assert [written.time for written in store.points] == [1, 2, 3]


async def test_what_comes_while_the_store_writes_is_kept_for_the_next_time():
    store = FlakyStore()
    recorder = Recorder(store)
    plain_write = store.write

    async def write(points):
        recorder.add([point(9)])
        return await plain_write(points)

    store.write = write
    recorder.add([point(1)])
    await recorder.flush()
    store.write = plain_write
    await recorder.flush()
    assert [written.time for written in store.points] == [1, 9]


async def test_the_oldest_go_when_too_many_wait_and_are_counted():
    store = FlakyStore()
    recorder = Recorder(store, held=3)
    recorder.add(point(number) for number in range(5))
    await recorder.flush()
    assert [written.time for written in store.points] == [2, 3, 4]
    assert recorder.dropped == 2
