"""Talk to a server on this host: one connection with a deadline over all of it, and a web page on top of that."""

import asyncio
import errno
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol
from urllib.parse import urlsplit

_MOST: Final = 1 << 20
_CHUNK: Final = 1 << 16
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*(?:\r\n|$)", re.IGNORECASE)
_OK: Final = 200
_REFUSALS: Final = {401: errno.EACCES, 403: errno.EACCES, 404: errno.ENOENT}

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Fetch(Protocol):
    """How collectors read web pages; tests hand in another one."""

    async def __call__(self, url: str, *, seconds: float, socket: str = "", most: int = _MOST) -> bytes:
        """Return the page at ``url``; see ``fetch``."""
        ...


def protocol_error(why: str, where: str) -> OSError:
    """Make the error for an answer that is not what was asked for."""
    return OSError(errno.EPROTO, why, where)


@asynccontextmanager
async def connect(address: str, *, seconds: float) -> AsyncIterator[Stream]:
    """Connect to ``host:port`` or to the path of a socket for the time of the block, which gets at most ``seconds``.

    Raises OSError with the address when nothing answers, also when the peer ends too early; TimeoutError.
    """
    writer = None
    try:
        async with asyncio.timeout(seconds):
            if address.startswith("/"):
                reader, writer = await asyncio.open_unix_connection(address, limit=_CHUNK)
            else:
                host, _, port = address.rpartition(":")
                reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), limit=_CHUNK)
            yield reader, writer
    except TimeoutError as error:
        raise TimeoutError(errno.ETIMEDOUT, f"no answer within {seconds:g} s", address) from error
    except asyncio.IncompleteReadError as error:
        raise protocol_error("ended in the middle of an answer", address) from error
    except OSError as error:
        if error.filename is None:
            raise OSError(error.errno, _why(error), address) from error
        raise
    finally:
        if writer is not None:
            writer.transport.abort()


def _why(error: OSError) -> str:
    """Return the system's own words where asyncio has put others; look-ups of names have numbers and words of their own."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)


async def fetch(url: str, *, seconds: float, socket: str = "", most: int = _MOST) -> bytes:
    """Return the body of a page by GET, from the web server behind ``socket`` where one is given.

    Raises OSError: FileNotFoundError (404), PermissionError (401, 403), EFBIG beyond ``most`` bytes, EPROTO for any other
    status than 200 and for what is not HTTP; TimeoutError after ``seconds``. Does not speak TLS and follows no redirect.
    """
    parts = urlsplit(url)
    host = parts.hostname or "localhost"
    place = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    # in HTTP/1.0 the body is what comes until the end, never chunks
    head = f"GET {place} HTTP/1.0\r\nHost: {parts.netloc or host}\r\nUser-Agent: pantau-agent\r\nAccept: */*\r\n\r\n"
    async with connect(socket or f"{host}:{parts.port or 80}", seconds=seconds) as (reader, writer):
        writer.write(head.encode())
        return await _read(reader, url, most)


async def _read(reader: asyncio.StreamReader, url: str, most: int) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise protocol_error("the answer is not HTTP", url) from None
    status = _STATUS.match(head)
    if status is None:
        raise protocol_error("the answer is not HTTP", url)
    code = int(status[1])
    if code != _OK:
        raise OSError(_REFUSALS.get(code, errno.EPROTO), f"the server answers with status {code}", url)
    length = _LENGTH.search(head)
    wanted = min(int(length[1]), most + 1) if length else most + 1
    body = bytearray()
    while len(body) < wanted and (chunk := await reader.read(min(_CHUNK, wanted - len(body)))):
        body += chunk
    if len(body) > most:
        raise OSError(errno.EFBIG, f"the page is longer than {most} bytes", url)
    if length and len(body) < wanted:
        raise protocol_error("the page is cut off", url)
    return bytes(body)


def check_http(urls: tuple[str, ...]) -> None:
    """Raise ValueError for a URL that ``fetch`` cannot read."""
    for url in urls:
        if not url.startswith("http://"):
            raise ValueError(f"expected URLs that begin with http:// (the agent goes without TLS here), got {url!r}")
        if not urlsplit(url).hostname or urlsplit(url).port == 0:
            raise ValueError(f"expected a URL with a host, got {url!r}")


def server_tags(url: str) -> dict[str, str]:
    """Return the tags ``server`` and ``port`` of points about the server of a URL."""
    parts = urlsplit(url)
    return {"server": parts.hostname or "", "port": str(parts.port or 80)}


def check_addresses(addresses: tuple[str, ...]) -> None:
    """Raise ValueError for what ``connect`` cannot connect to."""
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not address.startswith("/") and not (host and port.isdigit()):
            raise ValueError(f"expected HOST:PORT or the path of a socket, got {address!r}")
