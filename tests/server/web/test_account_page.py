"""A user changes the password that somebody else chose."""

import re

import pytest
from sqlalchemy import select

from alerts import tables
from server.web import sessions

PASSWORD = "rahasia-sekali-1"
NEW = "kalimat sandi saya sendiri"


async def change(visitor, password=PASSWORD, new=NEW, again=NEW):
    _, page = await visitor.get("/account")
    form = {
        "csrf": re.search(r'name="csrf" value="([^"]+)"', page)[1],
        "password": password,
        "new": new,
        "again": again,
    }
    return await visitor.post("/account", form)


async def come_again(visitor, *words):
    visitor.client.session.cookie_jar.clear()
    return (await visitor.login(*words))[0].status


async def actions(visitor):
    rows = await visitor.parts.database.read(
        lambda tx: list(tx.execute(select(tables.audit.c.actor, tables.audit.c.action)))
    )
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("role", ["viewer", "operator", "evaluator", "admin"])
async def test_every_role_sees_its_account_and_changes_its_password(visit, role):
    visitor = await visit(role, filled=False)
    _, text = await visitor.get("/account")
    assert f"<dd>{role}</dd>" in text
    answer, _ = await change(visitor)
    assert (answer.status, answer.headers["Location"]) == (303, "/account?changed=1")
    assert "Kata sandi sudah diganti" in (await visitor.get("/account?changed=1"))[1], "still logged in"
    assert (role, "user.password") in await actions(visitor)
    assert await come_again(visitor, role) == 401
    assert await come_again(visitor, role, NEW) == 303


async def test_the_sessions_elsewhere_end(visit):
    visitor = await visit("viewer", filled=False)
    elsewhere = visitor.cookie("pantau")
    await come_again(visitor, "viewer")
    await change(visitor)
    assert visitor.cookie("pantau") != elsewhere
    assert (await visitor.get("/"))[0].status == 200
    visitor.client.session.cookie_jar.clear()
    assert (await visitor.get("/", headers={"Cookie": f"pantau={elsewhere}"}))[0].status == 303


@pytest.mark.parametrize(
    ("given", "status", "told"),
    [
        ({"password": "salah-sekali-1"}, 403, "Kata sandi sekarang tidak cocok."),
        ({"password": ""}, 403, "Kata sandi sekarang tidak cocok."),
        ({"new": "pendek", "again": "pendek"}, 400, "harus 10 sampai 1.000 huruf"),
        ({"new": "x" * 1001, "again": "x" * 1001}, 400, "harus 10 sampai 1.000 huruf"),
        ({"again": "lain sekali"}, 400, "Kedua kata sandi baru tidak sama."),
    ],
)
async def test_what_is_wrong_is_told_and_changes_nothing(visit, given, status, told):
    visitor = await visit("viewer", filled=False)
    answer, text = await change(visitor, **given)
    assert answer.status == status
    assert told in text
    assert await come_again(visitor, "viewer") == 303


async def test_who_finds_an_open_page_cannot_guess_the_password(visit):
    visitor = await visit("viewer", filled=False)
    for _ in range(sessions.MAX_FROM_ONE):
        assert (await change(visitor, password="salah-sekali-1"))[0].status == 403
    answer, text = await change(visitor)
    assert answer.status == 429
    assert "Coba lagi dalam 15 menit" in text


async def test_it_needs_a_login_and_the_token_of_the_session(visit):
    visitor = await visit(filled=False)
    assert (await visitor.get("/account"))[0].status == 303
    assert (await visitor.post("/account", {"password": PASSWORD, "new": NEW, "again": NEW}))[0].status == 401
    visitor = await visit("viewer", filled=False)
    assert (await visitor.post("/account", {"password": PASSWORD, "new": NEW, "again": NEW}))[0].status == 403
    assert await come_again(visitor, "viewer") == 303
