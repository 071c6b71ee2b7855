"""The same request to a real InfluxDB and to the ingest: the same status and the same words."""

import base64
import gzip
import json
import re
import urllib.error
import urllib.parse
import urllib.request

import pytest
from parts import influxdb1, wait_for

T = 1_700_000_000_000_000_000
V2 = "/api/v2/write"
HERE = "org=pantau&bucket=pantau"
BASIC = "Basic " + base64.b64encode(b"admin:s3cret-token").decode()
GO = re.compile(r'strconv\.\w+: parsing "\d+": ')
PACKED = {"Content-Encoding": "gzip"}
BAD = [
    "m f=1 1\nm f=x 1\nworse\n",
    "m",
    "m ",
    "m f",
    "m f=",
    "m =1",
    "m,t f=1",
    "m,t= f=1",
    "m,=a f=1",
    "m,a=1,a=2 f=1",
    ",a=b f=1",
    'm f="open',
    "m f=1e400",
    "m f=9223372036854775808i",
    "m f=18446744073709551616u",
    "m f=1 x",
    "m f=1 1 1",
    "m f=1,",
    "m f=--1",
    "m f=1 9223372036854775808",
    "m,time=x f=1 1",
]
GOOD = ["", "\n\n", "# only a comment\n", f'm,a=b f=1,i=2i,b=t,s="x y" {T}', f"m f=1.5e3 {T}\n\nm f=2"]
# where ours differs on purpose: (status of ours, of theirs)
CRLF = f"m f=1 {T}\r\n"  # a file from Windows, by curl
KINDER = {CRLF: (204, 400)}
OTHER_WORDS = {"m f=1 9223372036854775808", "m f=18446744073709551616u", "m,time=x f=1 1"}


@pytest.fixture(scope="module")
def influx1(tmp_path_factory):
    """A real InfluxDB 1.6.7 that asks for the password ``s3cret-token`` and takes bodies of 1,000 bytes."""
    http = "auth-enabled = true\nmax-body-size = 1000"
    with influxdb1(tmp_path_factory.mktemp("influx1auth"), http) as url:
        for statement in (
            "CREATE USER admin WITH PASSWORD 's3cret-token' WITH ALL PRIVILEGES",
            "CREATE DATABASE pantau",
        ):
            form = urllib.parse.urlencode({"q": statement}).encode()
            request = urllib.request.Request(f"{url}/query", form, {"Authorization": BASIC})
            wait_for(lambda request=request: done(request), 15, statement)
        yield url


def done(request):
    """Whether a statement was carried out: a database that has just begun may refuse one, with 200 and an error in its answer."""
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return all("error" not in result for result in json.load(answer)["results"])
    except urllib.error.HTTPError as error:
        error.close()
        return False


async def ask(centre, base, method, path, body="", **headers):
    """Return status, JSON and the headers that clients look at."""
    data = body if isinstance(body, bytes) else body.encode()
    async with centre.session.request(method, base + path, data=data, headers=headers) as answer:
        told = await answer.json() if answer.content_type == "application/json" and answer.status != 204 else None
        names = ("X-Influxdb-Error", "X-Platform-Error-Code", "WWW-Authenticate")
        return answer.status, told, {name: answer.headers[name] for name in names if name in answer.headers}


def plain(answer):
    """Take out what is ours, line and column, and what is Go's."""
    status, told, headers = answer
    told = told and {key: value for key, value in told.items() if key not in {"line", "column"}}
    return (
        status,
        told and {key: GO.sub("", value) for key, value in told.items()},
        {name: GO.sub("", value) for name, value in headers.items()},
    )


async def both(centre, real, path, body="", token="Token s3cret-token", **more):
    headers = {"Authorization": token} if token else {}
    ours = await ask(centre, centre.base, "POST", path, body, **headers, **more)
    theirs = await ask(centre, real, "POST", path, body, **headers, **more)
    return plain(ours), plain(theirs)


@pytest.fixture(scope="module")
def two(influx2):
    """A real InfluxDB 2.7 with the token ``s3cret-token`` and the bucket ``pantau`` of the organisation ``pantau``."""
    from parts import post_json

    url, _, token = influx2
    admin = token.read_text().strip()
    org = post_json(f"{url}/api/v2/orgs", {"name": "pantau"}, admin)["id"]
    post_json(f"{url}/api/v2/buckets", {"name": "pantau", "orgID": org, "retentionRules": []}, admin)
    rights = [{"action": "write", "resource": {"type": "buckets", "orgID": org}}]
    made = post_json(f"{url}/api/v2/authorizations", {"orgID": org, "permissions": rights}, admin)
    return url, f"Token {made['token']}"


async def like_two(centre, two, path, body="", token="", **more):
    """Ask ours with our token and theirs with theirs, or both with the same wrong one."""
    url, theirs = two
    ours = await ask(centre, centre.base, "POST", path, body, Authorization=token or "Token s3cret-token", **more)
    return plain(ours), plain(await ask(centre, url, "POST", path, body, Authorization=token or theirs, **more))


@pytest.mark.real
@pytest.mark.parametrize(
    "path",
    [
        V2,
        f"{V2}?bucket=pantau",
        f"{V2}?org=pantau",
        f"{V2}?org=x&bucket=pantau",
        f"{V2}?org=pantau&bucket=x",
        *(f"{V2}?{HERE}&precision={unit}" for unit in ("ns", "us", "ms", "s", "n", "u", "m", "h", "x")),
    ],
)
async def test_an_address_is_answered_like_2_7(centre, two, path):
    ours, theirs = await like_two(centre, two, path, "address f=1 1")
    assert ours == theirs


@pytest.mark.real
@pytest.mark.parametrize("body", [*BAD, *GOOD, CRLF])
async def test_a_body_is_answered_like_2_7(centre, two, body):
    ours, theirs = await like_two(centre, two, f"{V2}?{HERE}", body)
    if body in KINDER:
        assert (ours[0], theirs[0]) == KINDER[body]
        return
    if body == "m f=1 9223372036854775808":
        assert ours[0] == theirs[0] == 400
        return
    assert ours == theirs
    ours, theirs = await like_two(centre, two, f"{V2}?{HERE}", gzip.compress(body.encode()), **PACKED)
    assert ours == theirs


@pytest.mark.real
@pytest.mark.parametrize("credentials", ["Token wrong", "Bearer wrong", "Digest x", "Basic !", "Token"])
async def test_a_stranger_is_answered_like_2_7(centre, two, credentials):
    ours, theirs = await like_two(centre, two, f"{V2}?{HERE}", "m f=1", credentials)
    assert ours == theirs


@pytest.mark.real
async def test_a_conflict_of_types_is_answered_like_2_7(real_centre, two):
    for body in (f"clash f=1 {T}", f'clash f="s" {T + 1}', f"clash time=1 {T}"):
        ours, theirs = await like_two(real_centre, two, f"{V2}?{HERE}", body)
        assert ours == theirs


@pytest.mark.real
@pytest.mark.parametrize("path", ["/write", "/write?db=x", "/write?db=", "/write?db=pantau&u=admin&p=s3cret-token"])
@pytest.mark.parametrize("credentials", [BASIC, "", "Basic !", "Basic " + base64.b64encode(b"admin:no").decode()])
async def test_an_address_is_answered_like_1_6(centre, influx1, path, credentials):
    ours, theirs = await both(centre, influx1, path, "address f=1 1", credentials)
    assert ours == theirs


@pytest.mark.real
@pytest.mark.parametrize("unit", ["", "n", "ns", "u", "ms", "s", "m", "h"])
async def test_a_precision_means_what_it_means_to_1_6(real_centre, influx1, unit):
    path = f"/write?db=pantau&precision={unit}"
    ours, theirs = await both(real_centre, influx1, path, f"unit,unit=u{unit} f=1 1234", BASIC)
    assert ours == theirs == (204, None, {})
    query = f"{influx1}/query?db=pantau&epoch=ns&q=SELECT+f+FROM+unit+WHERE+unit='u{unit}'"
    async with real_centre.session.get(query, headers={"Authorization": BASIC}) as answer:
        ((time, _),) = (await answer.json())["results"][0]["series"][0]["values"]
    (latest,) = await real_centre.store.latest("unit", ["f"], since=0, where={"unit": f"u{unit}"})
    assert latest.time == time


@pytest.mark.real
@pytest.mark.parametrize("body", [*BAD, *GOOD, CRLF])
async def test_a_body_is_answered_like_1_6(centre, influx1, body):
    ours, theirs = await both(centre, influx1, "/write?db=pantau", body, BASIC)
    if wanted := KINDER.get(body):
        assert (ours[0], theirs[0]) == wanted
    elif body in OTHER_WORDS:
        assert ours[0] == theirs[0] == 400
    else:
        assert ours == theirs


@pytest.mark.real
async def test_a_conflict_of_types_is_answered_like_1_6(real_centre, influx1):
    for body in (f"clash f=1 {T}", f'clash f="s" {T + 1}', f"clash time=1 {T}"):
        ours, theirs = await both(real_centre, influx1, "/write?db=pantau", body, BASIC)
        assert ours == theirs


@pytest.mark.real
async def test_too_large_a_body_has_the_status_of_1_6(serve, memory_store, options, influx1):
    import msgspec

    from configs.units import Size

    async with serve(memory_store, msgspec.structs.replace(options, body=Size(1000))) as centre:
        ours, theirs = await both(centre, influx1, "/write?db=pantau", "m f=1\n" * 200, BASIC)
    assert ours[0] == theirs[0] == 413
    assert ours[1].keys() == theirs[1].keys() == {"error"}


@pytest.mark.real
@pytest.mark.parametrize("path", ["/ping", "/health", "/ready"])
async def test_what_asks_whether_it_is_there_is_answered_like_2_7(centre, two, path):
    ours, theirs = [await ask(centre, base, "GET", path) for base in (centre.base, two[0])]
    assert ours[0] == theirs[0]
    assert (ours[1] or {}).keys() >= (theirs[1] or {}).keys() - {"commit"}
    assert re.fullmatch(r"[\d.]+s", (ours[1] or {}).get("up", "1s"))
