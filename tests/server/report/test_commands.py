"""``pantau report``, ``pantau report compute`` and ``pantau maintenance`` as people type them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from server.cli.main import main
from server.state.database import Database
from server.state.migrate import upgrade
from server.state.tables import monitor_run, span

VECTORS = Path(__file__).parent.parent.parent / "cases/availability/vectors.json"
MAY = 1_777_568_400_000  # 1 May 2026 00:00 WIB
DAY = 86_400_000


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "services.toml").write_text(
        '[[agency]]\nid = "dinkes"\nname = "Dinas Kesehatan"\n'
        '[[service]]\nid = "simpus"\nname = "SIMPUS"\nagency = "dinkes"\nregistered = 2026-01-01\n'
    )
    file = tmp_path / "server.toml"
    file.write_text(f'[server]\ndata = "{tmp_path}/data"\n')
    return file


@pytest.fixture
def filled(settings):
    """A ledger of May 2026: up, but for an hour from the 4th at 08:00:07."""
    from server import settings as reader

    known = reader.read(settings)
    known.data.mkdir()
    database = Database(known.state_url)
    upgrade(database.engine)
    fell = MAY + 3 * DAY + 8 * 3_600_000 + 7000
    with database.engine.begin() as tx:
        tx.execute(monitor_run.insert().values(start_ms=MAY - DAY, beat_ms=MAY + 40 * DAY))
        for status, start, end in (
            ("up", MAY - DAY, fell),
            ("down", fell, fell + 3_600_000),
            ("up", fell + 3_600_000, MAY + 40 * DAY),
        ):
            tx.execute(
                span.insert().values(
                    check_id="simpus-http",
                    subject="service/simpus",
                    status=status,
                    reason="timeout",
                    start_ms=start,
                    last_ms=end - 60_000,
                    end_ms=end,
                    counts=True,
                    looks=(end - start) // 60_000,
                )
            )
    database.close()
    return settings


def test_compute_prints_every_vector_exactly(capsys):
    assert run("report", "compute", VECTORS) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = json.loads(VECTORS.read_text())
    assert printed == [{"id": case["id"], "figures": case["expect"]} for case in expected]
    assert [list(each["figures"]) for each in printed] == [list(case["expect"]) for case in expected]


def test_compute_takes_milliseconds_and_open_ends(tmp_path, capsys):
    file = tmp_path / "cases.json"
    file.write_text('[{"id": "a", "period": [0, 1.5], "down": [[0.25, null]], "life": null, "service": [[null, 1]]}]')
    assert run("report", "compute", file) == 0
    (case,) = json.loads(capsys.readouterr().out)
    assert (case["figures"]["agreed_s"], case["figures"]["down_s"]) == (1, 0.75)
    assert case["figures"]["availability"] == "25"


@pytest.mark.parametrize("period", ["[5, 5]", "[9, 5]"])
def test_compute_gives_an_empty_or_reversed_period_no_figure(tmp_path, capsys, period):
    file = tmp_path / "cases.json"
    file.write_text(f'[{{"id": "a", "period": {period}, "down": [[0, 9]]}}]')
    assert run("report", "compute", file) == 0
    figures = json.loads(capsys.readouterr().out)[0]["figures"]
    assert figures["agreed_s"] == 0
    assert {figures[key] for key in ("availability", "lower", "upper", "coverage3", "show3")} == {None}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not valid JSON"),
        ("{}", "expected a list of cases, got an object"),
        ("[" * 100_000, "nested too deep"),
        (
            '[{"id": "a", "period": [0, 1]}, {"id": "a", "period": [0, 2]}]',
            "case 'a': 'id' stands twice: cases #1 and #2",
        ),
        ("[7]", "#1: expected an object, got a number"),
        ('[{"id": "a"}]', "case 'a': 'period' is missing"),
        ('[{"period": [0, 1]}]', "#1: 'id' is missing"),
        ('[{"id": 7, "period": [0, 1]}]', "#1: 'id': expected a text, got a number"),
        ('[{"id": "a", "period": [0, NaN]}]', "NaN is not a number"),
        ('[{"id": "a", "period": [0, Infinity]}]', "Infinity is not a number"),
        ('[{"id": "a", "period": [0, 1e400]}]', "case 'a': 'period': 1E+400 s is out of range"),
        ('[{"id": "a", "period": [0, 1e99999999999999999999]}]', "is out of range"),
        ('[{"id": "a", "period": [0, 0.0005]}]', "0.0005 s is finer than a millisecond"),
        ('[{"id": "a", "period": [0, null]}]', "case 'a': 'period': both ends must be given"),
        ('[{"id": "a", "period": [0]}]', "expected [start, end], got a list of 1"),
        ('[{"id": "a", "period": [0, true]}]', "expected seconds or an ISO 8601 text, got true or false"),
        ('[{"id": "a", "period": ["2026-06-01T00:00:00", 1]}]', "has no offset such as +07:00 or Z"),
        ('[{"id": "a", "period": ["1 June", 1]}]', "'1 June' is not an ISO 8601 moment"),
        ('[{"id": "a", "period": ["2026-06-01T00:00:00.0001Z", 1]}]', "is finer than a millisecond"),
        ('[{"id": "a", "period": [0, 1], "dwn": []}]', "case 'a': unknown key 'dwn'"),
        ('[{"id": "a", "period": [0, 1], "down": [], "down": []}]', "case 'a': key 'down' stands twice"),
        ('[{"id": "a", "period": [0, 1], "down": [0, 1]}]', "case 'a': 'down[0]': expected [start, end]"),
        ('[{"id": "a", "period": [0, 1], "down": {}}]', "case 'a': 'down': expected a list of [start, end]"),
    ],
)
def test_compute_says_which_case_is_wrong_and_prints_nothing(tmp_path, capsys, text, why):
    file = tmp_path / "cases.json"
    file.write_text(text)
    assert run("report", "compute", file) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert why in printed.err


def test_compute_names_every_wrong_case(tmp_path, capsys):
    file = tmp_path / "cases.json"
    file.write_text('[{"id": "a"}, {"id": "b", "period": [0, 1]}, {"id": "c", "period": 7}]')
    assert run("report", "compute", file) == 2
    told = capsys.readouterr().err
    assert "case 'a'" in told
    assert "case 'c'" in told
    assert "case 'b'" not in told
    assert run("report", "compute", tmp_path / "none.json") == 2
    assert capsys.readouterr().err == f"pantau report compute: {tmp_path}/none.json: No such file or directory\n"


def test_compute_names_some_of_very_many_wrong_cases(tmp_path, capsys):
    file = tmp_path / "cases.json"
    file.write_text(json.dumps([{"id": str(n)} for n in range(1000)]))
    assert run("report", "compute", file) == 2
    told = capsys.readouterr().err.splitlines()
    assert (len(told), told[-1]) == (21, "and 980 more")


def test_compute_says_where_bytes_are_no_text(tmp_path, capsys):
    file = tmp_path / "cases.json"
    file.write_bytes(b"[\xff]")
    assert run("report", "compute", file) == 2
    assert "not UTF-8 at byte 1" in capsys.readouterr().err


def test_output_that_cannot_be_written_is_told_in_one_line():
    command = f'"{sys.executable}" -m server.cli.main report compute "{VECTORS}"'
    full = subprocess.run(f"{command} > /dev/full", shell=True, capture_output=True, text=True, check=False)
    assert (full.returncode, full.stderr) == (1, "pantau: No space left on device\n")
    # the reader has gone before anything is written
    shut = subprocess.run(
        f"{{ sleep 0.1; {command}; echo $? >&2; }} | true", shell=True, capture_output=True, text=True
    )
    assert shut.stderr == "1\n"


def test_a_month_is_written_in_every_format(filled, tmp_path, capsys):
    common = ("report", "--month", "2026-05", "--settings", filled)
    assert run(*common) == 0
    page = capsys.readouterr().out
    assert page.startswith("<!doctype html>")
    assert "Mei 2026" in page
    assert "99,865" in page
    assert run(*common, "--lang", "en") == 0
    assert "May 2026" in capsys.readouterr().out
    assert run(*common, "--format", "json") == 0
    (service,) = json.loads(capsys.readouterr().out)["services"]
    assert service["outages"][0]["start"] == "2026-05-04T01:00:07.000Z"
    assert run(*common, "--format", "csv", "--output", tmp_path / "may.csv") == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "may.csv").read_bytes().startswith(b"\xef\xbb\xbfid;layanan;")


def test_an_hour_is_reported_in_local_time(filled, capsys):
    period = ("--from", "2026-05-04T08:00", "--to", "2026-05-04T09:00")
    assert run("report", *period, "--format", "json", "--settings", filled, "--service", "simpus") == 0
    (service,) = json.loads(capsys.readouterr().out)["services"]
    assert service["figures"]["agreed_ms"] == 3_600_000
    assert service["figures"]["down_ms"] == 3_593_000


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--month", "2026-13"), "expected a month such as 2026-11, got '2026-13'"),
        (("--month", "2026-05", "--service", "sipmus"), "unknown service 'sipmus'; known: simpus"),
        (("--month", "2026-05", "--from", "2026-05-01"), "give either --month, or both --from and --to"),
        (("--from", "2026-05-02", "--to", "2026-05-01"), "must end after it starts"),
        (("--from", "kemarin", "--to", "2026-05-01"), "expected a moment such as 2026-11-25T08:00, got 'kemarin'"),
        (("--month", "2026-05", "--output", "/nowhere/report.html"), "No such file or directory"),
    ],
)
def test_it_says_what_is_wrong_with_a_request(filled, capsys, words, why):
    assert run("report", *words, "--settings", filled) == 2
    assert why in capsys.readouterr().err


def test_it_says_that_there_is_no_ledger_yet(settings, capsys):
    assert run("report", "--month", "2026-05", "--settings", settings) == 2
    assert "no ledger can be read" in capsys.readouterr().err


def test_work_is_planned_listed_and_called_off(settings, capsys):
    work = ("--reason", "ganti disk", "--author", "Budi", "--approver", "Kadis", "--settings", settings)
    assert run("maintenance", "add", "simpus", "--from", "2126-05-01T22:00", "--to", "2126-05-02T02:00", *work) == 0
    printed = capsys.readouterr()
    assert "1 May 2126, 22:00 WIB to 2 May 2126, 02:00 WIB  ganti disk (Budi, approved by Kadis)" in printed.out
    assert printed.err == ""
    assert run("maintenance", "cancel", "1", "--by", "Budi", "--settings", settings) == 0
    capsys.readouterr()
    assert run("maintenance", "list", "--settings", settings) == 0
    assert "[cancelled " in capsys.readouterr().out
    assert run("maintenance", "list", "--service", "other", "--settings", settings) == 0
    assert capsys.readouterr().out == ""


def test_work_planned_too_late_is_kept_with_a_note(settings, capsys):
    work = ("--reason", "x", "--author", "Budi", "--approver", "Kadis", "--settings", settings)
    assert run("maintenance", "add", "simpus", "--from", "2026-05-01", "--to", "2126-05-02", *work) == 0
    assert "availability reports do not count it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("add", "sipmus", "2126-05-01", "2126-05-02", "x"), "unknown service 'sipmus'; known: simpus"),
        (("add", "simpus", "2126-05-02", "2126-05-01", "x"), "maintenance must end after it starts"),
        (("add", "simpus", "2126-05-01", "2126-05-02", " "), "maintenance needs reason"),
        (("add", "simpus", "besok", "2126-05-02", "x"), "expected a moment such as"),
        (("cancel", "7"), "there is no maintenance 7"),
    ],
)
def test_it_says_what_is_wrong_with_work(settings, capsys, words, why):
    if words[0] == "add":
        _, service, start, end, reason = words
        more = ("--author", "Budi", "--approver", "Kadis", "--settings", settings)
        code = run("maintenance", "add", service, "--from", start, "--to", end, "--reason", reason, *more)
    else:
        code = run("maintenance", "cancel", words[1], "--by", "Budi", "--settings", settings)
    assert code == 2
    assert why in capsys.readouterr().err


def test_cancelled_work_cannot_be_cancelled_again(settings, capsys):
    work = ("--reason", "x", "--author", "Budi", "--approver", "Kadis", "--settings", settings)
    run("maintenance", "add", "simpus", "--from", "2126-05-01", "--to", "2126-05-02", *work)
    assert run("maintenance", "cancel", "1", "--by", "Budi", "--settings", settings) == 0
    assert run("maintenance", "cancel", "1", "--by", "Budi", "--settings", settings) == 2
    assert "was cancelled already" in capsys.readouterr().err
