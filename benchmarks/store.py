"""The embedded store beside InfluxDB 1, InfluxDB 2 and VictoriaMetrics: same machine, same data, one after the other.

    python benchmarks/store.py [TIMES] [--only NAME,...]

TIMES (default 1) 2.4 hours of 200 hosts with 100 fields every 3 min, so that 100 times is 10 days; over HTTP, gzip, 4,000 lines a
request, two requests at a time; to the centre's ingest with the embedded store, or straight to the peer. CPU is of the server's
process until it has compacted. Questions go through the centre's own ``Store`` (VictoriaMetrics: its own API), each 30 times
after a new start of the server, those of one host each time of another. InfluxDB 2 needs ``PANTAU_TEST_INFLUXD2``; peers that are
missing are left out.
"""

import argparse
import asyncio
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
from aiohttp import web
from store_data import EVERY, FIELDS, HOSTS, SCHEMA, START, STEPS, bodies
from store_peers import PEERS, TOKEN, Pantau, Peer, cpu_seconds, running

from configs.clock import Clock
from configs.secret import Secret
from server.ingest.endpoints import Ingest, Options, routes
from server.ingest.tokens import Token
from server.state.database import Database
from server.state.migrate import upgrade
from server.store import Aggregate, Range, Store
from server.store.buckets import Bucket, Buckets
from server.store.embedded.store import Embedded
from server.store.embedded.store import Options as StoreOptions

S: Final = 10**9
ASKED: Final = 30
BUCKET: Final = {"org": "pantau", "bucket": "pantau", "db": "pantau", "precision": "ns"}


class Figures(NamedTuple):
    """What was measured of one store."""

    rate: float
    cpu: float
    disk: float
    rss: float
    answers: dict[str, tuple[float, float]]


# --- questions -------------------------------------------------------------------------------------------------------


async def one_day(store: Store, end: int, host: str) -> int:
    return len(await store.range(_range(end, "usage_idle", 86400, 300, {"host": host, "cpu": "cpu-total"})))


async def top_ten(store: Store, end: int, _host: str) -> int:
    answer = await store.range(_range(end, "usage_user", 600, 600, {"cpu": "cpu-total"}, by=["host"]))
    return len(sorted(answer, key=lambda series: -series.values[-1])[:10])


async def all_newest(store: Store, end: int, _host: str) -> int:
    wanted: dict[str, dict[str, None]] = {}
    for head, fields in SCHEMA.items():
        wanted.setdefault(head.partition(",")[0], {}).update(dict.fromkeys(fields))
    found = 0
    for measurement, names in wanted.items():
        found += sum(len(one.fields) for one in await store.latest(measurement, list(names), since=(end - 3600) * S))
    return found


async def one_month(store: Store, end: int, host: str) -> int:
    return len(await store.range(_range(end, "usage_idle", 30 * 86400, 3600, {"host": host, "cpu": "cpu-total"})))


def _range(end: int, field: str, back: int, step: int, where: dict[str, str], **more: Any) -> Range:
    return Range("cpu", field, (end - back) * S, end * S, step * S, Aggregate.MEAN, where, **more)


QUESTIONS: Final[dict[str, Callable[[Store, int, str], Awaitable[int]]]] = {
    "one series, a day at 5 min": one_day,
    "top 10 hosts by CPU": top_ten,
    "last value of 20,000 series": all_newest,
    "a month hourly": one_month,
}


async def ask(peer: Peer, end: int) -> dict[str, tuple[float, float]]:
    """Ask each question several times; return p50 and p95 in ms."""
    store = peer.store()
    if store is not None:
        await store.open()
    answers = {}
    for name, asked in QUESTIONS.items():
        took = []
        for turn in range(ASKED):
            # another host each time: no answer of a cache
            host = f"host{turn * 7 % HOSTS:03}"
            began = time.perf_counter()
            found = await (asked(store, end, host) if store is not None else peer.ask(name, end, host))
            took.append((time.perf_counter() - began) * 1000)
            if not found:
                raise SystemExit(f"{peer.name}: no answer to {name!r}")
        answers[name] = (statistics.median(took), sorted(took)[int(ASKED * 0.95)])
    if store is not None:
        await store.close()
    return answers


# --- measuring -------------------------------------------------------------------------------------------------------


async def write(peer: Peer, files: list[Path]) -> float:
    """Send all requests, two at a time; return the seconds it took."""
    waiting = list(reversed(files))
    headers = {"Authorization": f"Token {TOKEN}", "Content-Encoding": "gzip"}
    url = f"{peer.url}{peer.write_path}"

    async def send(session: aiohttp.ClientSession) -> None:
        while waiting:
            body = waiting.pop().read_bytes()
            async with session.post(url, params=BUCKET, data=body, headers=headers) as answer:
                if answer.status != 204:
                    raise SystemExit(f"{peer.name}: HTTP {answer.status} {await answer.text()}")

    began = time.monotonic()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(600)) as session:
        await asyncio.gather(send(session), send(session))
    return time.monotonic() - began


def measure(kind: type[Peer], folder: Path, files: list[Path], times: int) -> Figures:
    """Write, compact and ask."""
    fields, end = FIELDS * STEPS * times, START + STEPS * EVERY * times
    peer = kind(folder)
    with running(peer.command(), peer.port, folder / "log") as pid:
        asyncio.run(peer.prepare())
        before = cpu_seconds(pid)
        took = asyncio.run(write(peer, files))
        asyncio.run(peer.compacted(pid))
        used, most = cpu_seconds(pid) - before, _rss(pid)
    used += peer.after_stop()
    disk = sum(path.stat().st_blocks * 512 for path in peer.data.rglob("*") if path.is_file())
    if kind is Pantau:
        answers = asyncio.run(ask(peer, end))
    else:
        with running(peer.command(), peer.port, folder / "log"):
            answers = asyncio.run(ask(peer, end))
    return Figures(fields / took, used / fields * 1e6, disk / fields, most, answers)


def _rss(pid: int) -> float:
    status = Path("/proc", str(pid), "status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def show(measured: dict[str, Figures]) -> None:
    rows: list[tuple[str, Callable[[Figures], float], str]] = [
        ("fields/s", lambda f: f.rate, ",.0f"),
        ("CPU s per million fields", lambda f: f.cpu, ".2f"),
        ("bytes a field on disk", lambda f: f.disk, ".2f"),
        ("most memory, MB", lambda f: f.rss, ".0f"),
    ]
    for name in QUESTIONS:
        for which, title in enumerate(("p50", "p95")):
            rows.append((f"{name}, {title} ms", partial(_answer, name=name, which=which), ".1f"))
    print(f"{'':<38}" + "".join(f"{name:>12}" for name in measured) + "   pantau : influxdb2")
    for title, figure, form in rows:
        values = "".join(f"{format(figure(one), form):>12}" for one in measured.values())
        both = {"pantau", "influxdb2"} <= measured.keys()
        ratio = f"{figure(measured['pantau']) / figure(measured['influxdb2']):>12.2f}" if both else ""
        print(f"{title:<38}{values}{ratio}")


def _answer(figures: Figures, *, name: str, which: int) -> float:
    return figures.answers[name][which]


# --- the centre's part of it -----------------------------------------------------------------------------------------


async def serve(data: Path, port: int) -> None:
    """Run the centre's ingest with an embedded store."""
    (data.parent / "token").write_text(TOKEN)
    database = Database(f"sqlite:///{data.parent}/state.db")
    upgrade(database.engine)
    options = Options(tokens=(Token("bench", Secret("file", str(data.parent / "token"))),))
    store = Embedded(StoreOptions(), data / "store")
    await store.open()
    clock = Clock()
    ingest = Ingest(Buckets([Bucket("pantau", store, 0, 0)]), database, clock.now, clock.steady, options)
    await ingest.open()
    app = web.Application()
    app.add_routes(routes(ingest))
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()
    await ingest.close()
    await store.close()


def main() -> int:
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(Path(sys.argv[2]), int(sys.argv[3])))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("times", type=int, nargs="?", default=1)
    parser.add_argument("--only", default=",".join(peer.name for peer in PEERS))
    arguments = parser.parse_args()
    wanted = [kind for kind in PEERS if kind.name in arguments.only.split(",") and Path(kind.program()).is_file()]
    found = {}
    with tempfile.TemporaryDirectory() as place:
        files = []
        for number, body in enumerate(bodies(arguments.times)):
            files.append(Path(place, f"{number:06}.gz"))
            files[-1].write_bytes(body)
        print(f"{FIELDS * STEPS * arguments.times:,} fields of {FIELDS:,} series in {len(files)} requests", flush=True)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the first", flush=True)
        for kind in wanted:
            folder = Path(place, kind.name)
            folder.mkdir()
            found[kind.name] = measure(kind, folder, files, arguments.times)
            print(kind.name, found[kind.name], flush=True)
            shutil.rmtree(folder)
    show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
