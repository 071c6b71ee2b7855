"""What the pages show, over HTTP."""

import html
import re
import time
from pathlib import Path

import msgspec
from aiohttp.test_utils import make_mocked_request
from sqlalchemy import insert, select, update

from alerts import tables
from alerts.rules.planned import read_rules
from alerts.subject_info import SubjectInfo
from collectors.point import Point
from collectors.result import Reason, Status
from configs.read import Source
from server.inventory.register import Agency, Host, Register, Service
from server.ledger import maintenance
from server.state import tables as own
from server.web.render import Renderer
from server.web.routes import ROUTES
from tests.server.web.conftest import make_state

PAGES = {
    "/": "Perlu ditangani",
    "/wall": "SIMPUS",
    "/services/simpus": "Tahap pemeriksaan terakhir",
    "/services/agenda": "Belum ada pemeriksaan",
    "/hosts": "srv-dinkes-1",
    "/hosts/srv-dinkes-1": "path=/var",
    "/devices": "10.20.7.2",
    "/devices/sw-03": "GigabitEthernet0/1",
    "/devices/sw-03?port=Gi0%2F3": "Grafik antarmuka",
    "/incidents": "belum ditangani",
    "/incidents/40": "Urutan kejadian",
    "/incidents/42": "sedang memeriksa basis data",
    "/reports": "Cakupan pemantauan",
    "/reports?month=2026-05": "Mei 2026",
    "/series": "pilih",
    "/series?measurement=disk&field=used_percent&tag.host=srv-dinkes-1": "/var",
    "/buckets": "dari 1.000 deret terpakai",
    "/schedule": "Belum ada pemeriksaan yang dijadwalkan.",
    "/status": "Gangguan saat ini",
    "/account": "Ganti kata sandi",
    "/login?next=/": None,
}
NOW = 1_780_561_800_000  # of the town: 4 June 2026, 15:30 WIB
MACHINES = ("/api/v2/write", "/write", "/ping", "/health", "/ready")


def filled(route):
    """Return an address of a route, its holes filled with something."""
    return re.sub(r"\{[^}]+\}", "1", route.path)


def words(text):
    """Return what a reader sees."""
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", text, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", " ", text))


async def test_every_page_works_in_both_languages(visit):
    visitor = await visit("admin", points=True)
    for path, expected in PAGES.items():
        answer, text = await visitor.get(path)
        if expected is None:
            assert answer.status == 303
            continue
        assert (path, answer.status) == (path, 200)
        assert expected in html.unescape(text)
        assert '<html lang="id"' in text
    await visitor.get("/preferences?lang=en")
    for path, expected in PAGES.items():
        if expected is None:
            continue
        _, text = await visitor.get(path)
        assert '<html lang="en"' in text
        assert not re.search(r"\b(berfungsi|padam|layanan|Keadaan|belum|sejak)\b", words(text)), path


async def test_every_page_of_the_table_is_looked_at(visit):
    """A page without a line in PAGES is red: nobody would see it in both languages."""
    visitor = await visit(filled=False)
    looked_at = {await table_path(visitor, path) for path in PAGES}
    assert {route.path for route in ROUTES if route.method == "GET" and route.answers == "page"} == looked_at


async def table_path(visitor, path):
    """Return the path of the table that answers an address."""
    app = visitor.client.app
    found = await app.router.resolve(make_mocked_request("GET", path, app=app))
    return found.route.resource.canonical


async def test_every_answer_of_the_pages_is_hardened_and_nothing_comes_from_elsewhere(visit):
    visitor = await visit("admin")
    probed = {("GET", path) for path in PAGES if "series" not in path} | {("GET", "/nope"), ("GET", "/api/nope")}
    for method, path in sorted(probed | {(route.method, filled(route)) for route in ROUTES}):
        async with visitor.client.request(method, path, allow_redirects=False) as answer:
            text = "" if answer.content_type == "text/event-stream" else await answer.text()
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy, path
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        if answer.content_type != "text/html":
            continue
        assert not re.search(r"<[^>]+\s(style|on\w+)=", text), path
        assert not re.search(r"<script(?![^>]+src=)", text), path
        loaded = re.findall(r'<(?:script|link|img|use)\b[^>]*?(?:src|href)="([^"]+)"', text)
        assert all(one.startswith("/") and not one.startswith("//") for one in loaded)


async def test_addresses_for_programs_are_left_alone(visit):
    visitor = await visit()
    for path in MACHINES:
        answer, text = await visitor.get(path)
        assert answer.status == 404
        assert "Content-Security-Policy" not in answer.headers
        assert "<html" not in text


async def test_what_is_not_there_is_told_calmly(visit):
    visitor = await visit("admin")
    odd = ("/incidents/999", "/incidents/x", "/incidents/99999999999999999999", "/incidents?before=x")
    for path in (
        "/nope",
        "/services/nope",
        "/hosts/nope",
        "/devices/nope",
        *odd,
        "/reports/2026-13.csv",
        "/reports/2026-06.exe",
    ):
        answer, text = await visitor.get(path)
        assert (path, answer.status) == (path, 404)
        assert "Halaman tidak ditemukan" in text


async def test_static_files_are_kept_for_ever_under_their_hash_only(visit):
    visitor = await visit()
    _, text = await visitor.get("/login")
    address = re.search(r'href="(/static/[^"]+/app\.css)"', text)[1]
    answer, _ = await visitor.get(address)
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Encoding"] == "gzip"
    answer, _ = await visitor.get("/static/0000/app.css")
    assert answer.headers["Cache-Control"] == "no-cache"
    for outside in ("/static/0/../../app.py", "/static/0/%2e%2e/app.py", "/static/0//etc/passwd"):
        assert (await visitor.get(outside))[0].status == 404


async def test_problems_come_first_and_the_worst_of_them_on_top(visit):
    visitor = await visit("viewer")
    _, text = await visitor.get("/")
    titles = re.findall(r'<h3><a href="/incidents/(\d+)">', text)
    assert titles[0] == "40"
    severities = re.findall(r'class="sev (\w+)"', text)
    assert severities == sorted(severities, key=["critical", "high", "medium", "low"].index)
    assert text.index('id="problems"') < text.index('id="services"')
    assert "4 dari 38 layanan terganggu" in words(text)


async def test_every_page_says_how_fresh_it_is(visit):
    visitor = await visit("viewer")
    for path in ("/", "/hosts", "/incidents/40", "/series"):
        _, text = await visitor.get(path)
        seen = re.sub(r"\s+", " ", words(text))
        assert "Data terakhir 5 detik lalu" in seen
        assert "Evaluasi terakhir 8 detik lalu" in seen
        assert "Antrean notifikasi 7" in seen


async def test_acknowledging_is_kept_told_and_audited(visit):
    visitor = await visit("operator")
    with visitor.parts.feed.subscribe() as listener:
        form = {"csrf": await visitor.csrf(), "note": "saya <b>cek</b>"}
        answer, _ = await visitor.post("/incidents/40/ack", form)
        assert answer.headers["Location"] == "/incidents/40"
        assert (await listener.get(1)).data["incident"] == 40
    _, text = await visitor.get("/incidents/40")
    assert "Ditangani oleh operator" in text
    assert "saya &lt;b&gt;cek&lt;/b&gt;" in text
    actions = await visitor.parts.database.read(lambda tx: list(tx.scalars(select(tables.audit.c.action))))
    assert actions[-1] == "incident.acknowledge"


async def test_a_closed_incident_cannot_be_acknowledged_any_more(visit):
    visitor = await visit("operator")
    close = (
        update(tables.incident)
        .where(tables.incident.c.id == 40)
        .values(closed_ms=1_780_561_800_000, close_reason="recovered")
    )
    await visitor.parts.database.write(lambda tx: tx.execute(close))
    await visitor.post("/incidents/40/ack", {"csrf": await visitor.csrf()})
    _, text = await visitor.get("/incidents/40")
    assert "Tidak ada yang menandai insiden ini sebelum pulih." in text
    assert 'action="/incidents/40/ack"' not in text


async def test_the_public_page_tells_nothing_internal(visit):
    visitor = await visit()
    answer, text = await visitor.get("/status")
    assert answer.status == 200
    assert "SIMPUS" in text
    seen = words(text)
    for secret in (
        "srv-",
        "sw-0",
        "10.20.",
        "refused",
        "502",
        "https://",
        "http",
        "Masuk Tunggal",
        "Jembatan SIPD",
        "sari",
        "simpus-http",
        "server hidup",
    ):
        assert secret not in seen, secret
    assert not re.search(r'href="/(services|hosts|devices|incidents|series|reports)', text)


async def test_names_that_others_write_cannot_become_markup(visit):
    evil = '<script>alert("x")</script>/a b'
    visitor = await visit("admin")
    row = {"name": evil, "first_ms": 1, "seen_ms": 2, "point_ms": 1, "address": "<i>", "client": "<u>"}
    await visitor.parts.database.write(lambda tx: tx.execute(insert(own.host).values(**row)))
    _, text = await visitor.get("/hosts")
    assert "<script>alert" not in text
    address = next(one for one in re.findall(r'href="(/hosts/[^"]+)"', text) if "alert" in one)
    answer, text = await visitor.get(address)
    assert answer.status == 200
    assert "<script>alert" not in text
    assert "<u>" not in text


async def test_pages_go_on_when_the_store_cannot_be_read(visit):
    visitor = await visit("admin", damaged=True)
    for path in ("/", "/hosts", "/hosts/srv-dinkes-1", "/devices/sw-03", "/series"):
        answer, text = await visitor.get(path)
        assert (path, answer.status) == (path, 200)
        if path in {"/hosts", "/devices/sw-03", "/series"}:
            assert "tidak dapat dibaca saat ini" in text
    for path in ("/api/chart?subject=host/srv-dinkes-1&chart=cpu", "/api/series?measurement=cpu&field=usage_user"):
        assert (await visitor.get(path))[0].status == 503


async def test_charts_come_as_numbers_and_as_a_picture(visit):
    visitor = await visit("viewer", points=True)
    address = "subject=service/simpus&chart=took&span=1h"
    answer, _ = await visitor.get(f"/api/chart?{address}")
    drawn = await (await visitor.client.get(f"/api/chart?{address}")).json()
    assert [line["label"] for line in drawn["lines"]] == ["simpus-http"]
    assert len(drawn["times"]) == len(drawn["lines"][0]["values"]) == 32
    answer, text = await visitor.get(f"/api/chart.svg?{address}")
    assert answer.content_type == "image/svg+xml"
    assert "simpus-http" in text
    assert (await visitor.get("/api/chart?subject=host/x&chart=nope"))[0].status == 404


async def test_any_series_can_be_charted_with_its_tags(visit):
    visitor = await visit("viewer", points=True)
    _, text = await visitor.get("/series?measurement=disk")
    assert 'name="tag.path"' in text
    address = html.unescape(re.search(r'data-chart="([^"]+)"', text)[1])
    drawn = await (await visitor.client.get(address + "&tag.host=srv-dinkes-1")).json()
    assert {line["label"] for line in drawn["lines"]} == {"/", "/var"}


async def test_a_new_centre_without_anything_is_a_friendly_place(visit):
    empty = Register(agencies={}, services={}, hosts={}, hours={})
    visitor = await visit("admin", register=empty, devices={}, filled=False)
    for path, expected in (
        ("/", "Belum ada layanan yang terdaftar"),
        ("/hosts", "Pasang agen"),
        ("/devices", "Belum ada perangkat"),
        ("/incidents", "Tidak ada insiden"),
        ("/series", "Belum ada data"),
        ("/reports", "–"),
        ("/status", "Status layanan"),
        ("/wall", "Tidak ada insiden"),
    ):
        answer, text = await visitor.get(path)
        assert answer.status == 200
        assert expected in text


async def test_reports_can_be_taken_along(visit):
    visitor = await visit("evaluator")
    for form, kind in (("html", "text/html"), ("json", "application/json"), ("csv", "text/csv")):
        answer, text = await visitor.get(f"/reports/2026-06.{form}")
        assert answer.status == 200
        assert answer.content_type == kind
        assert "SIMPUS" in text


async def test_the_overview_of_a_whole_city_takes_tens_of_milliseconds(visit):
    agencies = {"a": Agency(id="a", name="Dinas A")}
    services = {f"s{n}": Service(id=f"s{n}", name=f"Layanan {n}", agency="a") for n in range(38)}
    hosts = {f"h{n}": Host(id=f"h{n}", agency="a") for n in range(200)}
    register = Register(agencies=agencies, services=services, hosts=hosts, hours={})
    visitor = await visit("admin", register=register, device_count=200)
    await visitor.get("/")
    took = []
    for _ in range(5):
        start = time.process_time()
        assert (await visitor.get("/"))[0].status == 200
        took.append(time.process_time() - start)
    assert min(took) < 0.25


async def test_what_settings_say_of_a_fault_outranks_the_general_words(visit):
    told = {"meaning": "disk hampir penuh", "todo": "Hapus berkas lama.", "impact": "21 puskesmas", "contact": "0811"}
    visitor = await visit(
        "viewer", about=lambda check, _: SubjectInfo(name="x", **(told if check == "rule/disk" else {}))
    )
    for path in ("/", "/incidents", "/hosts/srv-dinkes-1", "/incidents/44"):
        _, text = await visitor.get(path)
        assert "Disk hampir penuh" in text, path
    assert "Hapus berkas lama." in text
    assert "21 puskesmas" in text
    assert "0811" in text


async def test_planned_work_is_announced_and_the_public_is_not_told_why(visit):
    visitor = await visit("viewer")
    hour, now = 3_600_000, NOW

    def plan(tx):
        common = {"reason": "ganti penyimpanan", "author": "sari", "approver": "kepala bidang", "now": now - 2 * hour}
        maintenance.add(tx, subject="service/simpus", start=now - hour, end=now + hour, **common)
        maintenance.add(tx, subject="service/sso", start=now + hour, end=now + 2 * hour, **common)
        off = maintenance.add(tx, subject="service/jdih", start=now + hour, end=now + 2 * hour, **common)
        maintenance.cancel(tx, off.id, now=now)
        maintenance.add(tx, subject="service/akta", start=now - 2 * hour, end=now - hour, **common)

    await visitor.parts.database.write(plan)
    front, service, public = [words((await visitor.get(path))[1]) for path in ("/", "/services/simpus", "/status")]
    for page in (front, service, public):
        assert "Sedang berlangsung, sampai 4 Juni 2026 pukul 16.30 WIB" in page
    assert "4 Juni 2026 pukul 16.30 WIB sampai 4 Juni 2026 pukul 17.30 WIB" in front
    assert front.count("ganti penyimpanan") == 2, "neither what was called off nor what is over"
    assert "ganti penyimpanan" not in public
    assert "Masuk Tunggal ASN" not in public, "work on what is not public"


async def test_a_page_looks_back_as_far_as_there_is_something_to_see(visit):
    visitor = await visit("viewer", points=True)
    for path, age, expected in (
        ("/services/portal", None, "24h"),
        ("/services/portal", 60_000, "15m"),
        ("/services/portal", 40 * 60_000, "1h"),
        ("/services/portal", 5 * 3_600_000, "6h"),
        ("/services/portal", 7 * 3_600_000, "24h"),
        ("/services/portal?span=30d", 60_000, "30d"),
        ("/services/agenda", None, "24h"),
        ("/hosts/srv-dinkes-1", 60_000, "15m"),
        ("/series?measurement=cpu", None, "24h"),
    ):
        if age:
            change = update(own.span).values(start_ms=NOW - age)
            await visitor.parts.database.write(lambda tx, change=change: tx.execute(change).rowcount)
        _, text = await visitor.get(path)
        assert (path, age, re.findall(r'span=(\w+)" aria-current="true"', text)) == (path, age, [expected])
    change = update(own.monitor_run).values(start_ms=NOW - 60_000)
    await visitor.parts.database.write(lambda tx: tx.execute(change).rowcount)
    assert 'span=15m" aria-current="true"' in (await visitor.get("/series?measurement=cpu"))[1]


async def test_a_fault_that_leaves_its_service_as_it_is_says_so(visit):
    visitor = await visit("viewer")
    moved = update(tables.incident).where(tables.incident.c.id == 40).values(check_id="simpus-tls")
    await visitor.parts.database.write(lambda tx: tx.execute(moved).rowcount)
    for path in ("/", "/wall", "/services/simpus", "/incidents", "/incidents/40"):
        seen = re.sub(r"\s+", " ", words((await visitor.get(path))[1]))
        assert "simpus-tls · tidak dihitung" in seen, path
    assert "tidak dihitung" not in words((await visitor.get("/incidents/41"))[1])


FAMILY = """
[[rule]]
id = "filling"
family = "disk"
measurement = "disk"
field = "used_percent"
by = ["path"]
above = 80
severity = "medium"
arti = "Ruang disk mulai berkurang"

[[rule]]
id = "full"
family = "disk"
measurement = "disk"
field = "used_percent"
by = ["path"]
above = 90
severity = "high"
arti = "Ruang disk hampir habis"
"""


async def test_the_incident_of_a_family_speaks_as_its_worst_rule_does(visit):
    source = Source(FAMILY, Path("server.toml"))
    visitor = await visit("viewer", rules=read_rules(source, source.tree["rule"]))
    subject, states = "host/srv-dinkes-1/path=/var", visitor.parts.states
    full = make_state("rule/full", subject, status=Status.DEGRADED, reason=Reason.THRESHOLD)
    filling = msgspec.structs.replace(full, check="rule/filling")
    it, flip = tables.incident, tables.flip

    async def shown(change):
        await visitor.parts.database.write(lambda tx: tx.execute(change).rowcount)
        pages = [words((await visitor.get(path))[1]) for path in ("/incidents", "/incidents/44", "/hosts/srv-dinkes-1")]
        assert len({"hampir habis" in page for page in pages}) == 1
        return "Ruang disk hampir habis" in pages[1], "Ruang disk mulai berkurang" in pages[1]

    states.put(filling)
    family = update(it).where(it.c.id == 44)
    assert await shown(family.values(check_id="family/disk", severity="high")) == (False, True)
    states.put(full)
    assert await shown(update(flip).where(flip.c.incident_id == 44).values(check_id="rule/filling")) == (True, False)
    assert "rule/filling" in words((await visitor.get("/incidents/44"))[1])
    for state in (filling, full):
        states.put(msgspec.structs.replace(state, status=Status.UP))
    assert await shown(family.values(closed_ms=NOW, close_reason="recovered")) == (True, False)
    assert await shown(family.values(severity="medium")) == (False, True)


async def test_a_message_that_tells_of_a_worsening_is_named_for_people(visit):
    visitor = await visit("viewer")
    box = tables.outbox
    worse = update(box).where(box.c.incident_id == 40).values(kind="update")
    await visitor.parts.database.write(lambda tx: tx.execute(worse).rowcount)
    assert "perburukan" in words((await visitor.get("/incidents/40"))[1])


async def test_who_may_not_acknowledge_is_told_why(visit):
    for role, told in (("viewer", True), ("operator", False)):
        visitor = await visit(role)
        _, text = await visitor.get("/incidents/40")
        assert ("memerlukan peran operator; peran Anda pengamat" in text) is told


async def test_only_web_addresses_become_links(visit):
    visitor = await visit("viewer")
    register = visitor.parts.watched.register
    odd = msgspec.structs.replace(register.services["simpus"], runbook="javascript:alert(1)", url="ldap://direktori")
    services = {**register.services, "simpus": odd}
    visitor = await visit("viewer", register=msgspec.structs.replace(register, services=services))
    _, text = await visitor.get("/services/simpus")
    assert "javascript:alert(1)" in words(text)
    assert 'href="javascript' not in text
    assert 'href="ldap' not in text
    _, text = await visitor.get("/services/portal")
    assert 'href="https://portal.example/"' in text


async def test_among_equals_what_nobody_handles_and_what_decides_comes_first(visit):
    visitor = await visit("viewer")
    changes = (
        update(tables.incident)
        .where(tables.incident.c.id.in_((40, 41, 42, 43)))
        .values(severity="high", acked_ms=None),
        update(tables.incident).where(tables.incident.c.id == 40).values(check_id="simpus-tls", opened_ms=1),
        update(tables.incident).where(tables.incident.c.id == 41).values(acked_ms=NOW, acked_by="sari", opened_ms=2),
    )
    await visitor.parts.database.write(lambda tx: [tx.execute(change).rowcount for change in changes])
    _, text = await visitor.get("/")
    order = [int(one) for one in re.findall(r'<h3><a href="/incidents/(\d+)">', text)]
    assert [one for one in order if 40 <= one <= 43] == [43, 42, 40, 41]


async def test_pages_are_packed_for_who_can_unpack(visit):
    visitor = await visit("viewer")
    answer, text = await visitor.get("/")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert int(answer.headers["Content-Length"]) * 5 < len(text)
    answer, plain = await visitor.get("/", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in answer.headers
    assert plain == text


async def test_a_wall_of_many_services_is_dense(visit):
    assert 'class="tiles"' in (await (await visit("viewer")).get("/wall"))[1]
    services = {f"s{n}": Service(id=f"s{n}", name=f"Layanan {n}", agency="a") for n in range(61)}
    register = Register(agencies={"a": Agency(id="a", name="Dinas A")}, services=services, hosts={}, hours={})
    assert 'class="tiles many"' in (await (await visit("viewer", register=register)).get("/wall"))[1]


async def test_a_tag_of_very_many_values_is_typed_and_not_picked(visit):
    visitor = await visit("viewer")
    many = [
        Point("sensor", {"id": f"n{n:04d}", "room": "a"}, {"value": 1.0}, (NOW - 1000) * 1_000_000) for n in range(501)
    ]
    await visitor.parts.store.write(many)
    _, text = await visitor.get("/series?measurement=sensor&field=value&tag.id=n0007")
    assert re.search(r'<input id="tag-1" name="tag.id" value="n0007"\s+placeholder="501 nilai, misalnya n0000"', text)
    assert re.search(r'<select id="tag-2" name="tag.room"', text)
    address = html.unescape(re.search(r'data-chart="([^"]+)"', text)[1])
    drawn = await (await visitor.client.get(address)).json()
    assert len(drawn["lines"]) == 1


async def test_the_public_page_is_made_once_for_all_but_each_sees_an_own_language_light_and_login(visit, monkeypatch):
    now = [NOW]
    visitor = await visit(clock=lambda: now[0], steady=lambda: now[0])
    made = []
    pieces = Renderer.pieces
    monkeypatch.setattr(Renderer, "pieces", lambda *given: made.append(given[1]) or pieces(*given))
    first = (await visitor.get("/status"))[1]
    assert [(await visitor.get("/status"))[1] for _ in range(5)] == [first] * 5
    assert len(made) == 1
    english = (await visitor.get("/status", headers={"Cookie": "lang=en; theme=dark"}))[1]
    assert 'lang="en" data-theme="dark"' in english
    assert (await visitor.get("/status", headers={"Cookie": "lang=<b>; theme=<b>"}))[1] == first
    assert "csrf" not in first
    now[0] += 6000
    await visitor.get("/status")
    assert len(made) == 3
    await visitor.login("viewer")
    assert 'action="/logout"' in (await visitor.get("/status"))[1]
    visitor.client.session.cookie_jar.clear()
    assert 'action="/logout"' not in (await visitor.get("/status"))[1]
