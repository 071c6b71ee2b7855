"""What no browser of ours would send: the pages stay calm, and nothing of it is an error of Pantau."""

import asyncio
import io
import json
import logging
import re

from sqlalchemy import select

from alerts import tables
from server.web.context import Limits
from server.web.security import fault_of_ours

PASSWORD = "rahasia-sekali-1"
FORM = "application/x-www-form-urlencoded"


async def raw(visitor, request):
    """Send bytes as they are; return the status and the body."""
    url = visitor.client.make_url("/")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(request.replace(b"\n", b"\r\n"))
    async with asyncio.timeout(60):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        size = re.search(r"Content-Length: (\d+)", head)
        body = await reader.readexactly(int(size[1]) if size else 0)
    writer.close()
    return int(head.split()[1]), body.decode()


async def test_cookies_that_we_never_made_are_no_cookies(visit, caplog):
    visitor = await visit(filled=False)
    odd = b"form=\xff\xfe; pantau=\xff; lang=\xff; theme=<b>"
    for path, expected in (("/login", 200), ("/status", 200), ("/", 303), ("/preferences?lang=en", 303)):
        request = f"GET {path} HTTP/1.1\nHost: x\nConnection: close\nCookie: ".encode() + odd + b"\n\n"
        assert (path, (await raw(visitor, request))[0]) == (path, expected)
    body = b"csrf=%FF%FE&name=viewer&password=" + PASSWORD.encode()
    head = (
        f"POST /login HTTP/1.1\nHost: x\nConnection: close\nContent-Type: {FORM}\nContent-Length: {len(body)}\nCookie: "
    )
    status, text = await raw(visitor, head.encode() + odd + b"\n\n" + body)
    assert status == 403
    assert "Formulir sudah kedaluwarsa" in text
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


async def test_a_body_that_is_no_form_of_ours_is_refused(visit, caplog):
    visitor = await visit("operator")
    for kind, body, status in (
        (f"{FORM}; charset=bogus", b"csrf=guess&name=a", 403),
        (f"{FORM}; charset=utf-16", "csrf=guess".encode("utf-16"), 403),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken", 403),
        ("multipart/form-data", b"no boundary", 403),
        ("application/json", b"{}", 403),
        (FORM, b"csrf=%ED%A0%80&name=%00", 403),
        (FORM, b"&".join(b"f%d=1" % n for n in range(100)), 400),
        (FORM, b"a=" + b"x" * 2_000_000, 413),
    ):
        for path in ("/login", "/incidents/40/ack", "/account", "/logout"):
            answer, text = await visitor.post(path, io.BytesIO(body), headers={"Content-Type": kind})
            assert (path, kind, answer.status) == (path, kind, status)
            assert "<html" in text
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


async def test_a_form_that_never_arrives_is_not_waited_for(visit):
    visitor = await visit(filled=False, limits=Limits(form_seconds=0.05))
    head = b"POST /login HTTP/1.1\nHost: x\nContent-Type: application/x-www-form-urlencoded\nContent-Length: 9\n"
    status, text = await raw(visitor, head + b"Connection: close\n\ncsrf")
    assert status == 408
    assert "Permintaan tidak dapat dilayani" in text


async def test_a_visitor_who_leaves_in_the_middle_of_a_form_is_no_error(visit, caplog):
    visitor = await visit(filled=False)
    url = visitor.client.make_url("/")
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: " + FORM.encode() + b"\r\nContent-Length: 9\r\n\r\na"
    )
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.transport.abort()
    await asyncio.sleep(0.1)
    assert (await visitor.get("/status"))[0].status == 200
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


async def test_what_is_no_http_does_not_fill_the_log(visit, caplog):
    visitor = await visit(filled=False)
    wire = logging.getLogger("aiohttp.server")
    wire.addFilter(fault_of_ours)
    try:
        for line in (b"GET /\xff HTTP/1.1", b"nonsense", b"GET /?" + b"x" * 9000 + b" HTTP/1.1"):
            assert (await raw(visitor, line + b"\nHost: x\n\n"))[0] == 400
        assert not caplog.records
        wire.error("a fault", exc_info=ValueError("ours"))
        assert len(caplog.records) == 1
    finally:
        wire.removeFilter(fault_of_ours)


async def test_a_note_holds_what_can_be_seen(visit):
    visitor = await visit("operator")
    form = {"csrf": await visitor.csrf(), "note": "a\x00b\u202e\u200bc\r\nd é 🙂" + "x" * 5000}
    assert (await visitor.post("/incidents/40/ack", form))[0].status == 303
    note = select(tables.incident.c.ack_note).where(tables.incident.c.id == 40)
    kept = await visitor.parts.database.read(lambda tx: tx.scalar(note))
    assert kept.startswith("abc\nd é 🙂x")
    assert len(kept) == 1000


async def test_a_user_opens_a_bounded_number_of_streams(visit):
    visitor = await visit("viewer", limits=Limits(streams=3))
    opened = [await visitor.client.get("/live") for _ in range(3)]
    assert [one.status for one in opened] == [200] * 3
    assert (await visitor.client.get("/live")).status == 429
    opened[0].close()
    async with asyncio.timeout(60):
        while (again := await visitor.client.get("/live")).status != 200:
            visitor.parts.feed.publish("look", {})
            await asyncio.sleep(0.01)
    for one in (*opened, again):
        one.close()


async def test_an_answer_does_not_tell_which_versions_run_here(visit):
    visitor = await visit(filled=False)
    for path in ("/login", "/status", "/nope", "/api/v2/write", "/static/x/app.css"):
        answer, _ = await visitor.get(path)
        assert answer.headers["Server"] == "Pantau"


async def test_the_address_is_the_one_that_the_nearest_proxy_of_ours_saw(visit):
    visitor = await visit(filled=False, trusted_proxies=("127.0.0.1", "10.0.0.9"))
    await visitor.get("/login")
    form = {"name": "viewer", "password": "salah-sekali-1", "csrf": visitor.cookie("form")}
    ways = (
        ([], "127.0.0.1"),
        (["203.0.113.7"], "203.0.113.7"),
        (["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        (["198.51.100.1", "203.0.113.7, 10.0.0.9"], "203.0.113.7"),
        (["<script>"], "127.0.0.1"),
        (["198.51.100.1, "], "127.0.0.1"),
        (["2001:db8::1"], "2001:db8::1"),
    )
    for told, _ in ways:
        await visitor.client.post("/login", data=form, headers=[("X-Forwarded-For", one) for one in told])
    query = select(tables.audit.c.detail).where(tables.audit.c.action == "login.failed").order_by(tables.audit.c.id)
    noted = await visitor.parts.database.read(lambda tx: list(tx.scalars(query)))
    assert [json.loads(one)["address"] for one in noted] == [counted for _, counted in ways]
