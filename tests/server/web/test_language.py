import re
from fractions import Fraction
from pathlib import Path

import pytest
from babel.messages.extract import extract

from server.readmodel import charts
from server.web.language import catalogue, languages, truncated
from server.web.pages.service import PHASES
from server.web.render import HERE

NOW = 1_780_561_800_000  # 4 June 2026, 15:30 WIB
HOLE = re.compile(r"%\(\w+\)s")


@pytest.fixture(scope="module")
def spoken():
    return languages("Asia/Jakarta")


def sources():
    found = {}
    for path in sorted(HERE.glob("templates/*.html")):
        with path.open("rb") as file:
            options = {"trim_blocks": "true", "lstrip_blocks": "true"}
            for line, text, *_ in extract("jinja2.ext:babel_extract", file, keywords={"_": None}, options=options):
                found[text] = f"{path.name}:{line}"
    for chart in (*charts.of_host("x"), *charts.of_device("x"), *charts.of_service("x")):
        found |= {text: "charts.py" for text in (chart.title, *(line.label for line in chart.lines)) if text}
    return found | dict.fromkeys(PHASES.values(), "service.py")


def test_every_text_of_the_pages_has_an_english_one():
    known = catalogue("en")
    missing = {text: where for text, where in sources().items() if text not in known}
    assert not missing


def test_no_translation_outlived_its_text():
    assert not set(catalogue("en")) - set(sources())


def test_translations_keep_the_holes_for_numbers_and_names():
    bad = {text for text, told in catalogue("en").items() if sorted(HOLE.findall(text)) != sorted(HOLE.findall(told))}
    assert not bad


def test_templates_hold_no_text_outside_of_the_catalogue():
    plain = re.compile(r">\s*([A-Za-z][a-z]{2,}[^<{%]*)<")
    found = {}
    for path in Path(HERE, "templates").glob("*.html"):
        if hits := plain.findall(path.read_text("utf-8")):
            found[path.name] = hits
    assert not found


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (Fraction(999, 10), 3, "99.900"),
        (Fraction(9999999, 100000), 3, "99.999"),
        (Fraction(100), 2, "100.00"),
        (Fraction(1, 3), 3, "0.333"),
        (Fraction(2, 3), 0, "0"),
    ],
)
def test_figures_are_cut_off_and_never_rounded_up(value, digits, expected):
    assert truncated(value, digits) == expected


def test_numbers_are_written_as_people_of_the_language_write_them(spoken):
    indonesian, english = spoken["id"], spoken["en"]
    assert indonesian.percent(Fraction(999, 10)) == "99,900 %"
    assert english.percent(Fraction(999, 10)) == "99.900 %"
    assert indonesian.percent(None) == "–"
    assert indonesian.number(12345.6, 1) == "12.345,6"
    assert english.number(12345.6, 1) == "12,345.6"
    assert [indonesian.seconds(one) for one in (0.0004, 0.084, 4.812)] == ["0,4 ms", "84 ms", "4,81 dtk"]
    assert indonesian.scaled(12_345_678, "bit/s") == "12,3 Mbit/s"
    assert indonesian.scaled(0, "bit/s") == "0 bit/s"
    assert indonesian.bounds(Fraction(50), Fraction(100)) == "50,000 – 100,000 %"


def test_times_are_local_and_short_where_they_can_be(spoken):
    indonesian, english = spoken["id"], spoken["en"]
    assert indonesian.moment(NOW) == "4 Juni 2026 pukul 15.30 WIB"
    assert indonesian.clock(NOW - 5000, NOW, seconds=True) == "15.29.55"
    assert indonesian.clock(NOW - 86_400_000, NOW) == "3 Jun 15.30"
    assert english.clock(NOW - 400 * 86_400_000, NOW) == "30 Apr 2025 15:30"
    assert indonesian.iso(NOW) == "2026-06-04T15:30:00+07:00"


@pytest.mark.parametrize(
    ("ms", "expected"),
    [(0, "0 detik"), (59_999, "59 detik"), (119_000, "1 menit"), (7_300_000, "2 jam"), (200_000_000, "2 hari")],
)
def test_lists_tell_a_stretch_in_its_largest_unit(spoken, ms, expected):
    assert spoken["id"].about(ms) == expected
