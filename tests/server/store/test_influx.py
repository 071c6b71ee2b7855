"""What is peculiar to stores in InfluxDB: versions, refusals, being away; and writing on VictoriaMetrics."""

import gzip
import json
import logging
import urllib.request

import pytest
from aiohttp import web
from parts import free_port, wait_for

from collectors.point import Point, UInt
from configs.secret import Secret
from configs.units import Duration
from server.store import Range, Rejected, StoreUnavailable, Written
from server.store.influx import ql
from server.store.influx.connection import Options
from server.store.influx.store import Influx

T = 1_700_000_000 * 10**9
POINT = Point("m", {}, {"f": 1.0}, T)


@pytest.fixture
async def make(tmp_path):
    """Build stores that are closed at the end."""
    made = []

    def build(url, **options):
        made.append(Influx(Options(url=url, **options), tmp_path))
        return made[-1]

    yield build
    for store in made:
        await store.close()


@pytest.fixture
async def fake(make):
    """Build a server that answers each write with the next of some answers; yields what was written."""
    runners = []

    async def build(answers, **options):
        bodies = []

        async def write(request):
            bodies.append(gzip.decompress(await request.read()))
            status, text = answers.pop(0)
            return web.Response(status=status, text=text)

        app = web.Application()
        app.router.add_post("/api/v2/write", write)
        runner = web.AppRunner(app, auto_decompress=False)
        runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        return make(f"http://127.0.0.1:{port}", version="2", **options), bodies

    yield build
    for runner in runners:
        await runner.cleanup()


def test_names_and_texts_cannot_leave_their_quotes():
    assert ql.name('a"b\\c\nd') == r'"a\"b\\c\nd"'
    assert ql.text("a'b\\c\nd") == r"'a\'b\\c\nd'"
    question = ql.over_time(ql.source("m", "two weeks"), Range("m", 'x") FROM y --', 0, 10, 5, where={"a'": "' OR"}))
    assert question == (
        'SELECT mean("x\\") FROM y --") FROM "two weeks"."m" WHERE time >= 0 AND time < 10'
        " AND \"a'\"::tag = '\\' OR' GROUP BY time(5ns) fill(none)"
    )


async def test_nobody_there_is_unavailable_and_told_once(make, caplog):
    store = make(f"http://127.0.0.1:{free_port()}")
    caplog.set_level(logging.INFO, "pantau.store")
    for call in (store.open(), store.write([POINT]), store.measurements(), store.latest("m", ["f"], since=0)):
        with pytest.raises(StoreUnavailable, match=r"^http://127\.0\.0\.1:\d+: .*Connect"):
            await call
    assert "Connect" in await store.health()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.may_block
@pytest.mark.parametrize(
    ("status", "text", "why"),
    [
        (401, '{"code":"unauthorized","message":"unauthorized access"}', "HTTP 401: unauthorized access"),
        (404, '{"error":"database not found: \\"x\\""}', 'HTTP 404: database not found: "x"'),
        (429, "slow down", "HTTP 429: slow down"),
        (500, "", "HTTP 500: Internal Server Error"),
        (503, "[]", "HTTP 503: []"),
    ],
)
async def test_an_error_of_the_server_is_unavailable_with_its_words(fake, status, text, why):
    store, _ = await fake([(status, text), (204, "")])
    with pytest.raises(StoreUnavailable) as error:
        await store.write([POINT])
    assert str(error.value).endswith(why)
    assert await store.write([POINT]) == Written(1)


@pytest.mark.may_block
async def test_what_is_too_large_is_written_in_halves(fake):
    store, bodies = await fake([(413, "too large"), (204, ""), (413, "too large"), (204, ""), (413, "too large")])
    points = [Point("m", {}, {"f": number}, T + number) for number in range(4)]
    assert await store.write(points) == Written(3, (Rejected("m", "f", "too large"),))
    assert [body.count(b"\n") for body in bodies] == [4, 2, 2, 1, 1]


@pytest.mark.may_block
async def test_points_beyond_the_retention_are_counted_out(fake):
    why = "partial write: points beyond retention policy dropped=3"
    store, _ = await fake([(400, json.dumps({"error": why}))])
    points = [Point("m", {}, {"f": number}, number) for number in range(4)]
    assert await store.write(points) == Written(1, (Rejected("", "", why),))


@pytest.mark.may_block
async def test_it_does_not_wait_longer_than_its_timeout(fake):
    class Late(list):
        def pop(self, _):
            import time

            time.sleep(0.5)
            return 204, ""

    store, _ = await fake(Late(), timeout=Duration(0.1))
    with pytest.raises(StoreUnavailable, match="no answer in time"):
        await store.write([POINT])


async def test_influxdb_1_takes_unsigned_numbers_as_integers(make, influx1_url, names):
    store = make(influx1_url, bucket=next(names))
    await store.open()
    await store.write([Point("m", {}, {"n": 1}, T)])
    assert await store.write([Point("m", {}, {"n": UInt(2**64 - 1), "x": UInt(7), "y": 1}, T + 1)]) == Written(1)
    assert (await store.latest("m", ["n", "x"], since=T))[0].fields == {"n": 1, "x": 7}  # what does not fit is left out
    # a second conflict in the same point is found too, though unsigned and integer are one type here
    written = await store.write([Point("m", {}, {"n": UInt(5), "x": 1.5, "y": "z"}, T + 2)])
    assert (written.points, {one.field for one in written.rejected}) == (1, {"x", "y"})


async def test_a_retention_policy_is_written_to_and_read_from(make, influx1_url, names):
    bucket = next(names)
    plain = make(influx1_url, bucket=bucket)
    await plain.open()
    await plain._server.ask([f'CREATE RETENTION POLICY "two weeks" ON {ql.name(bucket)} DURATION INF REPLICATION 1'])
    store = make(influx1_url, bucket=bucket, policy="two weeks")
    await store.write([POINT])
    assert len(await store.latest("m", ["f"], since=T)) == 1
    assert len(await store.range(Range("m", "f", T, T + 1, 1))) == 1
    assert await plain.latest("m", ["f"], since=T) == []


async def test_a_missing_bucket_or_a_wrong_token_is_said_on_opening(make, influx2, tmp_path):
    url, _, token = influx2
    wrong = tmp_path / "wrong"
    wrong.write_text("not-the-token")
    for bucket, file, why in (("nosuch", token, 'bucket "nosuch" not found'), ("first", wrong, "unauthorized access")):
        store = make(url, org="kota", bucket=bucket, token=Secret("file", str(file)))
        with pytest.raises(StoreUnavailable, match=why):
            await store.open()
        assert why in await store.health()


async def test_a_missing_secret_is_unavailable(make, tmp_path):
    store = make("http://127.0.0.1:9", version="2", token=Secret("file", str(tmp_path / "none")))
    with pytest.raises(StoreUnavailable, match="cannot read the secret file"):
        await store.write([POINT])


async def test_victoriametrics_takes_points_but_is_not_read(make, victoria_url):
    store = make(victoria_url)
    points = [
        Point("cpu", {"host": 'a "b"', "core": "é"}, {"usage": 1.5, "n": UInt(2**40), "up": True}, T),
        Point("cpu", {"host": "c"}, {"usage": 2.0}, T + 10**9),
    ]
    assert await store.write(points) == Written(2)
    for call in (store.open(), store.measurements(), store.range(Range("cpu", "usage", T, T + 1, 1))):
        with pytest.raises(StoreUnavailable, match="this is VictoriaMetrics: it takes points"):
            await call

    urllib.request.urlopen(f"{victoria_url}/internal/force_flush", timeout=60).close()

    def export():
        url = f"{victoria_url}/api/v1/export?match[]={{__name__=~%22cpu_.*%22}}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            lines = [json.loads(line) for line in answer.read().splitlines()]
        return lines if len(lines) == 4 else None

    found = wait_for(export, what="the points in VictoriaMetrics")
    a = {"host": 'a "b"', "core": "é"}
    assert sorted(((line["metric"], line["values"], line["timestamps"]) for line in found), key=str) == sorted(
        [
            ({"__name__": "cpu_usage", **a}, [1.5], [T // 10**6]),
            ({"__name__": "cpu_n", **a}, [2**40], [T // 10**6]),
            ({"__name__": "cpu_up", **a}, [1], [T // 10**6]),
            ({"__name__": "cpu_usage", "host": "c"}, [2], [T // 10**6 + 1000]),
        ],
        key=str,
    )
