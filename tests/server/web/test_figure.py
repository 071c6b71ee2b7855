import re

from alerts.i18n.language import languages
from server.readmodel.charts import Drawn, DrawnLine
from server.readmodel.units import Unit
from server.web.figure import svg

SPOKEN = languages("Asia/Jakarta")
NOW = 1_780_561_800


def draw(*lines, times=range(NOW - 300, NOW, 60), unit="%", top=None, lang="id"):
    known = [DrawnLine(label, "", values) for label, values in lines]
    drawn = Drawn(list(times) if lines else [], known, 180, NOW - 600, NOW)
    return svg(drawn, unit=Unit(unit), top=top, spoken=SPOKEN[lang], now=NOW * 1000)


def test_a_value_without_neighbours_is_a_dot_and_the_others_are_joined():
    assert re.findall(r'd="(M[^"]+)" fill="none"', draw(("a", [None, None, 50.0, None, None]), top=100))[0].endswith(
        "h0"
    )
    path = re.findall(r'd="(M[^"]+)" fill="none"', draw(("a", [1.0, None, 2.0, None, None]), top=100))[0]
    assert (path.count("M"), path.count("L")) == (1, 1)


def test_every_line_is_named_with_its_newest_value():
    text = draw(("aplikasi", [1.0, 2.0, 12.5, None, None]), ("sistem", [None] * 5), top=100)
    assert ">aplikasi 12%<" in text
    assert ">sistem<" in text


def test_names_take_as_many_rows_as_they_need():
    text = draw(*[(f"nama yang panjang sekali nomor {n} <b>", [1.0] * 5) for n in range(5)])
    rows = {int(y) for y in re.findall(r'y="(\d+)" fill="#[0-9a-f]{6}">nama', text)}
    assert len(rows) == 5
    assert int(re.search(r'viewBox="0 0 480 (\d+)"', text)[1]) > max(rows)
    assert "<b>" not in text


def test_a_scale_ends_at_a_round_number_that_halves_well():
    scale = r'text-anchor="end" fill="[^"]+">([^<]+)<'
    for highest, told in (
        (0.0, ["0", "0,50", "1,00"]),
        (2.09, ["0", "2,00", "4,00"]),
        (1.0, ["0", "0,50", "1,00"]),
        (73.0, ["0", "40", "80"]),
    ):
        found = re.findall(scale, draw(("a", [highest] * 5), unit=""))
        assert found[:3] == told


def test_nothing_to_draw_is_said_without_a_scale():
    for lang, told in (("id", "Tidak ada data pada rentang ini."), ("en", "No data in this range.")):
        text = draw(lang=lang, unit="bit/s")
        assert told in text
        assert "bit/s" not in text
