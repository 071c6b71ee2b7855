"""Every kind of store, empty: embedded, and real databases where they are installed."""

import json
import urllib.request
from itertools import count

import pytest
from parts import daemon, free_port, influxdb1, require, require_env, wait_for

from configs.secret import Secret
from configs.units import Duration
from server.store.embedded import Embedded
from server.store.embedded import Options as EmbeddedOptions
from server.store.influx import Influx
from server.store.influx import Options as InfluxOptions


def post_json(url, body, token=""):
    headers = {"Content-Type": "application/json", "Authorization": f"Token {token}"}
    request = urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@pytest.fixture(scope="session")
def influx1_url(tmp_path_factory):
    with influxdb1(tmp_path_factory.mktemp("influx1")) as url:
        yield url


@pytest.fixture(scope="session")
def influx2(tmp_path_factory):
    """A real InfluxDB 2.7: its URL, the id of its organisation "kota", and a file with its token."""
    binary = require_env("PANTAU_TEST_INFLUXD2", "InfluxDB 2.7")
    folder, port = tmp_path_factory.mktemp("influx2"), free_port()
    token = folder / "token"
    token.write_text("made-up-token\n")
    url = f"http://127.0.0.1:{port}"
    command = [
        binary, "--http-bind-address", f"127.0.0.1:{port}", "--bolt-path", folder / "bolt", "--engine-path", folder / "engine",
        "--sqlite-path", folder / "sqlite", "--reporting-disabled",
    ]  # fmt: skip
    with daemon(command, port=port, log=folder / "log"):
        setup = {
            "username": "admin",
            "password": "made-up-1",
            "org": "kota",
            "bucket": "first",
            "token": "made-up-token",
        }

        def set_up():
            try:
                return post_json(f"{url}/api/v2/setup", setup)
            except OSError:
                return None

        yield url, wait_for(set_up, what="the setup of InfluxDB 2")["org"]["id"], token


@pytest.fixture(scope="session")
def victoria_url(tmp_path_factory):
    binary = require("victoria-metrics", "victoria-metrics")
    folder, port = tmp_path_factory.mktemp("victoria"), free_port()
    command = [binary, f"-storageDataPath={folder}/data", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=100y"]
    with daemon(command, port=port, log=folder / "log"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def names():
    """Names of databases that no other test has."""
    return (f"it's db {number}" for number in count())


@pytest.fixture
def make_influx2(influx2, names, tmp_path):
    """Build a store in a new bucket of InfluxDB 2."""
    url, org, token = influx2

    def make():
        bucket = next(names)
        post_json(
            f"{url}/api/v2/buckets", {"name": bucket, "orgID": org, "retentionRules": []}, token.read_text().strip()
        )
        return Influx(InfluxOptions(url=url, org="kota", bucket=bucket, token=Secret("file", str(token))), tmp_path)

    return make


@pytest.fixture(params=["embedded", "influx1", "influx2"])
async def store(request, tmp_path):
    """An open, empty store of each kind."""
    match request.param:
        case "embedded":
            made = Embedded(EmbeddedOptions(window=Duration(0.0)), tmp_path)
        case "influx1":
            url, names = request.getfixturevalue("influx1_url"), request.getfixturevalue("names")
            made = Influx(InfluxOptions(url=url, bucket=next(names)), tmp_path)
        case "influx2":
            made = request.getfixturevalue("make_influx2")()
    try:
        await made.open()
        yield made
    finally:
        await made.close()
