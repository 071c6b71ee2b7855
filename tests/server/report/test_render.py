"""The report as people, auditors and spreadsheets get it."""

import csv
import datetime as dt
import io
import json
import re
from html import unescape

import pytest

from alerts.i18n.language import Language
from alerts.i18n.times import hours_minutes_seconds
from server.report import cases, render


def ms(text):
    text = f"2026-06-{text}" if text[2] == "T" else text
    return round(dt.datetime.fromisoformat(f"{text}+07:00").timestamp() * 1000)


@pytest.fixture
def report(city):
    return city.report()


def html(report, lang="id", **more):
    return render.html(report, lang, made=ms("2026-09-01T00:00"), title="Pantau Kota Contoh", **more)


def words(page):
    text = unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL))
    return re.sub(r"\s+", " ", text)


def test_the_auditor_counts_the_same_from_the_evidence_in_the_json(report):
    document = json.loads(render.json(report))
    counted = cases.compute(json.dumps(document["cases"]))
    assert [each["id"] for each in counted] == [each["id"] for each in document["services"]]
    for again, service in zip(counted, document["services"], strict=True):
        told = service["figures"]
        assert again["figures"]["availability"] == told["availability"]
        assert (again["figures"]["lower"], again["figures"]["upper"]) == (told["lower"], told["upper"])
        assert again["figures"]["down_s"] * 1000 == told["down_ms"]


def test_the_same_ledger_gives_the_same_bytes(city):
    assert render.json(city.report()) == render.json(city.report(now="2026-09-02T00:00"))


def test_json_holds_exact_fractions_and_no_floats(report):
    text = render.json(report)
    json.loads(text, parse_float=lambda digits: pytest.fail(f"a float: {digits}"))
    simpus = json.loads(text)["services"][0]
    assert simpus["figures"]["availability3"] == "98.171"
    assert simpus["outages"][0]["start"] == "2026-06-04T08:30:07.000Z"
    assert simpus["target"] == "999/10"


def test_csv_is_what_an_indonesian_spreadsheet_opens(report):
    """V34."""
    text = render.csv(report)
    assert text.startswith("\ufeffid;layanan;")
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), delimiter=";"))
    assert rows[0]["ketersediaan_persen"] == "98,171"
    assert rows[0]["padam_detik"] == "47114,000"
    assert rows[2]["ketersediaan_persen"] == ""
    assert rows[2]["hasil"] == "belum dapat disimpulkan"


def test_csv_in_english_has_points(report):
    rows = list(csv.DictReader(io.StringIO(render.csv(report, "en").removeprefix("\ufeff")), delimiter=";"))
    assert (rows[0]["availability_percent"], rows[0]["result"]) == ("98.171", "missed")


def test_a_name_that_a_spreadsheet_would_run_is_kept_as_text(city):
    city.service("jahat", name="=1+1")
    city.saw("jahat", ("up", "02T00:00", "03T00:00"))
    assert ";'=1+1;" in render.csv(city.report())


def test_the_page_prints_every_figure_the_standard_asks_for(report):
    page = words(html(report))
    assert "98,171%" in page
    assert "98,125–98,172%" in page
    assert "99,953%" in page
    assert "47.114 detik" in page
    assert "97,625%" in page
    assert "Standar Hitung Ketersediaan v1" in page
    assert "Seluruh kota" in page


def test_outages_are_told_to_the_second_with_a_reason_in_words(report):
    page = words(html(report))
    assert "04/06/2026 15.30.07 05/06/2026 08.30.21 17:00:14 13:00:14 server tidak dapat dijangkau" in page
    assert "galat dari aplikasi (5xx); server tersambung tetapi tidak menjawab pada waktunya" in page
    assert "disetujui Kepala Dinas pada 01/06/2026 08.00.00 · dihitung" in page


def test_a_thin_service_has_no_headline_number_only_bounds(report):
    (row,) = (part for part in html(report).split("<tr>") if "KTP elektronik" in part and "80,000–100,000" in part)
    assert "data tidak cukup" in row
    assert "<strong" not in row


def test_a_paragraph_tells_it_in_plain_words(report):
    page = words(html(report))
    assert "Pada Juni 2026, 5 layanan dipantau dengan cakupan" in page
    assert "3 memenuhi target, 1 tidak memenuhi, 1 belum dapat disimpulkan." in page
    assert "Layanan padam 3 kali, seluruhnya 15 jam 5 menit; terlama 13 jam" in page


def test_a_stop_of_the_centre_is_one_line_for_all(report):
    page = words(html(report))
    assert "10/06/2026 00.00.00 10/06/2026 00.20.00 0:20:00 4 layanan" in page


def test_a_running_month_says_until_when_it_has_data(city):
    page = words(html(city.report(now="10T12:00")))
    assert "Berjalan: data s.d. 10 Juni 2026 pukul 12.00 WIB" in page
    assert "sementara" in page


def test_an_open_outage_is_told_with_at_least(city):
    page = words(html(city.report(now="04T17:30:07", service="simpus")))
    assert "masih padam ≥ 2:00:00" in page
    assert "1 gangguan belum pulih." in page


def test_english_is_whole(report):
    page = words(html(report, "en"))
    assert "In June 2026, 5 services were watched with a coverage of" in page
    assert "2026-06-04 15:30:07" in page
    assert "47,114 seconds" in page
    assert "layanan" not in page.replace("Pantau Kota Contoh", "").lower().replace("layanan baru", "")


def test_names_are_escaped(report):
    page = html(report)
    assert "SIMPUS &lt;Puskesmas&gt;" in page
    assert "<Puskesmas>" not in page


def test_a_fragment_fits_into_another_page(report):
    fragment = html(report, fragment=True)
    assert fragment.lstrip().startswith("<article")
    style = re.search(r"<style>(.*?)</style>", fragment, re.DOTALL)[1]
    selectors = re.findall(r"^\s*([^@{}\n]+?) \{", style, re.MULTILINE)
    assert selectors
    assert all(part.strip().startswith(".report") for each in selectors for part in each.split(","))


def test_an_empty_report_is_a_page_too(book):
    book.ran("2026-01-01T00:00", "2026-12-31T00:00")
    report = book.report()
    assert "tidak ada layanan yang dapat dinilai" in words(html(report))
    assert len(render.csv(report).splitlines()) == 1
    assert json.loads(render.json(report))["services"] == []


def test_numbers_follow_the_language():
    assert Language("id", "Asia/Jakarta").full_seconds(3_600_000) == "3.600 detik"
    assert hours_minutes_seconds(90_061_999) == "25:01:01"
    assert (
        Language("id", "Asia/Jakarta").period(ms("05T00:00"), ms("06T00:00")).startswith("5 Juni 2026 pukul 00.00 WIB")
    )
