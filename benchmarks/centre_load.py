"""What asks something of the centre, or of a peer, at a steady pace; a process of its own for ``centre.py``.

    python benchmarks/centre_load.py push URL TOKEN HOSTS LOG       a body of 100 fields of each host every 10 s
    python benchmarks/centre_load.py read URL SESSION READERS HOST LOG    readers, each a page a second
    python benchmarks/centre_load.py ask URL RATE LOG               an address, RATE times a second

Until SIGTERM. A line of LOG is one answer: when the request was sent (s, CLOCK_MONOTONIC), how long the answer took (ms), its
status (0: none came), what was asked.
"""

import argparse
import asyncio
import gzip
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import numpy as np
from store_data import SCHEMA, STEPS, Column

EVERY: Final = 10.0  # seconds between the bodies of a host
THINK: Final = 1.0  # seconds that a reader looks at a page
PAGES: Final = (
    ("overview", "/"),
    ("hosts", "/hosts"),
    ("a host", "/hosts/HOST"),
    ("incidents", "/incidents"),
    ("chart", "/api/series?measurement=cpu&field=usage_user&tag.host=HOST&tag.cpu=cpu-total"),
    ("schedule", "/schedule"),
)
Note = Callable[[float, float, int, str], None]


def note_in(log: Path) -> Note:
    """Return what writes a line of the log."""
    file = log.open("w", buffering=1 << 16)

    def note(sent: float, took: float, status: int, name: str) -> None:
        file.write(f"{sent:.3f} {took * 1000:.3f} {status} {name}\n")
        if time.monotonic() - flushed[0] > 0.5:
            flushed[0] = time.monotonic()
            file.flush()

    flushed = [0.0]
    return note


# --- writers ---------------------------------------------------------------------------------------------------------


def made_bodies(count: int = 8) -> list[str]:
    """Return bodies of one host with 100 fields, with HOST and TIME where those come."""
    random = np.random.default_rng(1)
    lines: list[list[str]] = [[] for _ in range(STEPS)]
    for head, fields in SCHEMA.items():
        name, comma, tags = head.partition(",")
        columns = [[f"{field}={text}" for text in Column(kind, random).texts()] for field, kind in fields.items()]
        for step, values in enumerate(zip(*columns, strict=True)):
            lines[step].append(f"{name},host=HOST{comma}{tags} {','.join(values)} TIME")
    return ["\n".join(step) for step in lines[:count]]


class Writer(asyncio.Protocol):
    """The agent of one host, with a connection of its own that stays open."""

    def __init__(self, url: str, token: str, host: str, note: Note) -> None:
        self._address = urlsplit(url)
        self._head = (
            f"POST /api/v2/write?org=pantau&bucket=pantau&precision=ns HTTP/1.1\r\nHost: {self._address.netloc}\r\n"
            f"Authorization: Token {token}\r\nContent-Encoding: gzip\r\nUser-Agent: bench\r\nContent-Length: "
        )
        self._host = host
        self._note = note
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: Any) -> None:
        """Keep the connection."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Read the status of an answer."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(int(data[9:12]))

    def connection_lost(self, _error: Exception | None) -> None:
        """Give up the answer that will not come."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(0)

    async def write(self, body: str) -> None:
        """Send a body and wait for its answer."""
        loop = asyncio.get_running_loop()
        text = body.replace("HOST", self._host).replace("TIME", str(time.time_ns()))
        packed = gzip.compress(text.encode(), 1)
        sent, status = time.monotonic(), 0
        with suppress(OSError, TimeoutError):
            if self._transport is None:
                await loop.create_connection(lambda: self, self._address.hostname, self._address.port)
            self._answer = loop.create_future()
            if self._transport is not None:
                self._transport.write(f"{self._head}{len(packed)}\r\n\r\n".encode() + packed)
                status = await asyncio.wait_for(self._answer, 60)
        self._note(sent, time.monotonic() - sent, status, "write")
        if status != 204 and self._transport is not None:
            self._transport.close()  # the rest of such an answer is not read


async def push(url: str, token: str, hosts: int, note: Note) -> None:
    """Let each host write every ten seconds, spread evenly; one that still waits for an answer skips its turn."""
    bodies = made_bodies()

    async def one(number: int, begun: float) -> None:
        writer, turn = Writer(url, token, f"host{number:05}", note), 0
        while True:
            await asyncio.sleep(begun + number * EVERY / hosts + turn * EVERY - time.monotonic())
            await writer.write(bodies[(number + turn) % len(bodies)])
            turn = max(turn, int((time.monotonic() - begun - number * EVERY / hosts) / EVERY)) + 1

    begun = time.monotonic()
    await asyncio.gather(*(one(number, begun) for number in range(hosts)))


# --- readers ---------------------------------------------------------------------------------------------------------


async def fetch(session: aiohttp.ClientSession, url: str, name: str, note: Note) -> None:
    """Ask an address and note the answer."""
    sent, status = time.monotonic(), 0
    with suppress(aiohttp.ClientError, TimeoutError):
        async with session.get(url, allow_redirects=False) as answer:
            await answer.read()
            status = answer.status
    note(sent, time.monotonic() - sent, status, name)


async def read(url: str, token: str, readers: int, host: str, note: Note) -> None:
    """Let each reader load a page, look at it for a second, and go on to the next one."""

    async def one(number: int) -> None:
        await asyncio.sleep(number * THINK / readers)
        async with aiohttp.ClientSession(cookies={"pantau": token}) as session:
            turn = number
            while True:
                name, path = PAGES[turn % len(PAGES)]
                await fetch(session, url + path.replace("HOST", host), name, note)
                await asyncio.sleep(THINK)
                turn += 1

    await asyncio.gather(*(one(number) for number in range(readers)))


async def ask(url: str, rate: float, note: Note) -> None:
    """Ask an address at a pace, whether or not the answers come."""
    tasks: set[asyncio.Task[None]] = set()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:
        due = time.monotonic()
        while True:
            await asyncio.sleep(due - time.monotonic())
            task = asyncio.create_task(fetch(session, url, "ask", note))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            due += 1 / rate


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind, names in (("push", "url token count"), ("read", "url token count host"), ("ask", "url rate")):
        added = kinds.add_parser(kind)
        for name in names.split():
            added.add_argument(name, type={"count": int, "rate": float}.get(name, str))
        added.add_argument("log", type=Path)
    given = vars(parser.parse_args())
    work: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"push": push, "read": read, "ask": ask}
    arguments = [value for name, value in given.items() if name not in {"kind", "log"}]

    async def until_told() -> None:
        task = asyncio.ensure_future(work[given["kind"]](*arguments, note_in(given["log"])))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(until_told())


if __name__ == "__main__":
    main()
