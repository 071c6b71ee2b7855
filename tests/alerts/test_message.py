"""What people read: words, times, and the three lines before any number."""

import datetime as dt
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec.structs import replace

from alerts.message import Facts, Look, render
from alerts.subject_info import SubjectInfo
from collectors.result import Reason, Status

JAKARTA = ZoneInfo("Asia/Jakarta")


def at(text, zone=JAKARTA):
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


SIMPUS = SubjectInfo(
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
        "Waktu tiap tahap: dns 4,0 ms · connect 12 ms",
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
    about = SubjectInfo(name="srv-1", meaning="Disk /var di srv-1 hampir penuh", todo="Hapus log lama.")
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
    facts = replace(FACTS, reason=reason, language=language, about=SubjectInfo(name="SIMPUS"))
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
