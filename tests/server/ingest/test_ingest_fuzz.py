"""Whatever comes in, each request gets an answer that a client can read, and none is a fault of ours."""

import asyncio
import gzip
import json
import random
import zlib
from urllib.parse import quote_from_bytes, urlsplit

import msgspec
import pytest

from configs.units import Duration
from server.store.embedded.store import Embedded
from server.store.embedded.store import Options as EmbeddedOptions

ANSWERS = {204, 400, 401, 403, 404, 408, 413, 422, 429}
LINES = (
    b"cpu,host=a usage=1 %d",
    b'm,host=a s="a \\"b\\" c",n=3i,b=t %d',
    b"m,host=b n=%d.5",
    b"# %d",
    b"m,host=a%d f=1,f=2",
    b"m,,host= f=%d",
    b"m,host=a time=1,f=%d",
    b"pantau_check,host=a took=%d",
)
ODD = (*(bytes([number]) for number in range(256)), b"\r\n", b"\xc2\x85", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"%")
MEMBERS = 3


def mutated(rng, text):
    """A text in which some bytes are others, more or gone."""
    body = bytearray(text)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 8))):
        at = rng.randrange(len(body) + 1)
        body[at : at + rng.randrange(2)] = rng.choice(ODD)
    return bytes(body)


def lines(rng):
    kind = rng.random()
    if kind < 0.1:
        return rng.randbytes(rng.randrange(300))
    chosen = [mutated(rng, rng.choice(LINES) % rng.randrange(1 << 62)) for _ in range(rng.randrange(6))]
    return rng.choice((b"\n", b"\n", b"\r\n", b"\0")).join(chosen)


def packed(rng, body):
    """A body and how it says that it is packed, which may be a lie."""
    match rng.randrange(8):
        case 0 | 1:
            return gzip.compress(body, mtime=0), b"gzip"
        case 2:
            return gzip.compress(body, mtime=0) * rng.randrange(MEMBERS + 1), b"GZIP"
        case 3:
            return mutated(rng, gzip.compress(body, mtime=0)), b"gzip"
        case 4:
            return zlib.compress(body), rng.choice((b"deflate", b"gzip", b"br", b""))
        case _:
            return body, b"identity"


def value(rng, *usual):
    """A value of a parameter, mostly a usual one, else anything."""
    if rng.random() < 0.8:
        return rng.choice(usual)
    return b"".join(rng.choices(ODD, k=rng.randrange(5)))


def target(rng, path):
    asked = [
        (b"org", value(rng, b"pantau")),
        (b"bucket", value(rng, b"pantau")),
        (b"db", value(rng, b"pantau")),
        (b"precision", value(rng, b"", b"ns", b"us", b"ms", b"s", b"n", b"u", b"m", b"h")),
    ]
    asked += [(value(rng, b"u", b"p", b"rp"), value(rng, b"x"))] * rng.choice((0, 0, 0, 2))
    asked = [pair for pair in asked if rng.random() < 0.95]
    return f"{path}?{'&'.join('='.join(map(quote_from_bytes, pair)) for pair in asked)}".encode()


def head_value(rng, *usual):
    """A value of a header; control characters but the tab no client can send."""
    text = value(rng, *usual)
    return bytes(letter for letter in text if letter >= 0x20 or letter == 0x09).replace(b"\x7f", b"")


def request(rng, path):
    body, packing = packed(rng, lines(rng))
    head = [
        b"POST " + target(rng, path) + b" HTTP/1.1",
        b"Host: x",
        b"Connection: close",
        b"Authorization: " + head_value(rng, b"Token s3cret-token", b"Token s3cret-token", b"Bearer s3cret-token"),
        b"Content-Encoding: " + head_value(rng, packing),
        b"User-Agent: " + head_value(rng, b"fuzz"),
        b"X-Pantau-Machine: " + head_value(rng, b"", b"aaaaaaaaaaaa 111111111111"),
        b"X-Forwarded-For: " + head_value(rng, b"192.0.2.7"),
        b"Content-Type: " + head_value(rng, b"text/plain; charset=utf-8", b"application/x-www-form-urlencoded"),
    ]
    match rng.randrange(5):
        case 0:
            pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
            return b"\r\n".join([*head, b"Transfer-Encoding: chunked", b"", chunks])
        case 1 if rng.random() < 0.1:
            return b"\r\n".join([*head, b"Content-Length: %d" % (len(body) + 9), b"", body])  # more is promised
        case _:
            return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body])


async def answer_to(port, sent):
    """Return status, headers and body of the answer to raw bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        await writer.drain()
        async with asyncio.timeout(60):
            head = await reader.readuntil(b"\r\n\r\n")
            first, *rest = head[:-4].decode("ascii").split("\r\n")  # no answer of ours has anything else in its head
            assert all(line.isprintable() for line in rest), rest
            headers = dict(line.split(": ", 1) for line in rest)
            body = await reader.readexactly(int(headers.get("Content-Length", 0)))
    finally:
        writer.close()
    return int(first.split()[1]), headers, body


def check(sent, status, headers, body):
    assert status in ANSWERS, (status, body, sent)
    if headers.get("Content-Type", "").startswith("application/json"):
        told = json.loads(body)
        assert told.get("error") or told.get("message"), sent


@pytest.fixture(params=["memory", "embedded"])
async def any_centre(request, serve, memory_store, options, tmp_path):
    quick = msgspec.structs.replace(options, patience=Duration(0.5))
    store = memory_store
    if request.param == "embedded":
        store = Embedded(EmbeddedOptions(window=Duration(0.01)), tmp_path / "store")
        await asyncio.to_thread((tmp_path / "store").mkdir)
        await store.open()
    async with serve(store, quick) as centre:
        yield centre
    if request.param == "embedded":
        await store.close()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("path", ["/write", "/api/v2/write"])
async def test_every_request_is_answered(any_centre, caplog, path, seed):
    rng = random.Random(f"{path} {seed}")
    port = urlsplit(any_centre.base).port
    statuses = set()
    sent = [request(rng, path) for _ in range(200)]
    for some in [sent[at : at + 20] for at in range(0, len(sent), 20)]:
        for one, (status, headers, body) in zip(
            some, await asyncio.gather(*(answer_to(port, one) for one in some)), strict=True
        ):
            check(one, status, headers, body)
            statuses.add(status)
    assert {204, 400, 401} <= statuses
    assert not [record.getMessage() for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]
    assert (await any_centre.write(b"m f=1", path="/write?db=pantau"))[0] == 204
