"""How many connections there may be, and how long one may wait."""

import asyncio
import errno
import socket
import time

import msgspec
import pytest
from parts import wait_until

from configs.units import Duration
from server.edge.connections import Options
from server.edge.descriptors import room_for

HALF = b"GET / HTTP/1.1\r\nHost: x\r\nX-More: "
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
QUICK = Options(head=Duration(1), idle=Duration(2), stalled=Duration(1))
LONG = 20.0  # seconds that nothing here should take


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "pantau.edge"]


async def read_all(reader):
    return await asyncio.wait_for(reader.read(), LONG)


@pytest.mark.parametrize("sent", [HALF, b"G", b"\r\n", b""])
async def test_a_connection_whose_head_does_not_come_is_closed(serve, sent):
    async with serve(QUICK) as served:
        began = time.monotonic()
        reader, _writer = await served.connect(sent)
        answer = await read_all(reader)
        assert time.monotonic() - began >= 1
        assert answer.startswith(b"HTTP/1.1 408 ") or (answer, sent) == (b"", b"")
        assert served.asked == 0


async def test_a_head_that_drips_has_no_more_time(serve):
    async with serve(QUICK) as served:
        reader, writer = await served.connect(HALF)
        began = time.monotonic()
        answer = asyncio.ensure_future(read_all(reader))
        while not answer.done() and time.monotonic() - began < LONG:
            writer.write(b"x")
            await asyncio.sleep(0.1)
        assert answer.result().startswith(b"HTTP/1.1 408 ")


async def test_the_second_head_of_a_connection_has_the_same_time(serve):
    async with serve(msgspec.structs.replace(QUICK, idle=Duration(600))) as served:
        reader, writer = await served.connect(WHOLE)
        assert b" 200 " in await reader.readline()
        await reader.readuntil(b"here")
        await asyncio.sleep(1.5)  # longer than a head may take: it has not begun
        writer.write(HALF)
        assert (await read_all(reader)).startswith(b"HTTP/1.1 408 ")
        assert served.asked == 1


async def test_a_connection_that_asks_nothing_more_is_closed(serve):
    async with serve(QUICK) as served:
        reader, _writer = await served.connect(WHOLE)
        began = time.monotonic()
        assert (await read_all(reader)).endswith(b"here")
        assert time.monotonic() - began > 1.5


async def test_a_connection_in_use_stays(serve):
    async with serve(QUICK) as served:
        reader, writer = await served.connect()
        for _ in range(7):
            writer.write(WHOLE)
            await reader.readuntil(b"here")
            await asyncio.sleep(0.5)
        assert served.asked == 7


async def test_a_stream_stays_open_beyond_every_time_and_when_room_is_needed(serve):
    async with serve(msgspec.structs.replace(QUICK, total=4, per_client=4)) as served:
        reader, _writer = await served.connect(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"first\n")
        for _ in range(6):
            await served.connect(HALF)
        await asyncio.sleep(3)
        served.let_go.set()
        await reader.readuntil(b"last\n")


async def test_when_all_are_in_use_who_waits_longest_makes_room(serve, caplog):
    async with serve(Options(total=6), trusted_proxies=["127.0.0.1"]) as served:
        halves = [await served.connect(HALF) for _ in range(6)]
        await wait_until(lambda: sum(one.waits for one in served.door._connections) == 6)
        assert b" 200 " in await served.ask()
        assert await read_all(halves[0][0]) == b""
        assert warnings(caplog) == []


async def test_when_all_are_answered_a_new_one_is_refused_and_it_is_told_once(serve, caplog):
    async with serve(Options(), room=3, trusted_proxies=["127.0.0.1"]) as served:
        for _ in range(3):
            reader, _ = await served.connect(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"first\n")
        for _ in range(5):
            assert b" 503 " in await served.ask()
        served.let_go.set()
        await wait_until(lambda: not any(not one.waits for one in served.door._connections))
        assert b" 200 " in await served.ask()
        assert warnings(caplog) == ["connections are refused: 3 connections are in use"]


async def test_one_client_cannot_have_them_all(serve, caplog):
    async with serve(Options(per_client=3)) as served:
        halves = [await served.connect(HALF) for _ in range(3)]
        await wait_until(lambda: len(served.door._connections) == 3)
        assert b" 503 " in await served.ask()
        halves.pop()[1].close()
        await wait_until(lambda: len(served.door._connections) == 2)
        assert b" 200 " in await served.ask()
        assert warnings(caplog) == ["connections are refused: 127.0.0.1 has 3 connections"]
        await wait_until(lambda: len(served.door._connections) == 2)
    assert not served.door._connections
    assert not served.door._of_client


async def test_behind_a_trusted_proxy_clients_are_not_one(serve):
    async with serve(Options(per_client=2), trusted_proxies=["127.0.0.1"]) as served:
        for _ in range(5):
            await served.connect(HALF)
        assert b" 200 " in await served.ask()


async def test_without_descriptors_it_rests_and_tells_once(serve, caplog):
    class Full:
        """A listener of which nothing can be accepted."""

        def __init__(self, listener):
            self.listener, self.tries = listener, 0

        def accept(self):
            self.tries += 1
            raise OSError(errno.EMFILE, "Too many open files")

        def fileno(self):
            return self.listener.fileno()

    caplog.set_level("INFO", "pantau")
    async with serve() as served:
        (listener,) = served.door._sockets
        full = Full(listener)
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        served.door._resume(full)
        asking = asyncio.ensure_future(served.ask())
        await wait_until(lambda: full.tries >= 3)
        assert full.tries == 3
        loop.remove_reader(listener)
        served.door._resume(listener)
        assert b" 200 " in await asking
        full.fileno = lambda: -1  # the last rest ends in nothing
    assert warnings(caplog) == [
        "no connection can be accepted: [Errno 24] Too many open files",
        "connections are accepted again",
    ]


async def test_who_takes_nothing_of_the_answer_is_left(serve):
    async with serve(QUICK) as served:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", served.port))
            await loop.sock_sendall(sock, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            await wait_until(lambda: served.door._connections)
            await wait_until(lambda: not served.door._connections, 30, "the end of the connection")


async def test_an_address_that_is_taken_is_an_error(serve):
    async with serve() as served:
        with pytest.raises(OSError, match="in use"):
            await served.door.open("127.0.0.1", served.port)


@pytest.mark.parametrize("name", ["head", "idle", "stalled"])
def test_times_in_which_nobody_could_ask_are_refused(name):
    with pytest.raises(ValueError, match=f"'{name}' of the connections: expected 1s or more"):
        Options(**{name: Duration(0)})


@pytest.mark.parametrize(
    ("soft", "hard", "room"),
    [
        (1024, 1_000_000, 2000),  # raised
        (256, 256, 128),
        (1024, 1024, 624),
        (8, 8, 8),
        (100_000, 100_000, 2000),
    ],
)
def test_files_keep_descriptors_of_their_own(monkeypatch, soft, hard, room):
    limit = [soft, hard]
    monkeypatch.setattr("resource.getrlimit", lambda _: tuple(limit))
    monkeypatch.setattr("resource.setrlimit", lambda _, to: limit.__setitem__(slice(None), to))
    assert room_for(2000, beside=400) == room
    assert limit[0] >= min(2400, hard)


def test_where_the_limit_cannot_be_raised_there_is_less_room(monkeypatch, caplog):
    def refused(*_):
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 65536))
    monkeypatch.setattr("resource.setrlimit", refused)
    assert room_for(2000, beside=400) == 624
    assert warnings(caplog) == ["624 connections at most, not 2000: the limit of open files is 1024"]
