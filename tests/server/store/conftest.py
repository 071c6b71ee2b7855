"""Every kind of store, empty: embedded, and real databases where they are installed."""

import pytest
from parts import daemon, free_port, post_json, require
from settled import AT_ONCE, SHORT, SMALL, T

from configs.secret import Secret
from configs.units import Duration
from server.store.embedded.levels import DAY
from server.store.embedded.settling import Limits as SettlingLimits
from server.store.embedded.store import Embedded, Limits
from server.store.embedded.store import Options as EmbeddedOptions
from server.store.influx.connection import Options as InfluxOptions
from server.store.influx.store import Influx


@pytest.fixture(scope="session")
def victoria_url(tmp_path_factory):
    binary = require("victoria-metrics", "victoria-metrics")
    folder, port = tmp_path_factory.mktemp("victoria"), free_port()
    command = [binary, f"-storageDataPath={folder}/data", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=100y"]
    with daemon(command, port=port, log=folder / "log"):
        yield f"http://127.0.0.1:{port}"


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


@pytest.fixture
def small_files():
    """Let a few rows make a file."""


@pytest.fixture
def short_weeks():
    """Let two days be a week, whose roll-ups are merged."""


@pytest.fixture
async def make(tmp_path, request):
    made = []
    asked = request.fixturenames
    settling = SHORT if "short_weeks" in asked else SMALL if "small_files" in asked else SettlingLimits()

    async def build(options=AT_ONCE, clock=lambda: T + 1000 * DAY, **limits):
        store = Embedded(options, tmp_path, clock, Limits(**{"settling": settling, **limits}))
        made.append(store)
        await store.open()
        return store

    yield build
    for store in made:
        await store.close()
