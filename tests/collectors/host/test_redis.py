"""Redis as Debian ships it tells of itself, with and without a password; other servers are refused."""

import asyncio
import errno
from contextlib import contextmanager

import pytest
from parts import daemon, free_port, require

from collectors.host import Roots
from collectors.host.redis import Options, Redis
from configs.secret import Secret

NOW = 4_000_000_000_000_000_000


@contextmanager
def running(folder, *settings):
    binary = require("redis-server", "redis-server")
    port = free_port()
    command = [binary, "--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "", *settings]
    with daemon(command, port=port, log=folder / "redis.log"):
        yield port


@pytest.fixture
def port(tmp_path):
    with running(tmp_path, "--unixsocket", tmp_path / "redis.sock") as port:
        yield port


async def send(port, *commands):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for command in commands:
        writer.write(f"{command}\r\n".encode())
        await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.real
async def test_it_tells_of_the_server_and_of_databases_that_hold_keys(port, missing):
    await send(port, "SET nama kota", "SET lama ada EX 1000", "SELECT 3", "SET satu 1", "EXISTS satu", "GET tiada")
    server, first, third = await Redis(Options(servers=(f"127.0.0.1:{port}",)), Roots()).collect(NOW)
    tags = {"server": "127.0.0.1", "port": str(port), "replication_role": "master"}
    assert server.tags == tags
    assert server.fields["clients"] >= 1
    assert server.fields["keyspace_hitrate"] == 0.5
    assert server.fields["rdb_last_bgsave_status"] == "ok"
    assert server.fields["rdb_last_save_time_elapsed"] > 0
    assert type(server.fields["uptime"]) is type(server.fields["used_memory"]) is int
    assert type(server.fields["used_cpu_user"]) is float
    assert (first.tags, first.fields["keys"], first.fields["expires"]) == ({**tags, "database": "db0"}, 2, 1)
    assert (third.tags["database"], third.fields["keys"]) == ("db3", 1)
    assert missing([server, first, third]) == []


@pytest.mark.real
async def test_it_answers_on_a_socket(port, tmp_path):
    path = str(tmp_path / "redis.sock")
    (point,) = await Redis(Options(servers=(path,)), Roots()).collect(NOW)
    assert point.tags == {"server": path, "replication_role": "master"}


@pytest.mark.real
async def test_a_password_is_needed_given_or_wrong(tmp_path):
    with running(tmp_path, "--requirepass", "rahasia-kota") as port:
        server = (f"127.0.0.1:{port}",)
        for text, words in ((None, "NOAUTH"), ("salah", "WRONGPASS"), ("", "is empty")):
            (tmp_path / "word").write_text(text or "")
            password = None if text is None else Secret.parse({"file": "word"}, tmp_path)
            with pytest.raises(PermissionError, match=words) as caught:
                await Redis(Options(servers=server, password=password), Roots()).collect(NOW)
            assert "salah" not in str(caught.value)
        (tmp_path / "word").write_text("rahasia-kota\n")
        password = Secret.parse({"file": "word"}, tmp_path)
        for username in ("", "default"):
            options = Options(servers=server, password=password, username=username)
            assert len(await Redis(options, Roots()).collect(NOW)) == 1


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n", b"$99999999999\r\n", b"$100\r\nhalf", b"x" * 200_000, b"+OK\r\n"]
)
async def test_what_is_not_redis_is_an_error(speaking, answer):
    port = speaking(answer)
    with pytest.raises(OSError, match=str(port)) as caught:
        await Redis(Options(servers=(f"127.0.0.1:{port}",)), Roots()).collect(NOW)
    assert caught.value.errno in {errno.EPROTO, errno.ECONNRESET}


def test_an_address_without_a_port_is_refused_at_once():
    with pytest.raises(ValueError, match="expected HOST:PORT"):
        Options(servers=("localhost",))
