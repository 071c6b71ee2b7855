"""What people read: words, times, and the three lines before any number."""

import datetime as dt
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec.structs import replace

from alerts import words
from alerts.about import About
from alerts.message import Facts, Look, render
from collectors.result import Reason, Status

JAKARTA = ZoneInfo("Asia/Jakarta")


def at(text, zone=JAKARTA):
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


SIMPUS = About(
    name="SIMPUS",
    agency="dinkes",
    agency_name="Dinas Kesehatan",
    criticality=5,
    impact="pendaftaran pasien puskesmas",
    contact="petugas piket",
)
FACTS = Facts(
    incident=12,
    check="simpus-http",
    subject="service/simpus",
    status=Status.DOWN,
    severity="critical",
    reason=Reason.REFUSED,
    detail="connect 192.0.2.10:443 refused",
    opened=at("2026-06-04T09:12:00"),
    confirmed=at("2026-06-04T09:12:10"),
    closed=None,
    close_reason=None,
    last_up=at("2026-06-04T09:11:00"),
    phases={"dns": 0.004, "connect": 0.0123},
    about=SIMPUS,
    language="id",
)
CLOSED = replace(FACTS, closed=at("2026-06-04T09:41:00"), close_reason="recovered")
LOOK = Look(zone="Asia/Jakarta", public_url="https://pantau.kota.example/")


def test_a_problem_in_indonesian():
    message = render("k", "problem", FACTS, LOOK)
    assert message.title == "🔴 KRITIS · SIMPUS (Dinas Kesehatan) padam"
    assert message.text.splitlines() == [
        "SIMPUS (Dinas Kesehatan) tidak dapat diakses.",
        "Terdampak: pendaftaran pasien puskesmas.",
        "Langkah: Masuk ke server, periksa dan jalankan kembali layanannya. Hubungi: petugas piket.",
        "",
        "Sejak 09.12 WIB.",
        "Sebab: server hidup tetapi layanannya mati.",
        "Rincian: connect 192.0.2.10:443 refused",
        "Waktu tiap tahap: dns 0,004 dtk · connect 0,012 dtk",
        "Terakhir baik: 09.11 WIB",
        "Buka: https://pantau.kota.example/incidents/12",
    ]


def test_a_problem_in_english():
    facts = replace(FACTS, language="en", status=Status.DEGRADED, severity="high", phases={}, detail="", last_up=None)
    message = render("k", "problem", facts, Look(zone="Asia/Makassar"))
    assert message.title == "🟠 HIGH · SIMPUS (Dinas Kesehatan) degraded"
    assert message.text.splitlines() == [
        "SIMPUS (Dinas Kesehatan) is degraded: it does not work as well as usual.",
        "Affected: pendaftaran pasien puskesmas.",
        "To do: Log in to the server, check the service and start it again. Call: petugas piket.",
        "",
        "Since 10:12 WITA.",
        "Cause: the server is alive but its service is not running.",
    ]


def test_what_a_rule_says_of_itself_comes_first():
    about = About(name="srv-1", meaning="Disk /var di srv-1 hampir penuh", todo="Hapus log lama.")
    lines = render("k", "problem", replace(FACTS, about=about), LOOK).text.splitlines()
    assert lines[:3] == [
        "Disk /var di srv-1 hampir penuh.",
        "Terdampak: pengguna srv-1.",
        "Langkah: Hapus log lama.",
    ]


@pytest.mark.parametrize("language", ["id", "en"])
@pytest.mark.parametrize("kind", ["problem", "update"])
@pytest.mark.parametrize("reason", list(Reason))
def test_three_lines_come_before_any_number_whatever_the_reason(kind, reason, language):
    facts = replace(FACTS, reason=reason, language=language, about=About(name="SIMPUS"))
    lines = render("k", kind, facts, LOOK).text.splitlines()
    assert lines[3] == ""
    head = "\n".join(lines[:3]).replace("5xx", "")
    assert not any(sign.isdigit() for sign in head)


def test_a_recovery_tells_how_long_it_took():
    message = render("k", "recovery", CLOSED, LOOK)
    assert message.title == "✅ PULIH · SIMPUS (Dinas Kesehatan)"
    assert "SIMPUS (Dinas Kesehatan) sudah berfungsi kembali." in message.text
    assert "Lama gangguan: 29 menit (09.12–09.41 WIB)." in message.text


def test_a_brief_outage_is_one_message():
    facts = replace(CLOSED, opened=at("2026-06-04T10:02:00"), closed=at("2026-06-04T10:09:00"))
    text = render("k", "brief", facts, LOOK).text
    assert text.startswith("SIMPUS (Dinas Kesehatan) sempat gangguan 10.02–10.09 WIB, sudah pulih.")


def test_an_outage_over_midnight_tells_its_dates():
    facts = replace(CLOSED, opened=at("2026-06-03T23:50:00"), closed=at("2026-06-04T00:10:00"))
    text = render("k", "recovery", facts, LOOK).text
    assert "20 menit (3 Juni 2026 pukul 23.50 WIB – 4 Juni 2026 pukul 00.10 WIB)" in text


@pytest.mark.parametrize("language", ["id", "en"])
def test_a_retired_subject_has_not_recovered(language):
    facts = replace(CLOSED, close_reason="retired", language=language)
    message = render("k", "recovery", facts, LOOK)
    assert not any(word in (message.title + message.text).lower() for word in ("pulih ·", "kembali", "works again"))


def test_a_text_that_cannot_be_made_drops_no_message(caplog):
    message = render("k", "problem", FACTS, Look(zone="Asia/Nirgendwo", public_url="https://p.example"))
    assert "service/simpus" in message.text
    assert "down" in message.title
    assert "https://p.example/incidents/12" in message.text
    assert "a plain one is sent" in caplog.text


def test_the_facts_for_programs_are_stable():
    facts = render("k", "recovery", CLOSED, LOOK, repeated=True).facts
    assert facts == {
        "kind": "recovery",
        "incident": 12,
        "check": "simpus-http",
        "subject": "service/simpus",
        "status": "down",
        "severity": "critical",
        "reason": "refused",
        "detail": "connect 192.0.2.10:443 refused",
        "opened_ms": FACTS.opened,
        "confirmed_ms": FACTS.confirmed,
        "closed_ms": CLOSED.closed,
        "close_reason": "recovered",
        "duration_ms": 29 * 60_000,
        "last_up_ms": FACTS.last_up,
        "name": "SIMPUS",
        "agency": "dinkes",
        "agency_name": "Dinas Kesehatan",
        "criticality": 5,
        "meaning": "",
        "impact": "pendaftaran pasien puskesmas",
        "todo": "Masuk ke server, periksa dan jalankan kembali layanannya.",
        "contact": "petugas piket",
        "runbook": "",
        "language": "id",
        "link": "https://pantau.kota.example/incidents/12",
        "repeated": True,
        "phase_dns": 0.004,
        "phase_connect": 0.0123,
    }


def test_all_messages_of_an_incident_share_a_thread_and_a_title_is_one_line():
    about = replace(SIMPUS, name="SIM\nPUS")
    problem = render("a", "problem", replace(FACTS, about=about), LOOK)
    recovery = render("b", "recovery", CLOSED, LOOK)
    assert problem.thread == recovery.thread
    assert "\n" not in problem.title


def test_facts_survive_the_outbox():
    assert msgspec.json.decode(msgspec.json.encode(FACTS), type=Facts) == FACTS


@pytest.mark.parametrize("language", ["id", "en"])
def test_every_reason_status_and_severity_has_its_words(language):
    told = {words.explain(reason, language) for reason in Reason}
    assert len(told) == len(Reason)
    for one in told:
        assert one.what
        assert not one.what.endswith(".")
        assert one.todo.endswith(".")
    assert len({words.status_word(status, language) for status in Status}) == len(Status)
    assert len({words.severity_word(one, language) for one in ("critical", "high", "medium", "low")}) == 4


def test_no_reason_has_the_same_words_in_both_languages():
    assert all(words.explain(reason, "id").what != words.explain(reason, "en").what for reason in Reason)


@pytest.mark.parametrize(
    ("seconds", "indonesian", "english"),
    [
        (0, "0 detik", "0 seconds"),
        (-5, "0 detik", "0 seconds"),
        (1, "1 detik", "1 second"),
        (59.999, "59 detik", "59 seconds"),
        (60, "1 menit", "1 minute"),
        (1750, "29 menit 10 detik", "29 minutes 10 seconds"),
        (5400, "1 jam 30 menit", "1 hour 30 minutes"),
        (3605, "1 jam", "1 hour"),
        (86400 + 3600 + 60, "1 hari 1 jam", "1 day 1 hour"),
        (30 * 86400, "30 hari", "30 days"),
    ],
)
def test_durations(seconds, indonesian, english):
    assert words.duration(int(seconds * 1000), "id") == indonesian
    assert words.duration(int(seconds * 1000), "en") == english


@pytest.mark.parametrize(
    ("zone", "indonesian", "english"),
    [
        ("Asia/Jakarta", "4 Juni 2026 pukul 15.30 WIB", "4 June 2026, 15:30 WIB"),
        ("Asia/Makassar", "4 Juni 2026 pukul 16.30 WITA", "4 June 2026, 16:30 WITA"),
        ("Asia/Jayapura", "4 Juni 2026 pukul 17.30 WIT", "4 June 2026, 17:30 WIT"),
        ("UTC", "4 Juni 2026 pukul 08.30 UTC", "4 June 2026, 08:30 UTC"),
    ],
)
def test_moments(zone, indonesian, english):
    moment = at("2026-06-04T15:30:00")
    assert words.moment(moment, zone, "id") == indonesian
    assert words.moment(moment, zone, "en") == english
