"""Limits, a store that is away, and a loop that stays free while big bodies are read."""

import asyncio
import gzip
import socket
import threading
import tracemalloc

import msgspec
import parts
import pytest

from configs.units import Duration, Size
from server.ingest import body as ingest_body
from server.ingest.answers import Refused
from server.ingest.memory import Memory
from server.store import StoreFull, StoreUnavailable


async def test_too_large_a_body_is_refused(serve, memory_store, options):
    async with serve(memory_store, msgspec.structs.replace(options, body=Size(1000))) as centre:
        assert (await centre.write(b"m f=1\n" * 166))[0] == 204
        status, body, _ = await centre.write(b"m f=1\n" * 167)
        assert (status, body["code"]) == (413, "request too large")

        async def drip():
            for _ in range(200):
                yield b"m f=1\n" * 10

        assert (await centre.write(drip()))[0] == 413


async def test_a_zip_bomb_is_refused_and_costs_little(serve, memory_store, options):
    bomb = gzip.compress(b"\n" * 100_000_000)
    async with serve(memory_store, msgspec.structs.replace(options, unpacked=Size(1_000_000))) as centre:
        status, body, _ = await centre.write(bomb, headers={"Content-Encoding": "gzip"})
        assert (status, body["message"]) == (413, "the body is larger than 1000000 bytes when unpacked")
    tracemalloc.start()
    try:
        with pytest.raises(Refused):
            ingest_body._unpack(bomb, 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


async def test_a_body_of_countless_empty_members_is_refused_at_once(centre):
    members = gzip.compress(b"", mtime=0) * 20_000
    status, body, _ = await centre.write(members, headers={"Content-Encoding": "gzip"})
    assert (status, body["message"]) == (400, "the gzip body has more than 100 members")


async def test_too_many_lines_are_refused(serve, memory_store, options):
    async with serve(memory_store, msgspec.structs.replace(options, lines=10)) as centre:
        assert (await centre.write(b"m f=1\n" * 10))[0] == 204
        status, body, _ = await centre.write(b"m f=1\n" * 11)
        assert (status, body["message"]) == (413, "the body has more than 10 lines")


async def test_too_long_a_line_is_named_and_costs_no_other_on_v1(serve, memory_store, options):
    body = b'm f=1 1\nm s="%s" 2\nm f=3 3\n' % (b"x" * 1000)
    async with serve(memory_store, msgspec.structs.replace(options, line=Size(1000))) as centre:
        status, answer, _ = await centre.write(body)
        assert (status, answer["line"], answer["code"]) == (400, 2, "invalid")
        assert answer["message"].endswith("x': the line is longer than 1000 bytes")
        assert len(answer["message"]) < 300
        assert memory_store.points == []
        status, answer, _ = await centre.write(body + b"bad 4", "/write?db=pantau")
        assert status == 400
        assert answer["error"].endswith("unable to parse 'bad 4': invalid field format dropped=0")
        assert [point.time for point in memory_store.points] == [1, 3]


async def test_a_full_disk_is_told_apart_from_a_store_that_is_away(centre, caplog):
    caplog.set_level("INFO", "pantau")
    centre.store.away = StoreFull("no space left on device")
    status, body, headers = await centre.write(b"m,host=a f=1")
    why = "no space left on the store's disk, keep the points"
    assert (status, body) == (507, {"code": "insufficient storage", "message": why})
    assert int(headers["Retry-After"]) > 0
    assert (await centre.write(b"m f=1", "/write?db=pantau"))[:2] == (507, {"error": why})
    centre.store.away = None
    assert (await centre.write(b"m f=1"))[0] == 204
    assert [record.message for record in caplog.records if record.name == "pantau.ingest"] == [
        "the store of bucket pantau is full (no space left on device); clients are asked to keep their points",
        "the store of bucket pantau takes points again",
    ]


async def test_a_body_that_drips_is_given_up(serve, memory_store, options):
    async with serve(memory_store, msgspec.structs.replace(options, patience=Duration(0.2))) as centre:

        async def drip():
            yield b"m f=1\n"
            await asyncio.sleep(5)

        assert (await centre.write(drip()))[0] == 408


async def test_while_the_store_is_away_clients_are_asked_to_come_again(centre, caplog):
    caplog.set_level("INFO", "pantau")
    centre.store.away = StoreUnavailable("the disk is gone")
    for _ in range(3):
        status, body, headers = await centre.write(b"m,host=a f=1")
        assert (status, body["code"]) == (503, "unavailable")
        assert int(headers["Retry-After"]) > 0
    assert (await centre.write(b"m f=1", "/write?db=pantau"))[0] == 503
    centre.store.away = None
    assert (await centre.write(b"m f=1"))[0] == 204
    told = [record.message for record in caplog.records if record.name == "pantau.ingest"]
    assert told == [
        "the store of bucket pantau is away (the disk is gone); clients are asked to keep their points",
        "the store of bucket pantau takes points again",
    ]
    assert "a" in centre.ingest.seen()


async def test_more_than_can_be_held_is_asked_to_come_later(serve, memory_store, options):
    memory_store.slow = 2.0
    async with serve(memory_store, msgspec.structs.replace(options, held=Size(10_000))) as centre:
        answers = await asyncio.gather(*(centre.write(b"m f=1\n" * 1000) for _ in range(8)))
        statuses = sorted(status for status, _, _ in answers)
        assert statuses[0] == 204
        assert statuses[-1] == 429
        assert all("Retry-After" in headers for status, _, headers in answers if status == 429)
        assert len(memory_store.points) == 1000 * statuses.count(204)
        memory_store.slow = 0
        assert (await centre.write(b"m f=1\n" * 2000))[0] == 204  # one alone is never too much, and all was given back


async def test_big_bodies_take_turns_so_that_their_points_never_take_too_much_at_once(serve, memory_store, options):
    memory_store.slow = 0.1
    most = 0
    async with serve(memory_store, msgspec.structs.replace(options, held=Size(500_000))) as centre:
        memory = centre.ingest._bodies.memory
        decode = centre.ingest._bodies._decode

        def noted(*arguments):
            nonlocal most
            most = max(most, memory.made)
            return decode(*arguments)

        centre.ingest._bodies._decode = noted
        # eight bytes a line: the points take fifty times as much as the text
        answers = await asyncio.gather(*(centre.write(b"m f=1 1\n" * 1500) for _ in range(30)))
        assert {status for status, _, _ in answers} == {204}
        assert len(memory_store.points) == 30 * 1500
        assert 2_000_000 * 0.5 < most <= 2_000_000
        assert (await centre.write(b"m f=1 1\n" * 20_000))[0] == 204  # more than fits, but alone
        assert (memory.held, memory.made) == (0, 0)


async def test_who_waits_for_memory_is_served_in_order_and_may_give_up():
    memory = Memory(1)  # nothing fits beside anything
    served = []

    async def work(name, body):
        with memory.request() as hold:
            await hold.turn(body)
            served.append(name)
            await asyncio.sleep(0)

    with memory.request() as first:
        await first.turn(b"m f=1")
        tasks = [asyncio.create_task(work(number, b"m f=1\n" * (10 - number))) for number in range(5)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
        assert served == []
    tasks[2].cancel()  # its turn may have come in this very moment
    await asyncio.gather(*tasks, return_exceptions=True)
    assert served == [0, 3, 4]
    assert memory.made == 0


async def test_a_client_that_goes_away_leaves_nothing_held(serve, memory_store, options):
    async with serve(memory_store, options) as centre:
        host, port = centre.base.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = (
            "POST /api/v2/write?org=pantau&bucket=pantau HTTP/1.1\r\nHost: x\r\nAuthorization: Token s3cret-token\r\n"
        )
        writer.write(f"{head}Content-Length: 1000\r\n\r\nm f=1\n".encode())
        await writer.drain()
        await parts.wait_until(lambda: centre.ingest._bodies.memory.held == 6)
        writer.transport.abort()
        await parts.wait_until(lambda: centre.ingest._bodies.memory.held == 0)
        assert memory_store.points == []


@pytest.mark.parametrize("how", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
async def test_an_upload_that_is_broken_off_is_one_line_at_debug(centre, caplog, how):
    caplog.set_level("DEBUG")
    host, port = centre.base.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /write?db=pantau&p=s3cret-token HTTP/1.1\r\nHost: x\r\n{how}\r\n\r\n"
    writer.write(head.encode() + b"6\r\nm f=1\n")
    await writer.drain()
    await parts.wait_until(lambda: centre.ingest._bodies.memory.held)
    writer.transport.abort()
    await parts.wait_until(lambda: not centre.ingest._bodies.memory.held)
    assert (await centre.write(b"m f=1"))[0] == 204
    told = [record for record in caplog.records if record.name in {"pantau.edge", "aiohttp.server"}]
    size = how.partition("h: ")[2] if how.startswith("Content") else "?"
    why = f"POST /write from 127.0.0.1 ({size} bytes): its client broke off: Connection lost"
    assert [(record.levelname, record.getMessage(), record.exc_info) for record in told] == [("DEBUG", why, None)]


async def test_the_loop_stays_free_while_a_big_body_is_read(centre, monkeypatch):
    line = ",".join(f"field_{n}={n}.5" for n in range(10))
    body = gzip.compress("\n".join(f"m,host=h{n % 50} {line} {n}" for n in range(6000)).encode(), 1)
    threads = []

    def noted(work):
        def call(*arguments, **named):
            threads.append(threading.current_thread())
            return work(*arguments, **named)

        return call

    for name in ("_unpack", "decode"):
        monkeypatch.setattr(ingest_body, name, noted(getattr(ingest_body, name)))
    status, answer, _ = await centre.write(body, headers={"Content-Encoding": "gzip"})
    assert (status, answer) == (204, None)
    assert len(centre.store.points) == 6000
    assert len(threads) == 2
    assert threading.current_thread() not in threads


async def test_what_is_answered_is_on_disk(real_centre, monkeypatch):
    bodies = [f"m,host=h{n} f={n} 17000000000000000{n:02}".encode() for n in range(50)]
    transactions = []
    write = real_centre.store._write
    monkeypatch.setattr(
        real_centre.store, "_write", lambda waiting: transactions.append(len(waiting)) or write(waiting)
    )
    answers = await asyncio.gather(*(real_centre.write(body) for body in bodies))
    assert [status for status, _, _ in answers] == [204] * 50
    assert len(await real_centre.store.latest("m", ["f"], since=0)) == 50
    assert sum(transactions) == 50
    assert len(transactions) < 50  # writes that come together share a transaction


async def test_a_peer_of_http_1_0_is_served(centre):
    def ask():
        host, port = centre.base.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 5) as sock:
            head = b"POST /write?db=pantau&p=s3cret-token HTTP/1.0\r\nContent-Length: 5\r\n\r\n"
            sock.sendall(head + b"m f=1")
            return sock.recv(100)

    assert b" 204 " in await asyncio.to_thread(ask)


def test_the_defaults_fit_each_other(options):
    assert 0 < options.body <= options.unpacked <= options.held
