"""Delivering to a real InfluxDB 1.6.7, through its own /write, and to a real 2.7."""

import json
import urllib.request
from urllib.parse import urlencode

import pytest
from parts import influxdb1, influxdb2

from agent.clock import Clock
from agent.deliver import Verdict, deliver
from agent.pace import Pace
from agent.post import Endpoint, Options
from agent.send import Sender
from agent.spool import Options as Bounds
from agent.spool import Spool
from configs.secret import Secret
from configs.units import Size

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


@pytest.fixture(scope="module")
def influx2(tmp_path_factory):
    with influxdb2(tmp_path_factory.mktemp("influx2")) as found:
        yield found


def test_influxdb_2_tells_its_time_by_an_empty_write_then_takes_what_is_good(influx2, tmp_path):
    url, token = influx2
    clock = Clock()
    now = clock.now() // 10**9
    good = [b"disk,host=c used=%di %d000000000" % (n, now - n) for n in range(30)]
    spool = Spool(tmp_path / "spool.db", Bounds(min_free=Size(0)))
    spool.put([*good, b"disk,host=c used= 1"], clock.ms())
    sender = Sender(Endpoint(Options(url=url, token=Secret("file", str(token)))), spool, clock, Pace(10_000))
    sender._live_at = 0
    sender.turn()
    assert abs(clock.offset_ms) < 5000
    spool.put([b'disk,host=c used="text" %d000000000' % now, b"disk,host=d used=1i %d000000000" % now], clock.ms())
    sender._live_at = 0
    sender.turn()
    tally = spool.tally
    assert (tally.delivered, tally.quarantined, tally.rejected, tally.spooled) == (31, 1, 1, 0)
    sender._endpoint.close()
    spool.close()
