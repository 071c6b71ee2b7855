"""``pantau store init`` and ``check`` against real databases: what they make, that a repeat changes nothing, and what they say."""

import asyncio
import json
import re
import time
import urllib.error
import urllib.request

import msgspec
import pytest
from parts import free_port, post_json, wait_for

from collectors.point import Point, UInt
from configs.secret import Secret
from configs.units import Duration
from server.cli.main import main
from server.store import RATES, Aggregate, Deletion, Range
from server.store.influx import flux, ql
from server.store.influx.connection import Options
from server.store.influx.setup import Setup
from server.store.influx.store import Influx
from tests.server.store.test_copying import used

S = 10**9
HOUR = 3600 * S
DAY = 24 * HOUR
SETTINGS = """
[server]
data = "data"
retention = "{retention}"
[store]
type = "influx"
url = "{url}"
bucket = "{bucket}"
{more}
"""


class Target:
    """A database that is not there yet: its settings file, its options, and the commands on it."""

    def __init__(self, folder, options):
        self.folder = folder
        self.options = options
        self.file = folder / "server.toml"
        (folder / "services.toml").touch()
        self.settings()

    def settings(self, raw="30d", retention="400d", **changed):
        known = {"url": self.options.url, "bucket": self.options.bucket} | changed
        more = f'raw = "{raw}"\n'
        if self.options.token:
            more += f'org = "kota"\ntoken = {{ file = "{self.options.token._name}" }}'
        self.file.write_text(SETTINGS.format(retention=retention, more=more, **known))

    def run(self, *words):
        return main(["store", *words, "--settings", str(self.file), "--lang", "en"])

    def store(self, **changed):
        return Influx(msgspec.structs.replace(self.options, **changed), self.folder)


@pytest.fixture(params=["influx1", "influx2"])
def target(request, names, tmp_path):
    if request.param == "influx1":
        return Target(tmp_path, Options(url=request.getfixturevalue("influx1_url"), bucket=next(names)))
    url, _, token = request.getfixturevalue("influx2")
    return Target(tmp_path, Options(url=url, bucket=next(names), org="kota", token=Secret("file", str(token))))


async def made(setup):
    try:
        return [step.what async for step in setup.init(change=False)]
    finally:
        await setup.close()


async def write(store, points):
    try:
        return await store.write(points)
    finally:
        await store.close()


def test_it_makes_everything_says_so_and_a_repeat_changes_nothing(target, capsys):
    assert target.run("init") == 0
    made = capsys.readouterr().out
    assert "made" in made
    assert "kept 400d" in made
    assert made.count("\n+ ") == 3
    assert target.run("init") == 0
    again = capsys.readouterr().out
    assert "+" not in again
    assert again.count("✓") == 4
    assert target.run("check") == 0
    told = capsys.readouterr().out
    assert "✗" not in told
    for line in ("answers within", "version", "clocks agree", "writing is allowed", "reading is allowed", "read back",
                 "kept 30d", "kept 400d", "roll-ups of an hour are made"):  # fmt: skip
        assert line in told
    assert target.run("check") == 0
    assert "allowed: 0 measurements" in capsys.readouterr().out  # the point of the check is gone


def test_the_longer_retention_of_an_empty_database_is_shortened(target, capsys):
    target.settings(raw="60d")
    target.run("init")
    target.settings(raw="30d")
    capsys.readouterr()
    assert target.run("init") == 0
    assert "kept 30d now instead of 60d" in capsys.readouterr().out
    target.settings(raw="30d", retention="800d")
    assert target.run("init") == 0
    assert "kept 800d now instead of 400d" in capsys.readouterr().out


def test_values_are_deleted_only_when_asked(target, capsys):
    target.settings(raw="60d")
    target.run("init")
    old = Point("m", {}, {"f": 1.0}, time.time_ns() - 45 * DAY)
    assert asyncio.run(write(target.store(), [old])).points == 1
    target.settings(raw="30d")
    capsys.readouterr()
    assert target.run("init") == 1
    assert "kept 60d, not 30d; pantau store init --change" in capsys.readouterr().out
    assert target.run("check") == 0
    assert "kept 60d, not 30d" in capsys.readouterr().out
    assert target.run("init", "--change") == 0
    assert "kept 30d now instead of 60d" in capsys.readouterr().out


def test_roll_ups_that_are_made_otherwise_are_renewed(target, capsys):
    options = msgspec.structs.replace(target.options, raw=Duration(30 * 86400))
    asyncio.run(made(Setup(options, Duration(400 * 86400), time.time_ns, late_days=3)))
    assert target.run("init") == 0
    assert "+ roll-ups of an hour renewed" in capsys.readouterr().out
    assert target.run("init") == 0
    assert "+" not in capsys.readouterr().out


def test_a_missing_database_is_said_with_the_command_that_makes_it(target, capsys):
    assert target.run("check") == 1
    told = capsys.readouterr().out
    assert re.search("cannot write: .*not found", told)
    assert "make it with: pantau store init" in told


def test_nobody_there_is_said_in_indonesian(target, capsys):
    target.settings(url=f"http://127.0.0.1:{free_port()}")
    for verb in ("init", "check"):
        assert main(["store", verb, "--settings", str(target.file)]) == 1
        assert "✗ tidak terjangkau: " in capsys.readouterr().out


def test_too_short_a_time_for_raw_values_is_refused(target, capsys):
    target.settings(raw="2d")
    assert target.run("init") == 1
    assert "'raw' in [store] is at least 4d" in capsys.readouterr().out


def test_a_token_without_rights_is_told(influx2, names, tmp_path, capsys):
    url, org, token = influx2
    target = Target(tmp_path, Options(url=url, bucket=next(names), org="kota", token=Secret("file", str(token))))
    assert target.run("init") == 0
    admin = token.read_text().strip()
    rights = [{"action": "read", "resource": {"type": "buckets", "orgID": org}}]
    reader = post_json(f"{url}/api/v2/authorizations", {"orgID": org, "permissions": rights}, admin)["token"]
    (tmp_path / "reader").write_text(reader)
    other = Target(
        tmp_path, Options(url=url, bucket=target.options.bucket, token=Secret("file", str(tmp_path / "reader")))
    )
    capsys.readouterr()
    assert other.run("check") == 1
    told = capsys.readouterr().out
    assert re.search("✗ cannot write: .*insufficient permissions", told)
    assert "✓ reading is allowed" in told
    other.settings(bucket="another one")
    assert other.run("init") == 1
    assert "init needs an operator or all-access token" in capsys.readouterr().out


def test_victoriametrics_needs_nothing_and_is_not_read(victoria_url, tmp_path, capsys):
    target = Target(tmp_path, Options(url=victoria_url, bucket="any"))
    assert target.run("init") == 0
    assert "VictoriaMetrics needs nothing" in capsys.readouterr().out
    assert target.run("check") == 0
    told = capsys.readouterr().out
    assert "✓ writing is allowed" in told
    assert "· VictoriaMetrics takes points, but cannot be read here" in told


def test_the_embedded_store_needs_nothing(tmp_path, capsys):
    (tmp_path / "services.toml").touch()
    (tmp_path / "data" / "store").mkdir(parents=True)
    (tmp_path / "server.toml").write_text('[server]\ndata = "data"')
    for verb, words in (("init", "· the embedded store needs nothing"), ("check", "✓ the embedded store can be read")):
        assert main(["store", verb, "--settings", str(tmp_path / "server.toml"), "--lang", "en"]) == 0
        assert words in capsys.readouterr().out


def test_a_damaged_bucket_is_told_while_the_centre_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("server.cli.store._serves", lambda *_: True)
    (tmp_path / "services.toml").touch()
    (tmp_path / "data" / "store" / "buckets" / "lab").mkdir(parents=True)
    (tmp_path / "data" / "store" / "buckets" / "lab" / "points.duckdb").write_bytes(b"nonsense" * 4096)
    (tmp_path / "server.toml").write_text('[server]\ndata = "data"\n[[bucket]]\nname = "lab"')
    assert main(["store", "check", "--settings", str(tmp_path / "server.toml"), "--lang", "en"]) == 1
    first, _, second = capsys.readouterr().out.partition("lab:\n")
    assert "✓ the embedded store can be read" in first
    assert second.startswith("✗ the embedded store: ")
    assert "not a valid DuckDB database file" in second
    with used(tmp_path / "data" / "store"):
        assert main(["store", "check", "--settings", str(tmp_path / "server.toml"), "--lang", "en"]) == 1
        assert "✓ the embedded store is used by the running centre" in capsys.readouterr().out.partition("lab:\n")[0]


def points(hour):
    """An hour of every type, of two hosts."""
    return [
        Point(
            "m",
            {"host": host},
            {"f": n * 1.5 + at, "i": n + at, "u": UInt(n), "b": n % 2 == 0, "s": "x"},
            hour + n * 100 * S,
        )
        for at, host in enumerate("ab")
        for n in range(36)
    ]


def roll_up_now(target, hour):
    """Let the database do at once what it was told to do every day."""
    options = target.options
    if options.token is None:
        statement = re.search("BEGIN (.*) END", ql.roll_up(options.bucket, "autogen", "x", 8))[1]
        bounds = f"WHERE time >= {hour} AND time < {hour + 3 * HOUR} GROUP BY"

        async def ask():
            store = target.store()
            await store._server.ask([statement.replace("GROUP BY", bounds)])
            await store.close()

        asyncio.run(ask())
        return
    headers = {"Authorization": f"Token {options.token.reveal()}"}

    def ask(path, body=None):
        request = urllib.request.Request(f"{options.url}/api/v2/tasks{path}", body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    (task,) = ask(f"?{flux.query(name=f'pantau 1h {options.bucket}')}")["tasks"]
    run = ask(f"/{task['id']}/runs", b"{}")["id"]

    def done():
        try:
            status = ask(f"/{task['id']}/runs/{run}")["status"]
        except urllib.error.HTTPError as error:
            if error.code == 404:  # for a moment between its end and its entry in the database's own bucket
                return False
            raise
        assert status != "failed"
        return status == "success"

    wait_for(done, 30, "the run of the task")


@pytest.mark.timeout(240)
def test_what_the_database_rolls_up_answers_as_the_values_did(target):
    assert target.run("init") == 0
    hour = time.time_ns() // HOUR * HOUR - 8 * DAY
    asyncio.run(write(target.store(), [point for n in range(3) for point in points(hour + n * HOUR)]))
    roll_up_now(target, hour)

    async def compare():
        values, rolled = target.store(raw=Duration(0)), target.store(raw=Duration(4 * 86400))
        for aggregate in Aggregate:
            flag = ["b"] if aggregate in {Aggregate.MIN, Aggregate.MAX, Aggregate.LAST, Aggregate.COUNT} else []
            for field in ("f", "i", "u", *flag):
                for by in ([], ["host"]):
                    for step in (HOUR, 2 * HOUR, DAY):
                        query = Range("m", field, hour - DAY, hour + 4 * HOUR, step, aggregate, by=by)
                        wanted, got = await values.range(query), await rolled.range(query)
                        assert [(one.tags, one.times) for one in got] == [(one.tags, one.times) for one in wanted]
                        for one, other in zip(got, wanted, strict=True):
                            assert one.values == pytest.approx(other.values)
        counted = await rolled.counts(ql.ROLLED, hour, hour + 3 * HOUR)
        assert counted["m", "mean_f"] == counted["m", "last_s"] == counted["m", "count_b"] == 6
        assert ("m", "mean_s") not in counted
        for store in (values, rolled):
            await store.close()

    asyncio.run(compare())


def test_where_only_roll_ups_are_left_rates_come_of_them_and_they_are_deleted_too(target):
    assert target.run("init") == 0
    now = time.time_ns()
    hour = now // HOUR * HOUR - 40 * DAY
    kept = [  # last, min and max of each hour
        (100, 10, 100),
        (400, 150, 400),
        (50, 5, 700),  # up to 700, then begun again
        (40, 40, 55),  # set back
        (140, 45, 140),
        (90, 3, 90),  # begun again before its first value: 90 at least
    ]
    grown = {1: 300, 2: 300 + 50, 4: 100, 5: 90}

    def roll_up(number, host, last, low, high):
        fields = {"last_c": last, "min_c": low, "max_c": high, "count_c": 10, "mean_c": 1.0}
        return Point("m", {"host": host}, fields, hour + number * HOUR)

    async def check():
        store = target.store(raw=Duration(30 * 86400))
        await store.write([Point("m", {"host": host}, {"c": 5 * n}, now - n * S) for host in "ab" for n in range(3)])
        rows = [roll_up(number, host, *row) for host in "ab" for number, row in enumerate(kept)]
        await store.write(rows, ql.ROLLED)

        async def asked(aggregate, step, by=("host",)):
            answer = await store.range(Range("m", "c", hour, now, step, aggregate, by=by))
            old = [(one.tags, dict(zip(one.times, one.values, strict=True))) for one in answer]
            return [
                (tags, {time: value for time, value in values.items() if time < hour + DAY}) for tags, values in old
            ]

        hours = {hour + number * HOUR: value / 3600 for number, value in grown.items()}
        for aggregate in RATES:
            for step in (HOUR, HOUR // 4):
                assert await asked(aggregate, step) == [({"host": host}, pytest.approx(hours)) for host in "ab"]
        assert await asked(Aggregate.RATE, HOUR, ()) == [
            ({}, pytest.approx({at: 2 * one for at, one in hours.items()}))
        ]
        start = hour // (6 * HOUR) * 6 * HOUR
        windows = {}
        for number, value in grown.items():
            window = (hour + number * HOUR) // (6 * HOUR) * 6 * HOUR
            windows.setdefault(window, []).append(value)
        assert start in windows or start + 6 * HOUR in windows
        means = {window: sum(values) / len(values) / 3600 for window, values in windows.items()}
        assert await asked(Aggregate.RATE, 6 * HOUR) == [({"host": host}, pytest.approx(means)) for host in "ab"]

        deletion = Deletion("m", {"host": "a"}, hour + 2 * HOUR)
        found = await store.find(deletion)
        assert (found.series, found.values, found.oldest) == (1, 4 * 10 + 3, hour + 2 * HOUR)
        await store.delete(deletion)
        assert (await store.find(deletion)).values == 0
        assert [len(values) for _, values in await asked(Aggregate.RATE, HOUR)] == [1, 4]
        await store.close()

    asyncio.run(check())


def test_a_token_of_the_centre_needs_its_two_buckets_only(influx2, names, tmp_path, capsys):
    url, org, token = influx2
    target = Target(tmp_path, Options(url=url, bucket=next(names), org="kota", token=Secret("file", str(token))))
    assert target.run("init") == 0
    admin = token.read_text().strip()
    buckets = []
    for name in (target.options.bucket, f"{target.options.bucket}/1h"):
        address = f"{url}/api/v2/buckets?{flux.query(org='kota', name=name)}"
        request = urllib.request.Request(address, headers={"Authorization": f"Token {admin}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            buckets += json.load(answer)["buckets"]
    assert len(buckets) == 2
    rights = [
        {"action": action, "resource": {"type": "buckets", "id": one["id"]}}
        for one in buckets
        for action in ("read", "write")
    ]
    made = post_json(f"{url}/api/v2/authorizations", {"orgID": org, "permissions": rights}, admin)
    (tmp_path / "small").write_text(made["token"])
    small = Target(
        tmp_path, Options(url=url, bucket=target.options.bucket, token=Secret("file", str(tmp_path / "small")))
    )
    capsys.readouterr()
    assert small.run("check") == 0
    told = capsys.readouterr().out
    assert "kept 400d" in told
    assert "this token may not see them" in told


def test_clocks_that_differ_are_told(target, monkeypatch, capsys):
    assert target.run("init") == 0
    capsys.readouterr()
    real = time.time_ns
    monkeypatch.setattr("server.cli.store.time.time_ns", lambda: real() + 60 * S)
    assert target.run("check") == 1
    assert re.search(r"✗ the clocks are (5[89]|6\d)\.\d s apart; look at chrony or NTP", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("version", "path", "databases", "unsigned"),
    [
        ("1.6.7~rc0", "/write", True, False),
        ("1.7.11", "/write", True, False),
        ("v1.8.10", "/api/v2/write", True, False),
        ("1.11.8-c1.11.8", "/api/v2/write", True, False),
        ("v2.7.12", "/api/v2/write", False, True),
        ("dev", "/api/v2/write", False, True),
        ("3.0.1", "/api/v2/write", False, True),
        ("", "/api/v2/write", False, True),
    ],
)
def test_a_version_tells_how_to_speak(version, path, databases, unsigned):
    from server.store.influx.connection import _dialect

    assert _dialect(version) == (path, databases, unsigned)


def test_influxdb_3_is_left_to_its_own_tool(tmp_path, capsys):
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Three(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(204)
            self.send_header("X-Influxdb-Version", "3.4.1")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Three)
    Thread(target=server.serve_forever, daemon=True).start()
    target = Target(tmp_path, Options(url=f"http://127.0.0.1:{server.server_port}", bucket="kota"))
    assert target.run("init") == 0
    assert "influxdb3 create database --retention-period 30d kota" in capsys.readouterr().out
    server.shutdown()
    server.server_close()


async def test_points_beyond_the_retention_are_counted_out(target):
    assert await asyncio.to_thread(target.run, "init") == 0
    now = time.time_ns()
    store = target.store()
    old = [Point("m", {}, {"f": 1.0}, now - 100 * DAY - n) for n in range(50)]
    posts, real = [], store._server.post

    async def counted(*arguments):
        posts.append(arguments)
        return await real(*arguments)

    store._server.post = counted
    written = await store.write([*old, Point("m", {}, {"f": 2.0}, now)])
    assert (written.points, len(written.rejected), len(posts)) == (1, 1, 1)  # told in one request, not one a point
    assert "dropped=50" in written.rejected[0].why
    assert (await store.latest("m", ["f"], since=0))[0].fields == {"f": 2.0}
    await store.close()


def test_every_bucket_is_made_and_checked(target, names, capsys):
    other = re.sub("[^a-z0-9]", "-", next(names))
    text = target.file.read_text() + f'\n[[bucket]]\nname = "{other}"\nretention = "90d"\n'
    target.file.write_text(text)
    assert target.run("init") == 0
    first, _, second = capsys.readouterr().out.partition(f"{other}:\n")
    assert first.startswith("pantau:\n")
    assert "kept 400d" in first
    assert second.count("\n+ ") == 3
    assert "kept 90d" in second
    assert target.run("check") == 0
    assert capsys.readouterr().out.count("roll-ups of an hour are made") == 2
    for verb in ("init", "check"):
        assert target.run(verb, "--bucket", other) == 0
        told = capsys.readouterr().out
        assert "kept 90d" in told
        assert "kept 400d" not in told
    assert target.run("check", "--bucket", "nosuch") == 2
    assert capsys.readouterr().err == f"pantau: unknown bucket 'nosuch'; known: pantau, {other}\n"
