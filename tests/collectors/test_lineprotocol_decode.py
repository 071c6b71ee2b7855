"""Reading line protocol: what InfluxDB accepts, and why the rest is refused."""

import json
import time
import tomllib
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import parts
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.lineparser import RefusedLine, parse
from collectors.lineprotocol import encode
from collectors.linereader import Cache, LineError, decode
from collectors.point import Point, UInt

CASES = Path(__file__).parents[1] / "cases" / "lineprotocol"
ACCEPTED = tomllib.loads((CASES / "accepted.toml").read_text(encoding="utf-8"))["case"]
REFUSED = tomllib.loads((CASES / "refused.toml").read_text(encoding="utf-8"))["case"]
NOW = 1_700_000_000_123_456_789


def meant(case, now=NOW):
    return Point(case["measurement"], case.get("tags", {}), case["fields"], case.get("time", now))


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case["line"])
def test_it_reads(case):
    read = decode(case["line"].encode(), now=NOW)
    assert read.errors == []
    assert read.points == [meant(case)]
    assert [type(value) for value in read.points[0].fields.values()] == [
        type(value) for value in case["fields"].values()
    ]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["line"])
def test_it_refuses_and_says_why_and_where(case):
    body = f"good f=1 1\n\n{case['line']}\n".encode()
    read = decode(body, now=NOW)
    assert read.points[0] == Point("good", {}, {"f": 1.0}, 1)
    # an open quote swallows the line end that follows, as it does in InfluxDB
    assert read.errors == [
        LineError(3, case["column"], case["why"], case["line"] + "\n" * (case["why"] == "unbalanced quotes"))
    ]


def test_one_bad_line_costs_no_other():
    read = decode(b"a f=1 1\nb f=x 2\nc f=3 3\n", now=0)
    assert [point.measurement for point in read.points] == ["a", "c"]
    assert read.errors == [LineError(2, 5, "invalid boolean", "b f=x 2")]


def test_blank_lines_and_comments_are_nothing():
    assert decode(b"", now=0) == decode(b"\n\n  \n\t\n# a f=1\n   # b,\n\r\n#\\\n", now=0)
    assert decode(b"#\n", now=0).errors == []


def test_carriage_returns_end_lines_too():
    read = decode(b'a f=1 1\r\nb f="x"\r\n\r\nc f=2', now=7)
    assert read.points == [Point("a", {}, {"f": 1.0}, 1), Point("b", {}, {"f": "x"}, 7), Point("c", {}, {"f": 2.0}, 7)]


def test_lines_are_counted_through_strings_of_several_lines():
    read = decode(b'a f="1\n2\n3" 1\nb f=\nc f=1 1', now=0)
    assert [error.line for error in read.errors] == [4]
    assert len(read.points) == 2


def test_two_backslashes_escape_like_one():
    assert decode(b"m\\\\,t=v f=1 1", now=0).points == [Point("m\\,t=v", {}, {"f": 1.0}, 1)]


def test_unsigned_values_stay_unsigned():
    value = decode(b"m f=18446744073709551615u", now=0).points[0].fields["f"]
    assert (value, type(value)) == (2**64 - 1, UInt)


@pytest.mark.parametrize(
    ("precision", "unit"),
    [("ns", 1), ("us", 10**3), ("ms", 10**6), ("s", 10**9), ("m", 60 * 10**9), ("h", 3600 * 10**9)],
)
def test_times_are_read_in_their_precision(precision, unit):
    read = decode(b"m f=1 -3\nm f=1 0005\nm f=1", precision=precision, now=NOW)
    assert [point.time for point in read.points] == [-3 * unit, 5 * unit, NOW - NOW % unit]


def test_a_time_too_far_away_for_its_precision_is_refused():
    assert decode(b"m f=1 9223372037", precision="s", now=0).errors[0].why.startswith("time outside range")


def test_bytes_that_are_no_text_do_not_stop_the_body():
    read = decode(b'm,t=\xff f="\xfe" 1\nn f=1 1', now=0)
    assert [point.fields for point in read.points] == [{"f": "\ufffd"}, {"f": 1.0}]


def test_text_that_influxdb_would_store_mangled_is_refused():
    read = decode(b'm f="a"b\nm f="a""b"\nm \t=1\nm f\\\\=1,g=2', now=0)
    assert [error.why for error in read.errors] == [
        "invalid field format",
        "invalid field format",
        "missing field key",
        "invalid field format",
    ]


@pytest.mark.parametrize("tags", [1, 4])
def test_a_key_is_not_longer_than_influxdb_allows(tags):
    value = "x" * ((65535 - 4 - 1 - 1) // tags - 3)
    line = "m" + "".join(f",{tag}={value}" for tag in range(tags)) + " f=1 1"
    room = 65535 - 4 - 1 - len(line.split(" ", maxsplit=1)[0])
    assert not decode((line.replace("m,", f"m{'y' * room},")).encode(), now=0).errors
    refused = decode((line.replace("m,", f"m{'y' * (room + 1)},")).encode(), now=0).errors[0]
    assert refused.why == "max key length exceeded: 65536 > 65535"


@pytest.mark.parametrize(
    "body",
    [
        b'm f="' + b"x" * 300_000,
        b"m f=\\\n" * 50_000,
        b'm f="\n' * 50_001,
        b"m," * 100_000,
        b"m f=" + b"9" * 300_000 + b"i",
        b"".join(b"m %s%d=1 1\n" % (b"x" * 1_900, number) for number in range(1_000)) + b"m",
        b"".join(b"m%d f%d=1 1\nm%d g=1i 1\n" % (number, number, number) for number in range(30_000)) + b"m",
    ],
    ids=lambda body: body[:8],
)
def test_hostile_bodies_are_read_in_linear_time(body):
    start = time.thread_time()
    read = decode(body, now=0)
    assert time.thread_time() - start < 15  # quadratic time would be minutes
    assert read.errors


@given(st.text('mf1= ,\\"\n#i.-t', max_size=30))
def test_it_reads_or_refuses_any_text(text):
    read = decode(text.encode(), now=5)
    again = decode(encode(read.points), now=0)
    assert again.errors == []
    assert len(again.points) == len(read.points)
    assert all(0 < error.line <= text.count("\n") + 1 and error.column > 0 for error in read.errors)


COMMON_LINES = st.lists(
    st.tuples(
        st.sampled_from(["m", "n,t=1", "n,t=2", "m.*"]),
        st.lists(
            st.tuples(
                st.sampled_from(["f", "g", "f.g", "(", "$"]),
                st.from_regex(r"-?[0-9]{1,18}(i|\.[0-9]{0,4})?", fullmatch=True, alphabet="0189i.-"),
            ),
            min_size=1,
            max_size=4,
        ),
        st.integers(0, 2**62),
    ),
    max_size=30,
)


@given(COMMON_LINES)
def test_common_lines_are_read_as_odd_ones_are(lines):
    texts = [f"{head} {','.join(map('='.join, pairs))} {time}" for head, pairs, time in lines]
    quick = decode("\n".join(texts).encode(), now=0)
    # a space at the end makes a line an odd one
    slow = decode("".join(f"{text} \n" for text in texts).encode(), now=0)
    assert quick == slow
    assert len(quick.points) == len(lines)
    for one, other in zip(quick.points, slow.points, strict=True):
        assert [*map(type, one.fields.values())] == [*map(type, other.fields.values())]
        assert [*one.fields] == [*other.fields]


# every kind of number, and what looks like one to a reader that sees no digits
NUMBERS = [
    *(
        "0",
        "-0",
        "1",
        "-1",
        "1i",
        "-1i",
        "007",
        "007i",
        "1.",
        ".5",
        "-.5",
        "1.5",
        "1.5i",
        "1e5",
        "1E5",
        "1e+05",
        "1e-5",
        "1e5i",
    ),
    *(
        "e",
        "1e",
        "e5",
        "i",
        "-i",
        "i5",
        "5i5",
        "1i1",
        "1ii",
        "--",
        "1-1",
        "1.1.1",
        ".",
        "-",
        "+1",
        "1u",
        "-1u",
        "1_0",
        "0x1",
    ),
    *(
        "9223372036854775807i",
        "9223372036854775808i",
        "-9223372036854775808i",
        "-9223372036854775809i",
        "9223372036854775808",
    ),
    *(
        "1e308",
        "1e309",
        "1e400",
        "1" * 30,
        "NaN",
        "inf",
        "t",
        "true",
        "T",
        "tru",
        "null",
        "{}",
        "[]",
        '"1"',
        '""',
        "\u0661",
    ),
]
NAMES = ["f", "g", "i", "ii", "f1", "f2", "1", "e", "time", "a:b", "a}", "{", "ä", "f=", "", "f\t", "a b", "a\\"]
LINES = st.lists(
    st.tuples(
        st.sampled_from(["m", "n,t=1", "#m", "m,t=", "m,time=1", "ä,ö=ü", ""]),
        st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NUMBERS)), min_size=1, max_size=3),
        st.sampled_from(["1", "-1", "", "01", "1x", "9223372036854775806", "9223372036854775807", "9" * 30, "\u0661"]),
    ),
    min_size=1,
    max_size=12,
)


@given(LINES)
def test_lines_together_are_read_as_each_alone(lines):
    check_to_the_letter([f"{head} {','.join(map('='.join, pairs))} {time}" for head, pairs, time in lines])


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_is_read_to_the_letter_among_others_of_its_shape(number):
    check_to_the_letter(
        ["m f=1 1", f"m f={number} 2", "m f=3i 3", f"m f=1,g={number} 4", f"m g={number},h=2i 5", f"m g=1,h={number} 6"]
    )


def check_to_the_letter(texts):
    """Read lines together, by what is and by what is not known of their shapes, and each alone."""
    points, errors = [], []
    for number, text in enumerate(texts, 1):
        odd = text.lstrip(" ")
        if odd[0] == "#":
            continue
        try:
            points.append(parse(odd, unit=1, default=5)[0])
        except RefusedLine as refused:
            errors.append(LineError(number, refused.offset + 1 + len(text) - len(odd), refused.why, odd))
    cache = Cache()
    for _ in range(2):
        read = decode("\n".join(texts).encode(), now=5, cache=cache)
        assert list(read.points) == points
        assert [kinds(point) for point in read.points] == [kinds(point) for point in points]
        assert read.errors == errors


def kinds(point):
    return {name: type(value) for name, value in point.fields.items()}


def test_points_keep_the_order_of_their_lines():
    lines = [f"m{n % 3} f{n % 2}={n}{'i' * (n % 5 == 0)},s={n % 4 or chr(34) + 'x' + chr(34)} {n}" for n in range(60)]
    read = decode("\n".join(lines).encode(), now=0)
    assert not read.errors
    assert len(read.points.blocks) > 5
    assert read.points.others
    assert [point.time for point in read.points] == list(range(60))
    assert read.points[3:5] == list(read.points)[3:5]


def test_fields_in_another_order_are_told_apart_by_their_names():
    body = b"m f1=1,f2=2 1\nm f2=3,f1=4 2\nm f1=5,g=6i 3\nm g=7,f1=8i 4\nm f3=9,g=10i 5"
    read = decode(body, now=0)
    assert [point.fields for point in read.points] == [
        {"f1": 1.0, "f2": 2.0},
        {"f2": 3.0, "f1": 4.0},
        {"f1": 5.0, "g": 6},
        {"g": 7.0, "f1": 8},
        {"f3": 9.0, "g": 10},
    ]
    assert [kinds(point) for point in read.points[2:]] == [
        {"f1": float, "g": int},
        {"g": float, "f1": int},
        {"f3": float, "g": int},
    ]


def test_hosts_are_told_with_their_newest_time():
    read = decode(b'a,host=x f=1 3\nb,host=x f=1,g=2 9\na,host=y s="t" 5\na f=1 7\nc,host=y f=1 4', now=0)
    assert read.points.hosts() == {"x": 9, "y": 5, "": 7}
    shuffled = "\n".join(f"m,host=h{n % 3} f={n} {n * 7 % 30}" for n in range(30))
    read = decode(shuffled.encode(), now=0)
    assert len(read.points.blocks) == 1
    assert read.points.hosts() == {f"h{k}": max(n * 7 % 30 for n in range(30) if n % 3 == k) for k in range(3)}


def test_shapes_that_are_kept_are_bounded():
    cache = Cache(shapes_max=10)
    for turn in range(50):
        body = f"m{turn} f=1,{'g' * (turn % 7 + 1)}=2i 1\nm{turn} f=2,{'g' * (turn % 7 + 1)}=3i 1".encode()
        assert decode(body, now=0, cache=cache) == decode(body, now=0)
        assert len(cache.shapes) <= 10
    assert cache.shapes


def test_heads_that_are_kept_are_bounded_and_read_the_same():
    cache = Cache(heads_max=100)
    for turn in range(50):
        body = f"m,t={turn % 7} f=1 1\nm\\ x,t={turn} f=1 1\nm,t=1 f=1 1".encode()
        assert decode(body, now=0, cache=cache) == decode(body, now=0)
        assert sum(map(len, cache.heads)) <= 100
    assert cache.heads


def test_of_a_field_that_stands_twice_in_a_line_the_last_counts():
    read = decode(b"m f=1,g=2,f=3 1\n" * 3, now=0)
    assert read.points == [Point("m", {}, {"f": 3.0, "g": 2.0}, 1)] * 3


def test_a_million_common_fields_take_about_a_second():
    tags = [{"host": f"srv-{number:03}"} for number in range(200)]
    names = ("usage_user", "usage_system", "usage_idle", "usage_iowait", "usage_irq")
    points = [
        Point("cpu", tags[n % 200], {name: n / 7 + k for k, name in enumerate(names)}, NOW + n) for n in range(4000)
    ]
    body = encode(points)
    best = min(_seconds(body) for _ in range(3))
    assert best * 50 < 5, (
        f"{best * 50:.1f} s for a million fields"
    )  # loose: the machine is shared; alone it takes 0.85 s


def _seconds(body):
    start = time.thread_time()
    decode(body, now=0)
    return time.thread_time() - start


@pytest.fixture(scope="module")
def influxdb(tmp_path_factory):
    with parts.influxdb1(tmp_path_factory.mktemp("influxdb")) as base:
        ask(base, "CREATE DATABASE d")
        yield base


def ask(base, query):
    with urlopen(Request(f"{base}/query?db=d&epoch=ns&q={quote(query)}", method="POST")) as answer:
        return json.load(answer)["results"][0].get("series", [])


@pytest.mark.real
def test_it_means_what_a_real_influxdb_stores(influxdb):
    lines = [f"{number}{case['line'].lstrip()}" for number, case in enumerate(ACCEPTED)]
    urlopen(Request(f"{influxdb}/write?db=d", data="\n".join(lines).encode())).close()
    for number, case in enumerate(ACCEPTED):
        (series,) = ask(influxdb, f"SELECT * FROM /^{number}[^0-9]/ GROUP BY *")
        row = dict(zip(series["columns"], series["values"][0], strict=True))
        assert series["name"] == f"{number}{case['measurement']}"
        assert series.get("tags", {}) == case.get("tags", {})
        assert row.pop("time") == case["time"] if "time" in case else row.pop("time") > NOW
        assert row == case["fields"]


@pytest.mark.real
def test_it_refuses_what_a_real_influxdb_2_refuses(tmp_path):
    with parts.influxdb2(tmp_path / "influx") as (base, token):
        authorized = {"Authorization": f"Token {token.read_text().strip()}"}
        write = Request(f"{base}/api/v2/write?org=pantau&bucket=pantau", headers=authorized)
        for case in ACCEPTED:
            write.data = case["line"].encode()
            assert _refusal(write)[0] in {204, 422}  # 422: read, but of another type than before
        for case in REFUSED:
            write.data = case["line"].encode()
            status, message = _refusal(write)
            assert (case["line"], status) == (case["line"], 400)
            assert message.startswith("unable to parse")
            assert message.split(": ")[-1] == case["why"].split(": ")[-1]


def _refusal(request):
    try:
        with urlopen(request) as answer:
            return answer.status, ""
    except OSError as error:
        with error:
            return error.code, json.load(error)["message"]
