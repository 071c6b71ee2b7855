import asyncio

import pytest

from server.web import sessions
from server.web.context import Limits


async def events(answer, count, seconds=60):
    found = []
    async with asyncio.timeout(seconds):
        while len(found) < count:
            line = (await answer.content.readline()).decode().strip()
            if line and not line.startswith("retry"):
                found.append(line)
    return found


async def test_an_open_page_hears_what_happens_as_it_happens(visit):
    visitor = await visit("viewer")
    async with visitor.client.get("/live") as answer:
        assert answer.content_type == "text/event-stream"
        assert await events(answer, 2) == ["event: resync", "data: {}"]
        visitor.parts.feed.publish("flip", {"subject": "service/simpus", "status": "up", "incident": None})
        told = await events(answer, 2)
        assert told == ["event: flip", 'data: {"subject":"service/simpus","status":"up","incident":null}']
    async with asyncio.timeout(60):
        while visitor.parts.feed.listeners:
            visitor.parts.feed.publish("look", {})
            await asyncio.sleep(0.01)


async def test_a_quiet_stream_shows_that_it_lives(visit):
    visitor = await visit("viewer", limits=Limits(heartbeat=0.05))
    async with visitor.client.get("/live") as answer:
        assert (await events(answer, 4))[2:] == [": still here"] * 2


@pytest.mark.parametrize("busy", [True, False])
async def test_the_stream_ends_with_the_session(visit, busy):
    now = [1_780_561_800_000]
    visitor = await visit("viewer", clock=lambda: now[0], limits=Limits(heartbeat=0.05))
    async with visitor.client.get("/live") as answer, asyncio.timeout(60):
        await events(answer, 2)
        now[0] += sessions.IDLE
        reading = asyncio.create_task(answer.content.read())
        while not reading.done():
            if busy:
                visitor.parts.feed.publish("look", {})
            await asyncio.sleep(0.01)


async def test_a_stopping_centre_lets_its_listeners_go(visit):
    visitor = await visit("viewer")
    async with visitor.client.get("/live") as answer, asyncio.timeout(60):
        await events(answer, 2)
        visitor.parts.feed.close()
        assert await answer.content.read() in {b"", b"\n"}
