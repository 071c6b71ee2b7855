"""Readers take states from memory, share what is costly, and leave the event loop to looks."""

import asyncio
import sys

from msgspec.structs import replace
from sqlalchemy import event

from alerts.tables import StateAway
from collectors.result import Reason, Status
from server.inventory.register import Agency, Host, Register
from server.report.papers import Papers
from server.web.context import WEB
from server.web.render import Renderer

DIES = "import sys; sys.stdin.buffer.read(8)"
PAGES = (
    "/",
    "/wall",
    "/hosts",
    "/hosts/srv-dinkes-1",
    "/devices",
    "/devices/sw-03",
    "/services/simpus",
    "/incidents",
    "/status",
)


def fall(parts, check, subject):
    before = parts.states.get(check, subject)
    parts.states.put(replace(before, status=Status.DOWN, reason=Reason.TIMEOUT, detail="just now"))


async def test_no_page_asks_the_database_for_a_state(visit):
    visitor = await visit("viewer")
    asked = []
    watch = lambda _connection, _cursor, statement, *_: asked.append(statement)  # noqa: E731
    event.listen(visitor.parts.database.engine, "before_cursor_execute", watch)
    for page in PAGES:
        assert (await visitor.get(page))[0].status == 200
    assert asked
    assert not [statement for statement in asked if "FROM state" in statement]


async def test_pages_show_states_of_now_while_the_database_is_away_and_of_the_rest_what_was_read_last(
    visit, monkeypatch
):
    visitor = await visit("viewer")
    for page in ("/", "/hosts", "/devices"):
        await visitor.get(page)

    async def away(_work):
        raise StateAway("gone")

    monkeypatch.setattr(visitor.parts.database, "read", away)
    fall(visitor.parts, "portal-http", "service/portal")
    fall(visitor.parts, "rule/silent", "host/srv-dinkes-2")
    fall(visitor.parts, "snmp/sw-03", "device/sw-03")
    answer, front = await visitor.get("/")
    assert answer.status == 200
    assert "5 dari 38 layanan terganggu" in front
    assert "/incidents/40" in front
    for page, row in (("/hosts", "host-srv-dinkes-2"), ("/devices", "device-sw-03")):
        shown = (await visitor.get(page))[1].partition(f'id="{row}"')[2].partition("</tr>")[0]
        assert 'class="state down"' in shown
    assert (await visitor.get("/services/portal"))[0].status == 503


async def test_the_list_of_servers_is_made_once_for_all_who_look_within_a_second(visit, monkeypatch):
    steady = [0]
    visitor = await visit("viewer", steady=lambda: steady[0])
    made = []
    pieces = Renderer.pieces
    monkeypatch.setattr(Renderer, "pieces", lambda *given: made.append(given[1]) or pieces(*given))
    answers = await asyncio.gather(*(visitor.get("/hosts") for _ in range(10)))
    assert {answer.status for answer, _ in answers} == {200}
    assert (made.count("host_rows.html"), made.count("hosts.html")) == (1, 10)
    assert "srv-dinkes-1" in answers[9][1]
    steady[0] += 1000
    await visitor.get("/hosts")
    assert made.count("host_rows.html") == 2
    english = await visitor.get("/hosts", headers={"Cookie": "; ".join([*visitor_cookies(visitor), "lang=en"])})
    assert "Last seen" in english[1]


def visitor_cookies(visitor):
    return [f"{cookie.key}={cookie.value}" for cookie in visitor.client.session.cookie_jar]


async def test_no_piece_of_a_long_page_is_long(visit, monkeypatch):
    agencies = {"a": Agency(id="a", name="Dinas A")}
    hosts = {f"h{n:03d}": Host(id=f"h{n:03d}", agency="a") for n in range(300)}
    visitor = await visit("viewer", register=Register(agencies=agencies, services={}, hosts=hosts, hours={}))
    context = visitor.client.app[WEB]
    rows = await context.overview.hosts()
    opened, _ = await context.overview.incidents(limit=1, before=None)
    now = visitor.parts.clock()
    for template, known in (
        ("host_rows.html", {"rows": rows, "gauges": {}, "unreadable": False}),
        ("incident_rows.html", {"problems": opened * 300, "with_name": True}),
    ):
        lengths = [len(piece) for piece in context.renderer.pieces(template, "id", {"now": now, **known})]
        assert len(lengths) > 3000
        assert max(lengths) < 2000


async def test_a_report_whose_process_dies_is_an_error_page_and_all_else_goes_on(visit, caplog):
    visitor = await visit("evaluator", papers=Papers(worker=(sys.executable, "-c", DIES)))
    for page in ("/reports", "/reports/2026-06.html"):
        answer, text = await visitor.get(page)
        assert answer.status == 500
        assert "Ada yang salah di Pantau" in text
    assert "the process that makes papers has died" in caplog.text
    assert (await visitor.get("/"))[0].status == 200


async def test_who_finds_the_line_of_papers_full_is_told_so(visit):
    visitor = await visit("evaluator", papers=Papers(most=0))
    assert (await visitor.get("/reports"))[0].status == 429
