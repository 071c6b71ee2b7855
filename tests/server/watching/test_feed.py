import asyncio

from server.watching.feed import Feed


async def test_every_listener_gets_every_event():
    feed = Feed()
    with feed.subscribe() as one, feed.subscribe() as other:
        feed.publish("look", {"subject": "service/a"})
        feed.publish("flip", {"subject": "service/a"})
        for listener in (one, other):
            assert [(await listener.get(1)).name, (await listener.get(1)).name] == ["look", "flip"]
    assert feed.listeners == 0


async def test_who_falls_behind_is_told_to_read_anew_and_holds_nobody_up():
    feed = Feed()
    with feed.subscribe() as slow:
        for number in range(1000):
            feed.publish("look", {"number": number})
        assert slow._waiting.qsize() <= 100
        events = [await slow.get(1) for _ in range(slow._waiting.qsize())]
        assert events[0].name == "resync"
        assert events[-1].data["number"] == 999


async def test_the_end_wakes_those_who_wait_and_those_who_come_later():
    feed = Feed()
    with feed.subscribe() as early:
        waiting = asyncio.create_task(early.get(5))
        await asyncio.sleep(0)
        feed.close()
        assert await waiting is None
    with feed.subscribe() as late:
        assert await late.get(5) is None
