"""Telegraf at a 1 s interval through a kill and a restart of the centre: nothing is missing.

Two minutes here; ``PANTAU_TEST_TELEGRAF_SECONDS=3600`` takes an hour.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import parts
import pytest

from collectors.linereader import decode
from server.store import Aggregate, Range
from server.store.embedded.store import Embedded, Options

SECONDS = int(os.environ.get("PANTAU_TEST_TELEGRAF_SECONDS", "120"))
S = 10**9
AWAY = 8.0
SERVER = """
[server]
listen = "127.0.0.1:{port}"
data = "data"
[ingest]
tokens = [{{ name = "telegraf", token = {{ file = "token" }} }}]
"""
TELEGRAF = """
[agent]
interval = "1s"
flush_interval = "1s"
hostname = "srv-1"
[[outputs.influxdb_v2]]
urls = ["http://127.0.0.1:{port}"]
token = "made-up"
organization = "pantau"
bucket = "pantau"
[[outputs.file]]
files = ["{lines}"]
data_format = "influx"
[[inputs.mem]]
[[inputs.cpu]]
[[inputs.system]]
"""


@pytest.mark.real
@pytest.mark.e2e
@pytest.mark.timeout(SECONDS + 400)
def test_what_telegraf_measured_through_a_kill_and_a_restart_of_the_centre_is_all_there(tmp_path):
    telegraf = parts.require_env("PANTAU_TEST_TELEGRAF", "Telegraf")
    port, lines = parts.free_port(), tmp_path / "lines"
    (tmp_path / "token").write_text("made-up")
    (tmp_path / "services.toml").touch()
    (tmp_path / "server.toml").write_text(SERVER.format(port=port))
    (tmp_path / "telegraf.conf").write_text(TELEGRAF.format(port=port, lines=lines))

    def centre():
        command = [sys.executable, "-m", "server.cli.main", "server", "--settings", tmp_path / "server.toml"]
        return parts.daemon(command, port=port, log=tmp_path / "server.log")

    with parts.daemon([telegraf, "--config", tmp_path / "telegraf.conf"], log=tmp_path / "telegraf.log") as writer:
        with centre() as process:
            time.sleep(SECONDS / 3)
            process.send_signal(signal.SIGKILL)
            process.wait()
            time.sleep(AWAY)
        with centre():
            time.sleep(SECONDS / 3)  # and a restart as an administrator does it
        time.sleep(AWAY)
        with centre():
            time.sleep(max(SECONDS / 3 - 2 * AWAY, 10))
            measured = read(lines)
            assert time.time_ns() - max(time for *_, time in measured) < 30 * S, (tmp_path / "telegraf.log").read_text()
            time.sleep(3)
            writer.terminate()  # which writes what it has left
            writer.wait(60)
    wanted = read(lines, until=max(time for *_, time in measured))
    kept = asyncio.run(in_store(tmp_path / "data" / "store", wanted))
    moments = {time for *_, time in wanted}
    assert len(moments) > 0.9 * (SECONDS - 20)
    assert {one: value for one, value in wanted.items() if kept.get(one) != value} == {}


def read(lines: Path, until: int = 2**63) -> dict[tuple[str, tuple[tuple[str, str], ...], str, int], float]:
    """Return what Telegraf wrote to its file: (measurement, tags, field, time) -> number."""
    found = decode(lines.read_bytes().rpartition(b"\n")[0], now=0)
    assert not found.errors
    return {
        (point.measurement, tuple(sorted(point.tags.items())), field, point.time): float(value)
        for point in found.points
        for field, value in point.fields.items()
        if not isinstance(value, str) and point.time <= until
    }


async def in_store(folder: Path, wanted):
    """Read from the store whatever was measured."""
    store = Embedded(Options(), folder)
    await store.open()
    kept = {}
    start, end = min(time for *_, time in wanted), max(time for *_, time in wanted) + 1
    for measurement, tags, field in {one[:3] for one in wanted}:
        query = Range(measurement, field, start, end, S, Aggregate.LAST, where=dict(tags))
        for series in await store.range(query):
            for moment, value in zip(series.times, series.values, strict=True):
                kept[measurement, tags, field, moment] = value
    await store.close()
    return kept
