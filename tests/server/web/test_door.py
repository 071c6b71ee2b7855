"""Login, sessions, forms and roles over HTTP."""

import asyncio
import re

import pytest
from sqlalchemy import select, update

from alerts import tables
from server.state import tables as own
from server.web import sessions
from server.web.accounts import ROLES, Passwords, allows
from server.web.auth import safe_next
from server.web.routes import ROUTES

PASSWORD = "rahasia-sekali-1"
STAFF = [route for route in ROUTES if route.role is not None]


def address(route):
    """Return an address of a route, its holes filled with something."""
    return re.sub(r"\{[^}]+\}", "1", route.path)


async def test_every_address_of_the_application_stands_in_the_table(visit):
    visitor = await visit(filled=False)
    served = {
        (route.method, route.resource.canonical)
        for route in visitor.client.app.router.routes()
        if route.method != "HEAD"
    }
    assert served == {(route.method, re.sub(r"\{(\w+):[^}]+\}", r"{\1}", route.path)) for route in ROUTES}


def test_nobody_is_let_in_without_login_by_oversight():
    """A page for everybody is a decision: it is written here as well."""
    open_to_all = {(route.method, route.path) for route in ROUTES if route.role is None}
    assert open_to_all == {
        ("GET", "/static/{hash}/{name:.+}"),
        ("GET", "/login"),
        ("POST", "/login"),
        ("GET", "/status"),
        ("GET", "/preferences"),
    }


async def test_nobody_sees_staff_pages_without_login_and_programs_are_told_so_without_a_redirect(visit):
    visitor = await visit(filled=False)
    for route in STAFF:
        async with visitor.client.request(route.method, address(route), allow_redirects=False) as answer:
            for_programs = route.method == "POST" or route.answers == "data"
            assert (route.path, answer.status) == (route.path, 401 if for_programs else 303)
            assert for_programs or answer.headers["Location"].startswith("/login?next=")


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_opens_its_doors_only(visit, role):
    visitor = await visit(role)
    token = await visitor.csrf()
    for route in STAFF:
        if (route.method, route.path) == ("POST", "/logout"):
            continue  # it would end this visit
        path = address(route).replace("/incidents/1", "/incidents/40")
        form = {"csrf": token} if route.method == "POST" else None
        async with visitor.client.request(route.method, path, data=form, allow_redirects=False) as answer:
            refused = answer.status in {401, 403}
            assert refused is not allows(role, route.role), (route.method, path, answer.status)


async def test_every_form_wants_the_token_of_its_session(visit):
    visitor = await visit("admin")
    for route in STAFF:
        if route.method == "POST":
            answer, _ = await visitor.post(address(route), {"csrf": "guess"})
            assert (route.path, answer.status) == (route.path, 403)


async def test_login_goes_on_to_where_the_visitor_wanted(visit):
    visitor = await visit()
    answer, _ = await visitor.login("viewer", target="/incidents?before=41")
    assert answer.headers["Location"] == "/incidents?before=41"
    assert (await visitor.get("/"))[0].status == 200


@pytest.mark.parametrize("secure", [False, True])
async def test_the_session_cookie_is_closed_to_scripts_and_other_sites(visit, secure):
    visitor = await visit(secure=secure)
    answer, text = await visitor.get("/login")
    form = re.search(r'name="csrf" value="([^"]+)"', text)[1]
    answer, _ = await visitor.post(
        "/login",
        {"name": "viewer", "password": PASSWORD, "csrf": form},
        headers={"Cookie": f"{'__Host-' * secure}form={form}"},
    )
    assert answer.status == 303
    name = "__Host-pantau" if secure else "pantau"
    cookie = next(value for value in answer.headers.getall("Set-Cookie") if value.startswith(f"{name}="))
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert ("Secure" in cookie.split("; ")) is secure
    assert ("Strict-Transport-Security" in answer.headers) is secure


async def test_wrong_names_and_wrong_passwords_are_told_alike(visit):
    visitor = await visit()
    for name, password in (("viewer", "salah-sekali-1"), ("tiada", PASSWORD), ("", "")):
        answer, text = await visitor.login(name, password)
        assert answer.status == 401
        assert "Nama atau kata sandi tidak cocok." in text
        assert visitor.cookie("pantau") is None


async def test_a_password_that_changes_while_it_is_looked_at_opens_nothing(visit, monkeypatch):
    visitor = await visit()
    change = update(own.user).where(own.user.c.name == "viewer").values(password="other")
    loop, fits = asyncio.get_running_loop(), Passwords.fits

    def slow(self, account, password):
        work = visitor.parts.database.write(lambda tx: tx.execute(change).rowcount)
        assert asyncio.run_coroutine_threadsafe(work, loop).result(5) == 1
        return fits(self, account, password)

    monkeypatch.setattr(Passwords, "fits", slow)
    assert (await visitor.login("viewer"))[0].status == 401
    assert visitor.cookie("pantau") is None


async def test_guessing_meets_a_wall_that_says_when_to_come_back(visit):
    visitor = await visit()
    for _ in range(sessions.MAX_FROM_ONE):
        assert (await visitor.login("viewer", "salah-sekali-1"))[0].status == 401
    answer, text = await visitor.login("viewer")
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) == sessions.THROTTLE_WINDOW // 1000
    assert "15 menit" in text


async def test_a_login_form_of_another_site_is_refused(visit):
    visitor = await visit()
    form = {"name": "viewer", "password": PASSWORD, "next": "/"}
    assert (await visitor.post("/login", form))[0].status == 403
    await visitor.get("/login")
    assert (await visitor.post("/login", {**form, "csrf": "guess"}))[0].status == 403
    for site in ("cross-site", "same-site"):
        assert (await visitor.login("viewer", headers={"Sec-Fetch-Site": site}))[0].status == 403
    assert visitor.cookie("pantau") is None


async def test_a_form_without_the_token_of_the_session_does_nothing(visit):
    visitor = await visit("admin")
    for path in ("/logout", "/incidents/40/ack"):
        for given in ({}, {"csrf": ""}, {"csrf": "guess"}):
            answer, text = await visitor.post(path, given)
            assert (path, given, answer.status) == (path, given, 403)
            assert "Tidak diizinkan" in text
    acked = select(tables.incident.c.acked_ms).where(tables.incident.c.id == 40)
    assert await visitor.parts.database.read(lambda tx: tx.scalar(acked)) is None
    assert (await visitor.get("/"))[0].status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_form_that_another_site_sends_does_nothing_even_with_the_token(visit, site):
    visitor = await visit("admin")
    form = {"csrf": await visitor.csrf()}
    assert (await visitor.post("/incidents/40/ack", form, headers={"Sec-Fetch-Site": site}))[0].status == 403
    assert (await visitor.post("/incidents/40/ack", form, headers={"Sec-Fetch-Site": "same-origin"}))[0].status == 303


async def test_logout_ends_the_session_on_the_server(visit):
    visitor = await visit("viewer")
    token = visitor.cookie("pantau")
    assert (await visitor.post("/logout", {"csrf": await visitor.csrf()}))[0].status == 303
    answer, _ = await visitor.get("/", headers={"Cookie": f"pantau={token}"})
    assert answer.status == 303


async def test_a_session_that_is_used_is_renewed_and_one_that_is_not_runs_out(visit):
    now = [1_780_561_800_000]
    visitor = await visit("viewer", clock=lambda: now[0])
    now[0] += sessions.IDLE - 1000
    assert (await visitor.get("/hosts"))[0].status == 200
    now[0] += sessions.IDLE - 1000
    assert (await visitor.get("/hosts"))[0].status == 200
    now[0] += sessions.IDLE
    assert (await visitor.get("/hosts"))[0].status == 303


async def test_coming_and_going_is_in_the_audit(visit):
    visitor = await visit()
    await visitor.login("viewer", "salah-sekali-1")
    await visitor.login("viewer")
    await visitor.post("/logout", {"csrf": await visitor.csrf()})
    rows = await visitor.parts.database.read(
        lambda tx: list(tx.execute(select(tables.audit.c.actor, tables.audit.c.action)))
    )
    assert [tuple(row) for row in rows][-3:] == [("viewer", "login.failed"), ("viewer", "login"), ("viewer", "logout")]


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        "",
        "hosts",
        "//evil.example",
        "/\\evil.example",
        "/%5cevil.example",
        "/\t/evil.example",
        "/%09/evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/%2Fevil.example",
        "\\\\evil.example",
        "/\nx",
    ],
)
def test_going_on_never_leaves_the_house(wanted):
    assert safe_next(wanted) == "/"


@pytest.mark.parametrize("wanted", ["/", "/hosts/a%20b?span=1h", "/incidents?before=3"])
def test_going_on_inside_the_house_is_fine(wanted):
    assert safe_next(wanted) == wanted
