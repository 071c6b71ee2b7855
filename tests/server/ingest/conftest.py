"""A real web server with the ingest, over the real embedded store or one that a test makes fail."""

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from configs.secret import Secret
from configs.units import Duration
from server.edge.broken_off import broken_off
from server.ingest.endpoints import Ingest, routes
from server.ingest.options import Options
from server.ingest.tokens import Token
from server.state.database import Database
from server.state.tables import metadata
from server.store import StoreUnavailable, Written
from server.store.buckets import Bucket, Buckets
from server.store.embedded.store import Embedded
from server.store.embedded.store import Options as EmbeddedOptions

if TYPE_CHECKING:
    from collectors.point import Point

TOKEN = "s3cret-token"


class MemoryStore:
    """Keeps points in a list; ``away`` is raised by each write, ``slow`` makes each write wait, ``rejects`` are told each time."""

    def __init__(self):
        self.points: list[Point] = []
        self.writes = 0
        self.away: StoreUnavailable | None = None
        self.slow = 0.0
        self.rejects = ()

    async def write(self, points):
        await asyncio.sleep(self.slow)
        if self.away:
            raise self.away
        self.writes += 1
        self.points += points
        return Written(len(points), self.rejects)

    async def health(self):
        return str(self.away or "")

    async def damage(self):
        return ""

    async def takes(self):
        return not self.away


class Centre:
    """The ingest behind a web server: its base address and its parts."""

    def __init__(self, base, ingest, store, database, session):
        self.base = base
        self.ingest = ingest
        self.store = store
        self.database = database
        self.session = session

    async def write(self, body, path="/api/v2/write?org=pantau&bucket=pantau", token=TOKEN, **options):
        headers = {"Authorization": f"Token {token}", **options.pop("headers", {})}
        async with self.session.post(self.base + path, data=body, headers=headers, **options) as answer:
            return (
                answer.status,
                (await answer.json() if answer.content_type == "application/json" else None),
                answer.headers,
            )


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    return file


@pytest.fixture
def options(token):
    return Options(tokens=(Token("agents", Secret("file", str(token))),))


def serving(store, folder: Path, options: Options, clock=lambda: time.time_ns() // 1_000_000, **more):
    return serving_buckets(Buckets([Bucket(options.bucket, store, 0.0, 0)]), folder, options, clock, **more)


@asynccontextmanager
async def serving_buckets(
    buckets, folder: Path, options: Options, clock=lambda: time.time_ns() // 1_000_000, steady=None, **more
):
    database = await asyncio.to_thread(Database, f"sqlite:///{folder / 'state.db'}")
    await asyncio.to_thread(metadata.create_all, database.engine)
    ingest = Ingest(buckets, database, clock, steady or clock, options, **more)
    await ingest.open()
    app = web.Application(middlewares=[broken_off])
    app.add_routes(routes(ingest))
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        yield Centre(f"http://127.0.0.1:{port}", ingest, buckets.main, database, session)
    await runner.cleanup()
    await ingest.close()
    await asyncio.to_thread(database.close)


@pytest.fixture
async def centre(tmp_path, options):
    """With a store in memory."""
    async with serving(MemoryStore(), tmp_path, options) as centre:
        yield centre


@pytest.fixture
async def real_centre(tmp_path, options):
    """With the embedded store."""
    store = Embedded(EmbeddedOptions(window=Duration(0.05)), tmp_path / "store")
    await asyncio.to_thread((tmp_path / "store").mkdir)
    await store.open()
    async with serving(store, tmp_path, options) as centre:
        yield centre
    await store.close()


@pytest.fixture
def serve(tmp_path):
    """Serve with a store, options or a clock of the test's own: ``async with serve(store, options, clock) as centre``."""

    def start(store, options, **more):
        return serving(store, tmp_path, options, **more)

    return start


@pytest.fixture
def memory_store():
    return MemoryStore()


@pytest.fixture
def serve_buckets(tmp_path):
    """Serve given buckets."""

    def serve(buckets, options):
        return serving_buckets(buckets, tmp_path, options)

    return serve
