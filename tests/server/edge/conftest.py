"""A small web server behind the door, on a free port of 127.0.0.1."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from parts import free_port

from server.edge.connections import Door, Options


class Served:
    """The port of a server, its door, and what its handlers wait for."""

    def __init__(self, port, door):
        self.port = port
        self.door = door
        self.let_go = asyncio.Event()
        self.asked = 0
        self.writers = []

    async def connect(self, *sent):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        for part in sent:
            writer.write(part)
        await writer.drain()
        return reader, writer

    async def ask(self, path="/"):
        """Return the status line of an answer."""
        reader, writer = await self.connect(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        return answer


@pytest.fixture
def serve():
    @asynccontextmanager
    async def start(options=None, *, room=1000, trusted_proxies=()):
        async def quick(request):
            served.asked += 1
            return web.Response(text="here")

        async def stream(request):
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"first\n")
            await served.let_go.wait()
            await response.write(b"last\n")
            return response

        async def large(request):
            return web.Response(body=bytes(50_000_000))

        app = web.Application()
        app.add_routes([web.get("/", quick), web.get("/stream", stream), web.get("/large", large)])
        runner = web.AppRunner(app)
        await runner.setup()
        door = Door(runner.server, options or Options(), room=room, trusted_proxies=trusted_proxies)
        port = free_port()
        await door.open("127.0.0.1", port)
        served = Served(port, door)
        try:
            yield served
        finally:
            served.let_go.set()
            for writer in served.writers:
                writer.close()
            await door.close()
            await runner.cleanup()

    return start
