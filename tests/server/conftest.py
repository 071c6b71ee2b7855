"""Real databases for the tests of the centre, where they are installed; one of each for all tests of a worker."""

from itertools import count

import pytest
from parts import daemon, free_port, influxdb1, post_json, require_env, wait_for


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
def names():
    """Names of databases that no other test has."""
    return (f"it's db {number}" for number in count())
