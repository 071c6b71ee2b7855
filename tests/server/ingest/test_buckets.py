"""Buckets: each has its own types, retention and limit of series; writers may be bound to one; all are backed up."""

import asyncio
import re
import time

import pytest
from backups import make, restore

from collectors.point import Point
from configs.read import SettingsError
from configs.secret import Secret
from configs.units import Duration
from server import settings
from server.ingest.options import Options
from server.ingest.tokens import Token
from server.store import Aggregate, Latest, Range, StoreUnavailable
from server.store.buckets import Bucket, Buckets
from server.store.embedded.store import Embedded
from server.store.embedded.store import Options as StoreOptions

DAY = 86400
S = 10**9
NOW = 1_700_000_000
V2, V1 = "/api/v2/write?org=pantau&bucket={}&precision=s", "/write?db={}&precision=s"


@pytest.fixture
async def buckets(tmp_path):
    at_once = StoreOptions(window=Duration(0.0))
    made = Buckets(
        [
            Bucket("pantau", Embedded(at_once, tmp_path / "store"), 10.0 * DAY, 250_000),
            Bucket("lab", Embedded(StoreOptions(window=Duration(0.0), series=2), tmp_path / "lab"), 2.0 * DAY, 2),
        ]
    )
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def centre(buckets, tmp_path, token, serve_buckets):
    (tmp_path / "lab-token").write_text("of-the-lab")
    tokens = (
        Token("any", Secret("file", str(token))),
        Token("lab", Secret("file", str(tmp_path / "lab-token")), bucket="lab"),
    )
    async with serve_buckets(buckets, Options(tokens=tokens)) as centre:
        yield centre


async def count(bucket, field="f"):
    answer = await bucket.store.range(Range("m", field, 0, 2 * NOW * S, 2 * NOW * S, Aggregate.COUNT))
    return int(answer[0].values[0]) if answer else 0


@pytest.mark.parametrize("path", [V2, V1])
async def test_a_bucket_has_types_and_a_limit_of_its_own(centre, buckets, path):
    assert (await centre.write(b"m,host=a f=1 1", path.format("pantau")))[0] == 204
    assert (await centre.write(b"m f=1i 1", path.format("lab")))[0] == 204
    assert (await centre.write(b"m,n=1 f=1i 1", path.format("lab")))[0] == 204
    status, body, _ = await centre.write(b"m,n=2 f=1i 1\nm,n=3 f=1i 1\nm,n=1 f=2i 2", path.format("lab"))
    assert status in {400, 422}
    told = body.get("error") or body["message"].removeprefix("failure writing points to database: ")
    assert told == "partial write: max-series-per-database limit exceeded: (2) dropped=2"
    assert [await bucket.store.fields("m") for bucket in buckets] == [{"f": "float"}, {"f": "integer"}]
    assert [await count(bucket) for bucket in buckets] == [1, 3]
    # whether a host is alive is told by the bucket of the centre
    assert list(centre.ingest.seen()) == ["a"]
    assert [(one.bucket.name, one.series, one.spenders[0].tag) for one in await buckets.spending()] == [
        ("pantau", 1, "host"), ("lab", 2, "n"),
    ]  # fmt: skip


async def test_a_token_of_one_bucket_writes_to_no_other(centre, buckets):
    for path, told in (
        (V2, "insufficient permissions for write"),
        (V1, 'not authorized to write to database "pantau"'),
    ):
        assert (await centre.write(b"m f=1 1", path.format("lab"), token="of-the-lab"))[0] == 204
        status, body, _ = await centre.write(b"m f=1 1", path.format("pantau"), token="of-the-lab")
        assert (status, body.get("message", body.get("error"))) == (403, told)
        assert (await centre.write(b"m f=1 1", path.format("nosuch"), token="of-the-lab"))[0] == 404
    assert [await count(bucket) for bucket in buckets] == [0, 1]


async def test_each_bucket_forgets_by_its_own_retention(buckets):
    for bucket in buckets:
        await bucket.store.write([Point("m", {}, {"f": 1.0}, (NOW - day * DAY) * S) for day in range(20)])
    await buckets.forget(NOW * S)
    assert [await count(bucket) for bucket in buckets] == [11, 3]


async def test_one_bucket_that_is_away_does_not_keep_the_others(buckets, monkeypatch):
    away, other = buckets

    async def fail(*_):
        raise StoreUnavailable("gone")

    for name in ("drop_before", "cardinality", "open"):
        monkeypatch.setattr(away.store, name, fail)
    await other.store.write([Point("m", {}, {"f": 1.0}, (NOW - 3 * DAY) * S)])
    await away.store.write([Point("m", {}, {"f": 1.0}, NOW * S)])
    await buckets.open()
    await buckets.forget(NOW * S)
    assert await count(other) == 0
    assert [one.spenders is None for one in await buckets.spending()] == [True, False]


def settings_of(tmp_path, more):
    (tmp_path / "services.toml").write_text("")
    (tmp_path / "secret").write_text("x")
    file = tmp_path / "server.toml"
    file.write_text(f'[server]\ndata = "data"\nretention = "100d"\n[store]\nseries = 1000\n{more}')
    return settings.read(file)


async def test_settings_name_buckets_and_a_backup_holds_all_of_them(tmp_path):
    known = await asyncio.to_thread(
        settings_of,
        tmp_path,
        '[[bucket]]\nname = "lab"\nretention = "2d"\nstore = { series = 7 }\n[[bucket]]\nname = "b"',
    )
    buckets = known.buckets()
    assert [(one.name, one.retention, one.limit) for one in buckets] == [
        ("pantau", 100.0 * DAY, 1000), ("lab", 2.0 * DAY, 7), ("b", 100.0 * DAY, 1000),
    ]  # fmt: skip
    for position, one in enumerate(buckets):
        await one.store.write([Point("m", {}, {"f": 1.0}, number) for number in range(position + 1)])
    await asyncio.to_thread((tmp_path / "state.db").touch)
    made = await make(buckets, f"sqlite:///{tmp_path / 'state.db'}", tmp_path / "copy", tmp_path)
    await buckets.close()
    assert "store/buckets/lab/points.duckdb" in made.files
    await asyncio.to_thread((tmp_path / "data").rename, tmp_path / "lost")
    await asyncio.to_thread(restore, tmp_path / "copy", tmp_path / "data")
    back = known.buckets()
    assert [await count(one) for one in back] == [1, 2, 3]
    await back.close()


def test_buckets_of_an_influxdb_are_buckets_there(tmp_path):
    influx = 'type = "influx"\nurl = "http://127.0.0.1:1"\nbucket = "kota"\n'
    known = settings_of(tmp_path, '[[bucket]]\nname = "lab"\n').buckets()
    assert len(list(known)) == 2
    (tmp_path / "server.toml").write_text(f'[server]\ndata = "data"\n[store]\n{influx}[[bucket]]\nname = "lab"\n')
    names = [(one.store._store._options.bucket, one.limit) for one in settings.read(tmp_path / "server.toml").buckets()]
    assert names == [("kota", 0), ("lab", 0)]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('[[bucket]]\nname = "pantau"', "bucket 'pantau' is there twice"),
        ('[[bucket]]\nname = "../x"', "name"),
        ('[[bucket]]\nname = "x"\nstore = { type = "influx" }', "all buckets are in one kind of store"),
        ('[[bucket]]\nname = "x"\nstore = { serie = 1 }', "serie"),
        ('[[bucket]]\nname = "x"\nretention = "0s"', "'retention' of 0 would forget everything"),
        (
            '[ingest]\ntokens = [{ name = "t", token = { file = "secret" }, bucket = "y" }]',
            "unknown bucket 'y' of token 't'",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, more, why):
    with pytest.raises(SettingsError, match=why):
        settings_of(tmp_path, more)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (
            V2,
            (
                422,
                "message",
                "failure writing points to database: partial write: points beyond retention policy dropped=2",
            ),
        ),
        (V1, (400, "error", "partial write: points beyond retention policy dropped=2")),
    ],
)
async def test_points_that_would_be_forgotten_at_once_are_told_and_the_others_written(centre, buckets, path, told):
    old = NOW - 3 * DAY
    body = f'm f=1 {old}\nm f=2 {NOW}\nm f=3 {NOW - DAY}\nm f=4,s="x" {old}'.encode()
    status, field, why = told
    answer = await centre.write(body, path.format("lab"))
    assert (answer[0], answer[1][field]) == (status, why)
    assert await count(buckets.find("lab")) == 2
    assert (await centre.write(body, path.format("pantau")))[0] == 204  # which keeps ten days
    answer = await centre.write(b"m f=1 %d" % old, path.format("lab"))
    assert (answer[0], answer[1][field]) == (status, why.replace("=2", "=1"))
    assert await count(buckets.find("lab")) == 2


@pytest.mark.parametrize(("path", "status", "field"), [(V2, 422, "message"), (V1, 400, "error")])
async def test_points_of_the_future_are_told_and_the_others_written(centre, buckets, path, status, field):
    now = int(time.time())
    ahead = now + 3650 * DAY
    body = f'm f=1 {now}\nm f=2 {ahead}\nm f=3 {now + 60}\nm f=4,s="x" {now + 3600}'.encode()
    answer = await centre.write(body, path.format("lab"))
    told = r"partial write: points beyond write window upper bound at 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ dropped=2$"
    assert answer[0] == status
    assert re.search(told, answer[1][field])
    lab = buckets.find("lab")
    assert await lab.store.latest("m", ["f"], since=0) == [Latest({}, {"f": 3.0}, (now + 60) * S)]
    counted = await lab.store.range(Range("m", "f", 0, 2 * ahead * S, 2 * ahead * S, Aggregate.COUNT))
    assert [one.values for one in counted] == [[2.0]]
    # what is too old beside it is counted too
    both = await centre.write(f"m f=1 {ahead}\nm f=1 {now - 3 * DAY}\nm f=5 {now}".encode(), path.format("lab"))
    assert both[0] == status
    assert both[1][field].endswith("; points beyond retention policy dropped=2")


def test_how_far_ahead_points_may_be_is_a_setting_of_each_store(tmp_path):
    known = settings_of(
        tmp_path, 'future_tolerance = "2h"\n[[bucket]]\nname = "lab"\nstore = { future_tolerance = "1d" }'
    ).buckets()
    assert [(one.future_tolerance, one.store._future() - time.time_ns() > 7000 * S) for one in known] == [
        (7200.0, True), (86400.0, True),
    ]  # fmt: skip


async def test_a_clock_that_is_years_ahead_refuses_and_forgets_no_points(centre, buckets):
    # ours is: these points are of 2023, and all there is
    for hour in range(4):
        assert (await centre.write(b"m f=1 %d" % (NOW + hour * 3600), V2.format("lab")))[0] == 204
    await buckets.forget(time.time_ns())
    assert await count(buckets.find("lab")) == 4


async def test_what_is_old_goes_by_what_is_stored_also_after_a_start(buckets, tmp_path, token, serve_buckets):
    main, _ = buckets
    await main.store.write([Point("m", {}, {"f": 1.0}, NOW * S)])  # as a centre does itself, all the time
    await buckets.close()
    again = Buckets(
        Bucket(one.name, Embedded(StoreOptions(), tmp_path / folder), one.retention, 0)
        for one, folder in zip(buckets, ("store", "lab"), strict=True)
    )
    await again.open()
    options = Options(tokens=(Token("any", Secret("file", str(token))),))
    async with serve_buckets(again, options) as centre:
        old = b"m f=1 %d" % (NOW - 3 * DAY)
        assert (await centre.write(old, V2.format("lab")))[0] == 422
        assert (await centre.write(old, V1.format("lab")))[0] == 400
        assert (await centre.write(b"m f=1 %d" % (NOW - DAY), V2.format("lab")))[0] == 204
        assert (await centre.write(b"m f=1 %d" % (NOW + 50 * DAY), V2.format("pantau")))[0] == 204
        await again.forget(time.time_ns())
        assert [await count(bucket) for bucket in again] == [1, 0]
    await again.close()
