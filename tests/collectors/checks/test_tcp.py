"""The tcp check: connecting, talking, and TLS from the first byte."""

import asyncio
import contextlib
import socket
import time

import parts
import pytest

from collectors.checks.engines.dial import Dialer
from collectors.checks.engines.resolver import Resolver


async def mail_server(reader, writer):
    writer.write(b"220 mail.example.id ESMTP\r\n")
    command = await reader.readline()
    writer.write(b"250-mail.example.id\r\n250 8BITMIME\r\n" if command.startswith(b"EHLO") else b"500 what?\r\n")
    await reader.read()


async def test_it_is_up_when_something_listens(serving, run):
    async with serving(mail_server) as port:
        result = await run("tcp", host="localhost", port=port)
    assert (result.status, result.detail) == ("up", "connected to 127.0.0.1")
    assert list(result.phases) == ["dns", "connect"]


async def test_a_dialogue_that_goes_as_expected(serving, run):
    dialogue = [{"expect": "^220 .*\r\n"}, {"send": "EHLO pantau\r\n", "expect": r"(?m)^250 8BITMIME"}]
    async with serving(mail_server) as port:
        result = await run("tcp", host="localhost", port=port, dialogue=dialogue)
    assert result.status == "up", result
    assert list(result.phases) == ["dns", "connect", "first_byte"]


async def test_another_answer_is_told_with_what_was_said(serving, run):
    dialogue = [{"expect": "^220"}, {"send": "HELP\r\n", "expect": "^250", "severity": "degraded"}]
    async with serving(mail_server) as port:
        result = await run("tcp", timeout=2.0, host="localhost", port=port, dialogue=dialogue)
    assert (result.status, result.reason) == ("degraded", "content")
    assert "500 what?" in result.detail


async def test_silence_is_a_timeout(serving, run):
    async def say_nothing(reader, writer):
        await reader.read()

    async with serving(say_nothing) as port:
        before = time.perf_counter()
        result = await run("tcp", timeout=0.4, host="localhost", port=port, dialogue=[{"expect": "^220"}])
    assert (result.status, result.reason) == ("down", "timeout")
    assert time.perf_counter() - before < 15


async def test_hanging_up_without_a_word_is_a_lost_connection(serving, run):
    async def hang_up(reader, writer):
        pass

    async with serving(hang_up) as port:
        result = await run("tcp", host="localhost", port=port, dialogue=[{"expect": "^220"}])
    assert (result.status, result.reason) == ("down", "connection_lost")


async def test_a_flood_of_other_words_is_cut_off(serving, run):
    async def flood(reader, writer):
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with serving(flood) as port:
        result = await run("tcp", host="localhost", port=port, dialogue=[{"expect": "^220"}])
    assert (result.status, result.reason) == ("down", "content")
    assert result.facts["received"] < 400_000


async def test_tls_from_the_first_byte(run, web, pki):
    dialogue = [{"send": "GET / HTTP/1.0\r\n\r\n", "expect": "^HTTP/1.1 200"}]
    result = await run("tcp", host="localhost", port=web.tls["good"], tls=True, ca_file=pki.ca, dialogue=dialogue)
    assert (result.status, result.facts["tls_version"]) == ("up", "TLSv1.3")
    refused = await run("tcp", host="localhost", port=web.tls["expired"], tls=True, ca_file=pki.ca)
    assert refused.reason == "tls_expired"


async def test_nobody_listening_is_refused(run):
    result = await run("tcp", host="127.0.0.1", port=1)
    assert (result.status, result.reason) == ("down", "refused")


async def test_no_reply_to_connect_is_unreachable_within_its_time(run):
    with contextlib.ExitStack() as opened:
        full = opened.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            client = opened.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        before = time.perf_counter()
        result = await run("tcp", timeout=0.5, host="127.0.0.1", port=full.getsockname()[1])
        assert time.perf_counter() - before < 15
    assert (result.status, result.reason) == ("down", "unreachable")
    assert result.detail == "no reply to connect within 0.5 s"


@pytest.fixture
def two_families(tmp_path):
    parts.require_ipv6()
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 dua.example\n::1 dua.example\n")
    return Resolver(hosts=hosts)


async def test_ipv6_that_does_not_answer_does_not_hide_ipv4(serving, build, two_families, now_ms):
    async with serving(mail_server) as port:
        check = build("tcp", host="dua.example", port=port)
        check._dialer = Dialer("any", two_families)
        result = await check.run(now_ms)
    assert (result.status, result.facts["address"]) == ("up", "127.0.0.1")


async def test_of_two_refusing_addresses_both_are_told(build, two_families, now_ms):
    check = build("tcp", host="dua.example", port=1)
    check._dialer = Dialer("any", two_families)
    result = await check.run(now_ms)
    assert (result.status, result.reason) == ("down", "refused")
    assert result.detail == "::1: connection refused, 127.0.0.1: connection refused"


async def test_the_wanted_family_alone_is_used(serving, build, two_families, now_ms):
    async with serving(mail_server) as port:
        check = build("tcp", host="dua.example", port=port, ip="6")
        check._dialer = Dialer("6", two_families)
        result = await check.run(now_ms)
    assert (result.status, result.reason, result.facts["address"]) == ("down", "refused", "::1")


async def test_an_address_that_does_not_answer_gives_way_after_a_moment(monkeypatch):
    from collectors.checks.engines import dial

    made = []

    async def connect(address, port):
        if address == "2001:db8::1":
            await asyncio.sleep(60)
        made.append(socket.socket())
        return made[-1]

    monkeypatch.setattr(dial, "_connect", connect)
    before = time.perf_counter()
    connected, address = await dial._first(["2001:db8::1", "192.0.2.1"], 80)
    connected.close()
    assert address == "192.0.2.1"
    assert 0.2 < time.perf_counter() - before < 15
    assert len(made) == 1
