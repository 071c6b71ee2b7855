"""The http check against servers that misbehave: always a value, always in time, nothing left behind."""

import asyncio
import gzip
import socket
import ssl
import time
from pathlib import Path

import parts
import pytest

HEAD = b"HTTP/1.1 200 OK\r\n"


def _open_files():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def _request(reader):
    return await reader.readuntil(b"\r\n\r\n")


async def reset_in_the_middle(reader, writer):
    await _request(reader)
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\nhalf")
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


async def closed_in_the_middle(reader, writer):
    await _request(reader)
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\nhalf")
    await writer.drain()
    writer.write_eof()
    await reader.read()


async def closed_at_once(reader, writer):
    await _request(reader)


async def silence(reader, writer):
    await asyncio.sleep(60)


async def other_protocol(reader, writer):
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await reader.read()


async def header_bomb(reader, writer):
    writer.write(HEAD)
    while True:
        writer.write(b"X-Bomb: " + b"x" * 1000 + b"\r\n")
        await writer.drain()


async def long_header(reader, writer):
    writer.write(HEAD + b"X-Bomb: ")
    while True:
        writer.write(b"x" * 10_000)
        await writer.drain()


async def slow_drip(reader, writer):
    await _request(reader)
    writer.write(HEAD + b"Content-Length: 100\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.2)


async def slow_headers(reader, writer):
    writer.write(HEAD)
    while True:
        writer.write(b"A: b\r\n")
        await writer.drain()
        await asyncio.sleep(0.2)


async def wrong_chunks(reader, writer):
    await _request(reader)
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzzz\r\nabc\r\n")
    await reader.read()


async def not_gzip(reader, writer):
    await _request(reader)
    writer.write(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nhalo")
    await reader.read()


@pytest.mark.parametrize(
    ("talk", "reason", "detail"),
    [
        (reset_in_the_middle, "connection_lost", "closed in the middle of the body"),
        (closed_in_the_middle, "connection_lost", "closed in the middle of the body"),
        (closed_at_once, "connection_lost", "first_byte"),
        (silence, "timeout", "no answer within 1 s"),
        (other_protocol, "protocol", "not an answer in HTTP"),
        (header_bomb, "protocol", "not an answer in HTTP"),
        (long_header, "protocol", "not an answer in HTTP"),
        (slow_drip, "timeout", "answer did not end within 1 s"),
        (slow_headers, "timeout", "no answer within 1 s"),
        (wrong_chunks, "protocol", "not an answer in HTTP"),
        (not_gzip, "protocol", "the body is not gzip"),
    ],
)
async def test_it_is_down_for_the_right_reason_within_its_time(serving, run, talk, reason, detail):
    async with serving(talk) as port:
        before = time.perf_counter()
        result = await run("http", timeout=1.0 if reason == "timeout" else 20.0, url=f"http://127.0.0.1:{port}/")
        assert time.perf_counter() - before < 15
    assert (result.status, result.reason) == ("down", reason), result
    assert detail in result.detail
    assert result.took == pytest.approx(sum(result.phases.values()), abs=1e-9)


async def test_a_zip_bomb_is_read_up_to_the_limit_only(serving, run):
    bomb = gzip.compress(b"\0" * 50_000_000)

    async def talk(reader, writer):
        await _request(reader)
        writer.write(HEAD + f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode() + bomb)
        await writer.drain()
        await reader.read()

    async with serving(talk) as port:
        result = await run("http", url=f"http://127.0.0.1:{port}/", body_absent="Fatal", oversize="down")
    assert (result.status, result.reason) == ("down", "content")
    assert "larger than 1048576 bytes" in result.detail


async def test_an_endless_body_is_read_up_to_the_limit_only(serving, run):
    async def talk(reader, writer):
        await _request(reader)
        writer.write(HEAD + b"\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with serving(talk) as port:
        result = await run("http", url=f"http://127.0.0.1:{port}/")
    assert (result.status, result.reason, result.facts["bytes"]) == ("up", "ok", 2**20)


@pytest.mark.parametrize("coding", ["deflate", "bare deflate"])
async def test_both_kinds_of_deflate_are_read(serving, run, coding):
    import zlib

    packed = zlib.compressobj(wbits=15 if coding == "deflate" else -15)
    body = packed.compress(b"Selamat datang") + packed.flush()

    async def talk(reader, writer):
        await _request(reader)
        writer.write(HEAD + f"Content-Encoding: deflate\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await reader.read()

    async with serving(talk) as port:
        result = await run("http", url=f"http://127.0.0.1:{port}/", body_present="^Selamat datang$")
    assert result.status == "up", result


async def test_a_hundred_runs_leave_no_socket_behind(serving, build, now_ms):
    stories = [reset_in_the_middle, closed_at_once, slow_drip, not_gzip]
    turn = iter(range(1000))

    async def talk(reader, writer):
        await stories[next(turn) % len(stories)](reader, writer)

    async with serving(talk) as port:
        check = build("http", timeout=0.3, url=f"http://127.0.0.1:{port}/")
        await check.run(now_ms)
        before = _open_files()
        results = [
            result for _ in range(10) for result in await asyncio.gather(*(check.run(now_ms) for _ in range(10)))
        ]
        await parts.wait_until(lambda: _open_files() <= before, 10, "closing every socket")
    assert {result.status for result in results} == {"down"}


async def test_a_tls_handshake_that_never_ends_is_given_up_in_time(serving, run):
    async with serving(silence) as port:
        result = await run("http", timeout=0.5, url=f"https://127.0.0.1:{port}/")
    assert (result.reason, result.detail) == ("timeout", "TLS handshake did not end within 0.5 s")


async def test_tls_that_the_server_ends_first_is_an_answer_like_others(run, pki, serving):
    """On Python 3.11.2, that of Debian 12, such a connection cannot be dropped any more; 3.13 finds certificates like these too plain."""

    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbaik")
        await writer.drain()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    await asyncio.to_thread(context.load_cert_chain, *pki.files["good"])
    async with serving(talk, ssl=context) as port:
        result = await run("http", url=f"https://localhost:{port}/", ca_file=pki.ca, ip="4")
    assert (result.status, result.reason) == ("up", "ok"), result
