"""Delivering to a real InfluxDB 1.6.7, through its own /write."""

import json
import urllib.request
from urllib.parse import urlencode

import pytest
from parts import influxdb1

from agent.deliver import Verdict, deliver
from agent.post import Endpoint, Options

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def influx(tmp_path_factory):
    with influxdb1(tmp_path_factory.mktemp("influx")) as url:
        yield url


def ask(url, query, database=""):
    data = urlencode({"q": query, "db": database}).encode()
    with urllib.request.urlopen(f"{url}/query", data) as response:
        return json.load(response)["results"][0]


@pytest.fixture
def post(influx):
    ask(influx, "CREATE DATABASE agents")
    endpoint = Endpoint(Options(url=influx, api="v1", bucket="agents"))
    yield endpoint.post
    endpoint.close()


def test_lines_arrive_and_a_repeat_overwrites_itself(influx, post, some_lines):
    for _ in range(2):
        outcome = deliver(some_lines(50), post, trusted=False)
        assert (outcome.rest, outcome.poison, outcome.pause) == ([], [], None)
    assert ask(influx, "SELECT COUNT(n) FROM cpu", "agents")["series"][0]["values"][0][1] == 50


def test_malformed_and_conflicting_lines_are_quarantined_alone(influx, post):
    good = [b"disk,host=b used=%di %d000000000" % (n, 1_800_000_000 + n) for n in range(30)]
    bad = [b"disk,host=b used= 1", b'disk,host=b used="text" 1800000000000000000']
    outcome = deliver([*good[:10], bad[0], *good[10:20], bad[1], *good[20:]], post, trusted=False)
    assert sorted(line for line, _ in outcome.poison) == sorted(bad)
    assert outcome.rest == []
    assert ask(influx, "SELECT COUNT(used) FROM disk", "agents")["series"][0]["values"][0][1] == 30


def test_a_database_that_is_missing_keeps_everything(influx, some_lines):
    endpoint = Endpoint(Options(url=influx, api="v1", bucket="no_such"))
    outcome = deliver(some_lines(5), endpoint.post, trusted=True)
    endpoint.close()
    assert outcome.pause.verdict is Verdict.OURS
    assert outcome.rest == some_lines(5)
