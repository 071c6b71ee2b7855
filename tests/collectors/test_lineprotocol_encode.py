"""Writing line protocol: against the reference client, and back through the reader."""

import json
from math import inf, nan
from random import Random
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st
from influxdb_client import Point as Reference
from parts import influxdb1

from collectors.lineprotocol import encode
from collectors.linereader import decode
from collectors.point import Point, UInt

RESERVED = {"time", "_field", "_measurement"}
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
NAMES = TEXTS | st.sampled_from([name + end for name in sorted(RESERVED) for end in ("", "_")])
AWKWARD = st.text('abe=, "\\\n\r\t\0#é\udce9', min_size=1, max_size=8) | st.sampled_from(sorted(RESERVED))
VALUES = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
TIMES = st.integers(-(2**62), 2**62)


def line(measurement="m", tags=None, fields=None, time=1, **options):
    return encode([Point(measurement, tags or {}, fields or {"f": 1}, time)], **options).decode()


def test_it_sorts_tags_and_ends_each_line():
    points = [
        Point("cpu", {"host": "a", "cpu": "cpu0"}, {"usage_idle": 1.5, "n": 3}, 5),
        Point("mem", {}, {"x": True}, 6),
    ]
    assert encode(points) == b"cpu,cpu=cpu0,host=a usage_idle=1.5,n=3i 5\nmem x=true 6\n"


def test_nothing_gives_no_bytes():
    assert encode([]) == b""


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_numbers_that_are_not_finite_are_left_out(value):
    assert line(fields={"bad": value, "good": 1.0}) == "m good=1.0 1\n"
    assert line(fields={"bad": value}) == ""


def test_empty_names_and_tags_are_left_out():
    assert line(tags={"": "x", "t": "", "u": "y"}, fields={"": 1, "f": 2}) == "m,u=y f=2i 1\n"
    assert line(measurement="") == ""
    assert line(fields={"": 1}) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**63 - 1, "9223372036854775807i"),
        (-(2**63), "-9223372036854775808i"),
        (UInt(2**63 - 1), "9223372036854775807i"),
        (1e22, "1e+22"),
        (-0.0, "-0.0"),
        (5e-324, "5e-324"),
    ],
)
def test_numbers_fit_their_type(value, text):
    assert line(fields={"f": value}) == f"m f={text} 1\n"


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**64 - 1, 10**30, UInt(2**63), UInt(2**64 - 1)])
def test_integers_that_do_not_fit_are_left_out_since_their_neighbours_would_be_believed(value):
    assert line(fields={"limit": value, "usage": 7}) == "m usage=7i 1\n"
    assert line(fields={"limit": value}) == ""


def test_unsigned_is_written_only_when_asked():
    assert line(fields={"f": UInt(7)}) == "m f=7i 1\n"
    assert line(fields={"f": UInt(2**64 - 1), "g": UInt(0), "h": 7}, unsigned=True) == f"m f={2**64 - 1}u,g=0u,h=7i 1\n"
    assert line(fields={"f": UInt(2**64), "g": UInt(-1), "h": 7}, unsigned=True) == "m h=7i 1\n"


def test_what_the_protocol_cannot_say_is_changed_as_little_as_possible():
    assert line(tags={"path": "C:\\"}) == "m,path=C:/ f=1i 1\n"
    assert line(tags={"t": "a\\\\"}) == "m,t=a\\/ f=1i 1\n"
    assert line(measurement="a\\ b\\\\,c", fields={"a\\=b\\": 1}) == "a/\\ b\\/\\,c a/\\=b/=1i 1\n"
    assert line(tags={"t": "a\nb"}, fields={"f\tg": 1}) == "m,t=a\\nb f\\tg=1i 1\n"
    assert line(tags={"t": "caf\udce9"}, fields={"f": "caf\udce9"}) == 'm,t=caf\\udce9 f="caf\\udce9" 1\n'
    assert line(measurement="#m") == "_m f=1i 1\n"
    assert line(tags={"a\0": "b"}) == "m,a\ufffd=b f=1i 1\n"
    assert line(tags={"path": "\\\\server\\share"}) == "m,path=\\\\server\\share f=1i 1\n"


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_tag_with_a_name_that_influxdb_keeps_for_itself_gets_another(name):
    written = line(measurement=name, tags={name: "x", "n": name})
    assert decode(written.encode(), now=0).points == [Point(name, {f"{name}_": "x", "n": name}, {"f": 1}, 1)]
    assert line(tags={name: "left out", f"{name}_": "stays"}) == f"m,{name}_=stays f=1i 1\n"


def test_a_field_that_influxdb_would_leave_out_gets_another_name():
    assert line(fields={"time": 1.5}) == "m time_=1.5 1\n"
    assert line(fields={"time": "left out", "time_": 2, "_field": 3}) == "m time_=2i,_field=3i 1\n"


BACKSLASHES = [
    *(f"a{chr(92) * count}{mark}b" for count in range(1, 5) for mark in ',= "x'),
    *(f"{chr(92) * count}{mark}" for count in range(1, 4) for mark in ',= "'),
    r"\\server\a share\,=",
    r" \ \\ ",
    r",\,\\=",
]


@pytest.mark.parametrize("text", BACKSLASHES)
def test_a_tag_keeps_backslashes_before_what_needs_escaping(text):
    tags = {"t": text} if '"' in text else {text: "v", "t": text}
    for value in (1, "two\nlines"):
        read = decode(line(tags=tags, fields={"f": value}).encode(), now=0)
        assert (read.points, read.errors) == ([Point("m", tags, {"f": value}, 1)], [])


@pytest.mark.parametrize(
    ("name", "read_back"),
    [
        ("a\\\\ b", "a\\\\ b"),
        ("a\\\\\\\\=b", "a\\\\\\\\=b"),
        ('a\\"b\\\\"c', 'a\\"b\\\\"c'),
        ("a\\ b", "a/ b"),
        ("a\\\\\\,b", "a\\\\/,b"),
        ("a\\\\", "a\\/"),
    ],
)
def test_a_field_s_name_keeps_backslashes_in_pairs(name, read_back):
    read = decode(line(fields={name: 1, "g": 2}).encode(), now=0)
    assert (read.points, read.errors) == ([Point("m", {}, {read_back: 1, "g": 2}, 1)], [])


def test_a_backslash_that_would_hide_the_end_of_the_line_becomes_a_slash():
    spoiling = [
        ({"k\\ x": '"'}, {"f": 1}),
        ({"k\\ x": "v"}, {'"': 1}),
        ({"t": "a\\ b\\,c"}, {"s": "two\nlines"}),
    ]
    for tags, fields in spoiling:
        after = {key.replace("\\", "/"): value.replace("\\", "/") for key, value in tags.items()}
        read = decode(encode([Point("m", tags, fields, 1), Point("n", {}, {"f": 1}, 2)]), now=0)
        assert (read.points, read.errors) == ([Point("m", after, fields, 1), Point("n", {}, {"f": 1}, 2)], [])


@pytest.mark.real
def test_what_is_written_is_what_a_real_influxdb_1_tells(tmp_path):
    chance = Random(7)
    made = ("".join(chance.choices('ab\\\\\\ ,="\n', k=chance.randint(1, 7))) for _ in range(200))
    names = [*BACKSLASHES, *made]
    points = [
        Point(f"m{number}{name}", {f"t{name}": name, "z": "1"}, {f"f{name}": number, "s": "a\nb"}, 9)
        for number, name in enumerate(names)
    ]
    written = encode(points)
    read = decode(written, now=0)
    assert not read.errors
    with influxdb1(tmp_path) as base:
        ask(base, "CREATE DATABASE d")
        urlopen(Request(f"{base}/write?db=d", data=written)).close()
        series = ask(base, "SELECT * FROM /.*/ GROUP BY *")
    told = {}
    for one in series:  # with the tags and fields of all, where they have none of them empty
        row = dict(zip(one["columns"], one["values"][0], strict=True))
        tags = {key: value for key, value in one["tags"].items() if value}
        told[one["name"]] = (tags, {key: value for key, value in row.items() if value is not None})
    assert told == {one.measurement: (one.tags, {"time": 9, **one.fields}) for one in read.points}


def ask(base, query):
    with urlopen(Request(f"{base}/query?db=d&epoch=ns&q={quote(query)}", method="POST")) as answer:
        return json.load(answer)["results"][0].get("series", [])


def test_a_string_keeps_quotes_backslashes_and_line_ends():
    text = 'a "b" \\ c\\\n\td\r\n'
    assert line(fields={"f": text}) == 'm f="a \\"b\\" \\\\ c\\\\\n\td\r\n" 1\n'
    assert decode(line(fields={"f": text}).encode(), now=0).points[0].fields == {"f": text}


def test_a_value_of_another_type_is_a_bug():
    with pytest.raises(TypeError, match="field 'f' holds a NoneType"):
        line(fields={"f": None})


def test_64_kilobytes_in_one_tag_stay_one_line():
    assert line(tags={"t": "x" * 64_000}).count("\n") == 1


@given(NAMES, st.dictionaries(NAMES, NAMES, max_size=3), st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), TIMES)
def test_it_writes_what_the_reference_client_writes(measurement, tags, fields, time):
    if measurement[0] == "#" or "\\" in "".join([measurement, *tags, *tags.values(), *fields]):
        return  # the reference client makes comments and broken escapes of these
    reference = Reference(measurement).time(time)
    for key, value in tags.items():
        reference.tag(key, value)
    for key, value in fields.items():
        reference.field(key, value)
    ours = decode(encode([Point(measurement, tags, fields, time)]), now=0)
    theirs = decode(reference.to_line_protocol().encode(), now=0)
    if not any("\0" in text for text in (measurement, *tags, *fields)) and RESERVED.isdisjoint({*tags, *fields}):
        assert (ours.points, ours.errors) == (theirs.points, theirs.errors)


def test_it_writes_the_very_bytes_of_the_reference_client_for_common_points():
    reference = (
        Reference("disk").tag("path", "/srv/data 1,2=3").tag("host", "srv").field("used", 5).field("mode", 'r"w')
    )
    reference.field("used_percent", 12.5).field("ok", False).time(1700000000000000000)
    fields = {"mode": 'r"w', "ok": False, "used": 5, "used_percent": 12.5}
    point = Point("disk", {"path": "/srv/data 1,2=3", "host": "srv"}, fields, 1700000000000000000)
    assert encode([point]).decode().strip() == reference.to_line_protocol()


@given(NAMES, st.dictionaries(NAMES, NAMES, max_size=3), st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), TIMES)
def test_what_is_written_is_read_back(measurement, tags, fields, time):
    if measurement[0] == "#" or "\\" in "".join([measurement, *tags, *tags.values(), *fields]):
        return
    expected = {f"{key}_" if key in RESERVED else key: value for key, value in tags.items()}
    expected |= {key: value for key, value in tags.items() if key not in RESERVED}
    values = {f"{key}_" if key == "time" else key: value for key, value in fields.items()}
    values |= {key: value for key, value in fields.items() if key != "time"}
    read = decode(encode([Point(measurement, tags, fields, time)]), now=0)
    assert (read.points, read.errors) == ([Point(measurement, expected, values, time)], [])


@given(st.lists(st.tuples(AWKWARD, AWKWARD, AWKWARD, AWKWARD, AWKWARD), min_size=1, max_size=4))
def test_awkward_text_never_spoils_a_line(rows):
    points = [Point(name, {key: value, "z": "1"}, {field: text, "y": 1}, 9) for name, key, value, field, text in rows]
    read = decode(encode(points), now=0)
    assert not read.errors
    assert len(read.points) == len(points)
    for point in read.points:
        assert point.time == 9
        assert point.fields["y"] == 1
