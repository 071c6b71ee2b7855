"""What a client of InfluxDB is answered, in InfluxDB's words (compared with 2.7 and 1.6 by hand)."""

import base64
import gzip

import pytest

from collectors.point import Point
from configs.secret import Secret
from server.ingest.options import Options
from server.ingest.tokens import Token
from server.store import Rejected, StoreUnavailable

V2 = "/api/v2/write?org=pantau&bucket=pantau"
V1 = "/write?db=pantau"


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        (V2, 1),
        (f"{V2}&precision=", 1),
        (f"{V2}&precision=ns", 1),
        (f"{V2}&precision=us", 10**3),
        (f"{V2}&precision=ms", 10**6),
        (f"{V2}&precision=s", 10**9),
        (V1, 1),
        (f"{V1}&precision=n&rp=autogen", 1),
        (f"{V1}&precision=u", 10**3),
        (f"{V1}&precision=ms", 10**6),
        (f"{V1}&precision=s", 10**9),
        (f"{V1}&precision=m", 60 * 10**9),
        (f"{V1}&precision=h", 3600 * 10**9),
    ],
)
async def test_it_takes_points_in_every_precision(centre, path, unit):
    status, body, _ = await centre.write(b"m,host=a f=1 7\n", path)
    assert (status, body) == (204, None)
    assert centre.store.points == [Point("m", {"host": "a"}, {"f": 1.0}, 7 * unit)]


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/api/v2/write?bucket=pantau", 400, "Please provide either orgID or org"),
        ("/api/v2/write?org=x&bucket=pantau", 404, 'organization name "x" not found'),
        ("/api/v2/write?org=pantau&bucket=x", 404, 'bucket "x" not found'),
        ("/api/v2/write?org=pantau", 404, "bucket not found"),
        (f"{V2}&precision=m", 400, "invalid precision; valid precision units are ns, us, ms, and s"),
    ],
)
async def test_it_refuses_wrong_addresses_as_influxdb_2(centre, path, status, message):
    code = {400: "invalid", 404: "not found"}[status]
    assert (await centre.write(b"m f=1", path))[:2] == (status, {"code": code, "message": message})
    assert centre.store.points == []


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/write", 400, "database is required"),
        ("/write?db=x", 404, 'database not found: "x"'),
        (f"{V1}&precision=x", 400, 'invalid precision "x" (use n, u, ms, s, m or h)'),
    ],
)
async def test_it_refuses_wrong_addresses_as_influxdb_1(centre, path, status, message):
    got, body, headers = await centre.write(b"m f=1", path)
    assert (got, body, headers["X-Influxdb-Error"]) == (status, {"error": message}, message)


async def test_a_bad_line_refuses_the_whole_body_on_v2(centre):
    status, body, _ = await centre.write(b"good f=1 1\nbad f=x 1\nworse\n")
    assert status == 400
    assert body["message"] == "unable to parse 'bad f=x 1': invalid boolean\nunable to parse 'worse': missing fields"
    assert (body["code"], body["line"], body["column"]) == ("invalid", 2, 7)
    assert centre.store.points == []


async def test_a_bad_line_costs_no_other_on_v1(centre):
    status, body, _ = await centre.write(b"good f=1 1\nbad f=x 1\n", V1)
    assert (status, body) == (400, {"error": "partial write: unable to parse 'bad f=x 1': invalid boolean dropped=0"})
    assert centre.store.points == [Point("good", {}, {"f": 1.0}, 1)]
    assert (await centre.write(b"bad", V1))[:2] == (400, {"error": "unable to parse 'bad': missing fields"})


@pytest.mark.parametrize("bad", [*range(0x20), 0x7F, 0x80, 0xFF])
async def test_whatever_bytes_a_bad_line_has_a_client_of_v1_gets_its_answer(centre, bad):
    status, body, headers = await centre.write(b"good f=1 1\nbad%cline" % bad, V1)
    assert status == 400
    assert body["error"]
    shown = headers["X-Influxdb-Error"]
    assert shown.isascii()
    assert shown.isprintable()
    assert centre.store.points == [Point("good", {}, {"f": 1.0}, 1)]


async def test_the_header_of_v1_is_short_enough_for_any_proxy(centre):
    _, body, headers = await centre.write((b"x" * 500 + b"\n") * 10, V1)
    assert len(headers["X-Influxdb-Error"]) == 1000
    assert body["error"].startswith(headers["X-Influxdb-Error"][:100])


async def test_only_the_first_bad_lines_are_told(centre):
    _, body, _ = await centre.write(b"x" * 5000 + b"\n" + b"bad\n" * 99)
    assert len(body["message"]) < 1000
    assert body["message"].endswith("and 90 more")


async def test_what_the_store_rejects_is_told_and_the_rest_is_written(centre):
    why = 'field type conflict: input field "f" on measurement "m" is type string, already exists as type float'
    centre.store.rejects = (Rejected("m", "f", why),)
    status, body, _ = await centre.write(b'm f="s",g=1 1')
    message = f"failure writing points to database: partial write: {why} dropped=1"
    assert (status, body) == (422, {"code": "unprocessable entity", "message": message})
    assert (await centre.write(b'm f="s" 1', V1))[:2] == (400, {"error": f"partial write: {why} dropped=1"})


async def test_the_embedded_store_keeps_the_rest_of_a_conflicting_line(real_centre):
    assert (await real_centre.write(b"m f=1 1700000000000000000"))[0] == 204
    status, body, _ = await real_centre.write(b'm f="s",g=2 1700000001000000000')
    assert status == 422
    assert 'field type conflict: input field "f" on measurement "m" is type string' in body["message"]
    (latest,) = await real_centre.store.latest("m", ["f", "g"], since=0)
    assert latest.fields == {"f": 1.0, "g": 2.0}


async def test_a_field_named_time_is_left_out(centre):
    assert (await centre.write(b"m time=1,g=2 1"))[0] == 204
    assert centre.store.points == [Point("m", {}, {"g": 2.0}, 1)]
    status, body, _ = await centre.write(b"m time=1 1")
    assert status == 422
    assert 'input field "time" on measurement "m" is invalid' in body["message"]


@pytest.mark.parametrize("body", [b"", b"\n\n", b"# only a comment\n"])
async def test_nothing_is_taken_gladly(centre, body):
    assert (await centre.write(body))[0] == 204
    assert centre.store.writes == 0


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "header", ["Token s3cret-token", "token s3cret-token", "Bearer s3cret-token", basic("any", "s3cret-token")]
)
@pytest.mark.parametrize("path", [V2, V1])
async def test_a_token_comes_in_any_dress(centre, header, path):
    assert (await centre.write(b"m f=1", path, headers={"Authorization": header}))[0] == 204


@pytest.mark.parametrize(
    "header",
    ["", "Token ", "Token wrong", "Token s3cret-toke", "Basic !", basic("s3cret-token", ""), "Digest s3cret-token"],
)
async def test_strangers_are_refused_before_anything_is_read(centre, header):
    body = {"code": "unauthorized", "message": "unauthorized access"}
    assert (await centre.write(b"bad line", headers={"Authorization": header}))[:2] == (401, body)
    given = "wrong" in header or "toke" in header.partition(" ")[2]
    why = "authorization failed" if given and "Digest" not in header else "unable to parse authentication credentials"
    status, body, headers = await centre.write(b"bad line", V1, headers={"Authorization": header})
    assert (status, body, headers["WWW-Authenticate"]) == (401, {"error": why}, 'Basic realm="InfluxDB"')


async def test_a_password_may_stand_in_the_address_of_v1_only(centre):
    plain = centre.session.post
    async with plain(f"{centre.base}{V1}&u=x&p=s3cret-token", data=b"m f=1") as answer:
        assert answer.status == 204
    async with plain(f"{centre.base}{V2}&u=x&p=s3cret-token", data=b"m f=1") as answer:
        assert answer.status == 401


async def test_without_tokens_nobody_writes(serve, memory_store):
    async with serve(memory_store, Options()) as centre:
        assert (await centre.write(b"m f=1", token=""))[0] == 401


async def test_a_changed_token_works_without_a_restart(serve, memory_store, token, caplog):
    now = [1_700_000_000_000]
    options = Options(tokens=(Token("agents", Secret("file", str(token))),))
    async with serve(memory_store, options, clock=lambda: now[0]) as centre:
        assert (await centre.write(b"m f=1"))[0] == 204
        token.write_text("another")
        now[0] += 2000
        assert (await centre.write(b"m f=1", token="another"))[0] == 204
        assert (await centre.write(b"m f=1"))[0] == 401
        token.unlink()
        now[0] += 6000
        assert (await centre.write(b"m f=1", token="another"))[0] == 401
        now[0] += 6000
        assert (await centre.write(b"m f=1", token="another"))[0] == 401
    assert [record.message for record in caplog.records if "agents" in record.message] == [
        f"nobody can write as agents: cannot read the secret file {token}: No such file or directory"
    ]


async def test_gzip_is_unpacked(centre):
    packed = gzip.compress(b"m f=1 1\n") + gzip.compress(b"m f=2 2\n")
    assert (await centre.write(packed, headers={"Content-Encoding": "gzip"}))[0] == 204
    assert len(centre.store.points) == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"m f=1", "the body is not gzip"),
        (gzip.compress(b"m f=1", mtime=0)[:-3], "the gzip body is cut off"),
        (gzip.compress(b"m f=1", mtime=0) + b"junk", "the body is not gzip"),
    ],
)
async def test_broken_gzip_is_refused(centre, body, message):
    answer = await centre.write(body, headers={"Content-Encoding": "gzip"})
    assert answer[:2] == (400, {"code": "invalid", "message": message})
    assert centre.store.points == []


async def test_another_packing_is_refused(centre):
    status, body, _ = await centre.write(b"m f=1", headers={"Content-Encoding": "br"})
    assert (status, body["message"]) == (400, "unsupported content encoding 'br'")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_it_answers_a_ping(centre, method):
    async with centre.session.request(method, f"{centre.base}/ping") as answer:
        assert answer.status == 204
        assert answer.headers["X-Influxdb-Version"].startswith("2.7")


async def test_it_tells_its_health(centre):
    async with centre.session.get(f"{centre.base}/health") as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "pass")
    centre.store.away = StoreUnavailable("the disk is gone")
    async with centre.session.get(f"{centre.base}/health") as answer:
        body = await answer.json()
        assert (answer.status, body["status"], body["message"]) == (503, "fail", "the store is away")
    async with centre.session.get(f"{centre.base}/api/v2/ready") as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "ready")


async def test_a_write_is_a_post(centre):
    async with centre.session.get(f"{centre.base}{V2}") as answer:
        assert answer.status == 405
