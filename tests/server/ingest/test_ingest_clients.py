"""Clients of InfluxDB write to the centre unchanged: they do not know that it is none."""

import asyncio
import gzip
import os
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import parts
import pytest
from influxdb_client import InfluxDBClient, Point, WriteOptions
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from server.store import Aggregate, Range

TOKEN = "s3cret-token"
START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
HOUR = 3600 * SECOND


async def ran(*command, **env):
    """Run a program to its end; return what it said."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **env},
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 100)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return out.decode()


def sample(number):
    return (
        Point("temperature")
        .tag("host", "srv 1")
        .tag("room", 'a,b="c"')
        .field("value", number / 2)
        .time(START + number * SECOND)
    )


async def test_the_reference_client_writes_one_by_one(real_centre):
    def use():
        with InfluxDBClient(url=real_centre.base, token=TOKEN, org="pantau", enable_gzip=True) as client:
            assert client.ping()
            assert client.ready().status == "ready"
            with client.write_api(write_options=SYNCHRONOUS) as api:
                api.write(bucket="pantau", record=[sample(1), sample(2)])
                api.write(bucket="pantau", record="raw value=3i 1700000000", write_precision="s")
                api.write(
                    bucket="pantau",
                    record={"measurement": "d", "fields": {"ok": True, "n": 5, "s": 'x"y\\'}, "time": START},
                )
                with pytest.raises(ApiException) as refused:
                    api.write(bucket="elsewhere", record=sample(3))
                assert (refused.value.status, refused.value.message) == (404, 'bucket "elsewhere" not found')

    await asyncio.to_thread(use)
    (temperature,) = await real_centre.store.latest("temperature", ["value"], since=0)
    assert temperature.tags == {"host": "srv 1", "room": 'a,b="c"'}
    assert (temperature.fields, temperature.time) == ({"value": 1.0}, START + 2 * SECOND)
    assert (await real_centre.store.latest("raw", ["value"], since=0))[0].fields == {"value": 3}
    assert (await real_centre.store.latest("d", ["ok", "n", "s"], since=0))[0].fields == {
        "ok": True,
        "n": 5,
        "s": 'x"y\\',
    }


async def test_the_reference_client_writes_in_batches(real_centre):
    failures = []

    def use():
        options = WriteOptions(batch_size=300, flush_interval=200, jitter_interval=0)
        with (
            InfluxDBClient(url=real_centre.base, token=TOKEN, org="pantau") as client,
            client.write_api(write_options=options, error_callback=lambda *error: failures.append(error)) as api,
        ):
            for number in range(1000):
                api.write(bucket="pantau", record=sample(number))

    await asyncio.to_thread(use)
    assert failures == []
    query = Range("temperature", "value", START, START + 1000 * SECOND, 1000 * SECOND, Aggregate.COUNT, by=("host",))
    counts = [value for series in await real_centre.store.range(query) for value in series.values]
    assert sum(counts) == 1000


async def test_the_reference_client_writes_from_a_loop(real_centre):
    async with InfluxDBClientAsync(url=real_centre.base, token=TOKEN, org="pantau", enable_gzip=True) as client:
        assert await client.ping()
        assert await client.write_api().write(bucket="pantau", record=[sample(7)])
    (latest,) = await real_centre.store.latest("temperature", ["value"], since=0)
    assert latest.fields == {"value": 3.5}


@pytest.mark.real
async def test_curl_writes(real_centre, tmp_path):
    curl = parts.require("curl", "curl")
    packed = tmp_path / "lines.gz"
    packed.write_bytes(gzip.compress(b"".join(b"big f=%d %d\n" % (n, START + n) for n in range(100_000))))
    common = [curl, "-sS", "-w", "%{http_code}", "-H", f"Authorization: Token {TOKEN}"]
    url = f"{real_centre.base}/api/v2/write?org=pantau&bucket=pantau"
    assert await ran(*common, url, "--data-binary", f"m,host=a f=1 {START}") == "204"
    assert (
        await ran(
            *common, url, "--data-binary", f"@{packed}", "-H", "Content-Encoding: gzip", "-H", "Expect: 100-continue"
        )
        == "204"
    )
    assert (
        await ran(
            *common,
            url,
            "--data-binary",
            f"@{packed}",
            "-H",
            "Content-Encoding: gzip",
            "-H",
            "Transfer-Encoding: chunked",
        )
        == "204"
    )
    said = await ran(curl, "-sS", "-u", f"any:{TOKEN}", f"{real_centre.base}/write?db=pantau", "-d", "m f=")
    assert said == """{"error": "unable to parse 'm f=': missing field value"}"""
    (latest,) = await real_centre.store.latest("big", ["f"], since=0)
    assert latest.fields == {"f": 99_999.0}


@pytest.mark.real
async def test_glances_exports_and_its_series_can_be_charted(real_centre, tmp_path):
    glances = Path(sys.executable).parent / "glances"
    if not glances.exists():
        pytest.skip("glances is missing: it is in the dev group of pyproject.toml")
    port = urlsplit(real_centre.base).port
    config = tmp_path / "glances.conf"
    config.write_text(
        f"[influxdb2]\nhost=127.0.0.1\nport={port}\nprotocol=http\nuser=u\npassword=p\norg=pantau\nbucket=pantau\n"
        f"token={TOKEN}\ninterval=1\n[outputs]\ncheck_update=False\n"
    )
    off = "cloud,containers,vms,gpu,sensors,smart,wifi,connections,ports,folders,processlist,programlist,ip"
    command = [glances, "-C", config, "--export", "influxdb2", "-q", "-t", "1", "--disable-plugin", off]

    async def there():
        return {"cpu", "mem", "load"} <= set(await real_centre.store.measurements())

    running = parts.daemon(command, log=tmp_path / "said", env={"HOME": str(tmp_path)})
    await asyncio.to_thread(running.__enter__)
    try:
        await parts.wait_until(there, 20, "what Glances measures")
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
    now = time.time_ns()
    query = Range("cpu", "total", now - HOUR, now + HOUR, 60 * SECOND, Aggregate.MEAN, by=("hostname",))
    (series,) = await real_centre.store.range(query)
    assert series.tags["hostname"]
    assert all(0 <= value <= 100 for value in series.values)


TELEGRAF = """
[agent]
interval = "1s"
flush_interval = "1s"
hostname = "telegraf-host"
[[outputs.influxdb_v2]]
urls = ["{base}"]
token = "{token}"
organization = "pantau"
bucket = "pantau"
[[outputs.influxdb]]
urls = ["{base}"]
database = "pantau"
username = "any"
password = "{token}"
skip_database_creation = true
name_prefix = "v1_"
[[inputs.mem]]
[[inputs.cpu]]
[[inputs.system]]
"""


@pytest.mark.real
async def test_telegraf_writes_by_both_of_its_outputs(real_centre, tmp_path):
    telegraf = parts.require_env("PANTAU_TEST_TELEGRAF", "Telegraf")
    config = tmp_path / "telegraf.conf"
    config.write_text(TELEGRAF.format(base=real_centre.base, token=TOKEN))
    log = tmp_path / "log"
    with await asyncio.to_thread(lambda: parts.daemon([telegraf, "--config", config], log=log)):

        async def both():
            names = set(await real_centre.store.measurements())
            return {"mem", "cpu", "system", "v1_mem", "v1_system"} <= names

        await parts.wait_until(both, 15, f"telegraf: {log.read_text()}")
    (latest,) = await real_centre.store.latest("system", ["uptime", "uptime_format"], since=0)
    assert isinstance(latest.fields["uptime"], int)
    assert isinstance(latest.fields["uptime_format"], str)
    assert "telegraf-host" in real_centre.ingest.seen()
    complaints = [line for line in log.read_text().splitlines() if " E! " in line]
    assert [line for line in complaints if "deadline exceeded" not in line and "Error writing" not in line] == []
