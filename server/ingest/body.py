"""The body of a write: read, unpacked and decoded within limits of size, lines, time and memory, off the event loop."""

import asyncio
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec
from aiohttp import web

from collectors.linereader import Cache, Decoded, LineError, decode
from server.ingest.answers import Refused
from server.ingest.memory import Hold, Memory
from server.ingest.options import Options

_SMALL: Final = 4096  # bytes that are read faster than a thread is woken
_MEMBERS: Final = 100  # of one gzip body; clients send one
_SHOWN_TEXT: Final = 200


class Bodies:
    """Reads bodies; ``close`` after the last."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="ingest")
        self._cache = Cache()
        self.memory = Memory(options.held)

    def use(self, options: Options) -> None:
        """Read within other limits from now on."""
        self._options = options
        self.memory.limit(options.held)

    async def close(self) -> None:
        """Let go of the threads."""
        await asyncio.to_thread(self._threads.shutdown)

    async def read(self, request: web.Request, precision: str, hold: Hold, now: int) -> Decoded:
        """Read the points of a request; lines without a time get ``now`` (ns). Raises Refused."""
        encoding = request.headers.get("Content-Encoding", "identity").lower()
        if encoding not in {"identity", "gzip"}:
            raise Refused(400, f"unsupported content encoding {encoding!r}")
        body = await self._received(request, hold)
        loop = asyncio.get_running_loop()
        if encoding == "gzip":
            body = await loop.run_in_executor(self._threads, _unpack, body, self._options.unpacked)
            hold.take(len(body))
        await hold.turn(body)
        if encoding == "identity" and len(body) <= _SMALL:
            return self._decode(body, precision, now)
        return await loop.run_in_executor(self._threads, self._decode, body, precision, now)

    async def _received(self, request: web.Request, hold: Hold) -> bytes:
        limit = self._options.body
        if (request.content_length or 0) > limit:
            raise Refused(413, f"the body is larger than {limit} bytes")
        parts, size = [], 0
        try:
            async with asyncio.timeout(self._options.patience):
                async for part in request.content.iter_any():
                    size += len(part)
                    if size > limit:
                        raise Refused(413, f"the body is larger than {limit} bytes")
                    hold.take(len(part))
                    parts.append(part)
        except web.RequestPayloadError as error:
            raise Refused(400, f"the body is malformed: {error}") from error
        except TimeoutError as error:
            raise Refused(408, f"the body did not come within {self._options.patience:.0f} s") from error
        return b"".join(parts)

    def _decode(self, body: bytes, precision: str, now: int) -> Decoded:
        options = self._options
        if body.count(b"\n") > options.lines:
            raise Refused(413, f"the body has more than {options.lines} lines")
        long: list[LineError] = []
        if len(body) > options.line:
            body, long = _without_long(body, options.line)
        found = decode(body, precision=precision, now=now, cache=self._cache)
        if not long:
            return found
        return msgspec.structs.replace(found, errors=sorted([*long, *found.errors], key=lambda error: error.line))


def _unpack(body: bytes, limit: int) -> bytes:
    """Unpack gzip, of one or several members, up to ``limit`` bytes."""
    parts: list[bytes] = []
    size = 0
    while body:
        if len(parts) == _MEMBERS:  # each copies what follows it: without a bound a small body would cost minutes
            raise Refused(400, f"the gzip body has more than {_MEMBERS} members")
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(body, limit - size + 1)
        except zlib.error as error:
            raise Refused(400, "the body is not gzip") from error
        size += len(part)
        if size > limit:
            raise Refused(413, f"the body is larger than {limit} bytes when unpacked")
        if not member.eof:
            raise Refused(400, "the gzip body is cut off")
        parts.append(part)
        body = member.unused_data
    return b"".join(parts)


def _without_long(body: bytes, limit: int) -> tuple[bytes, list[LineError]]:
    """Empty the lines that are longer than ``limit`` bytes, so that the others keep their numbers."""
    lines = body.split(b"\n")
    why = f"the line is longer than {limit} bytes"
    long = [index for index, line in enumerate(lines) if len(line) > limit]
    errors = [LineError(index + 1, 1, why, lines[index][:_SHOWN_TEXT].decode("utf-8", "replace")) for index in long]
    for index in long:
        lines[index] = b""
    return (b"\n".join(lines) if long else body), errors
