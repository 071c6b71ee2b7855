import asyncio

import pytest
from sqlalchemy import select

from alerts import tables
from server.state import tables as own
from server.state.database import Database
from server.web import accounts, sessions
from server.web.accounts import AccountError, Passwords, allows

NOW = 1_780_000_000_000
MINUTE = 60_000


@pytest.fixture
def tx(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/state.db")
    tables.metadata.create_all(database.engine)
    with database.engine.connect() as connection, connection.begin():
        accounts.add(connection, name="sari", password="hash", role="operator", at=NOW, by="test")
        yield connection
    database.close()


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", {"viewer"}),
        ("operator", {"viewer", "operator"}),
        ("evaluator", {"viewer", "evaluator"}),
        ("admin", {"viewer", "operator", "evaluator", "admin"}),
    ],
)
def test_a_role_may_do_what_the_roles_below_it_may(role, may):
    assert {needed for needed in accounts.ROLES if allows(role, needed)} == may


def test_a_password_fits_its_account_only_and_nobody_without_one():
    passwords = Passwords()
    hashed = passwords.make("kata sandi panjang")
    account = accounts.Account(id=1, name="sari", password=hashed, role="viewer", created=0, disabled=False)
    shut = accounts.Account(id=2, name="budi", password=hashed, role="viewer", created=0, disabled=True)
    assert hashed.startswith("$argon2id$")
    assert passwords.fits(account, "kata sandi panjang")
    assert not passwords.fits(account, "kata sandi pendek")
    assert not passwords.fits(shut, "kata sandi panjang")
    assert not passwords.fits(None, "kata sandi panjang")


@pytest.mark.parametrize("password", ["", "123456789", "x" * 1001])
def test_a_password_that_is_too_short_or_too_long_is_refused(password):
    with pytest.raises(AccountError, match="10 to 1000"):
        Passwords().make(password)


@pytest.mark.parametrize("name", ["", "a b", "-x", "<b>", "x" * 101, "é"])
def test_odd_names_are_refused(name):
    with pytest.raises(AccountError, match="cannot be a user name"):
        accounts.normal_name(name)


def test_a_name_is_taken_once_whatever_its_case(tx):
    with pytest.raises(AccountError, match="already"):
        accounts.add(tx, name="SARI", password="x", role="viewer", at=NOW, by="test")


def test_a_session_lasts_while_it_is_used_and_never_beyond_its_life(tx):
    token = sessions.start(tx, 1, NOW)
    assert sessions.current(tx, token, NOW + sessions.IDLE - 1).user == "sari"
    assert sessions.current(tx, token, NOW + sessions.IDLE) is None
    at = NOW
    while at < NOW + sessions.LIFE - sessions.IDLE:
        at += sessions.IDLE // 2
        stay = sessions.current(tx, token, at)
        assert sessions.wants_renewal(stay, at)
        sessions.renew(tx, stay, at)
    assert sessions.current(tx, token, NOW + sessions.LIFE) is None


def test_the_table_never_holds_the_token(tx):
    token = sessions.start(tx, 1, NOW)
    row = tx.execute(select(own.session)).one()
    assert token not in map(str, row)
    assert sessions.current(tx, "guess", NOW) is None


def test_disabling_or_another_role_or_password_ends_open_sessions(tx):
    for change in (
        lambda: accounts.set_password(tx, name="sari", password="other", at=NOW, by="test"),
        lambda: accounts.set_role(tx, name="sari", role="viewer", at=NOW, by="test"),
        lambda: accounts.disable(tx, name="sari", at=NOW, by="test"),
    ):
        token = sessions.start(tx, 1, NOW)
        change()
        assert sessions.current(tx, token, NOW) is None
    actions = list(tx.scalars(select(tables.audit.c.action)))
    assert actions == ["user.add", "user.password", "user.role", "user.disable"]
    accounts.enable(tx, name="sari", at=NOW, by="test")
    assert sessions.current(tx, sessions.start(tx, 1, NOW), NOW).role == "viewer"


def test_guessing_one_name_is_slowed_down_and_let_go_after_a_while(tx):
    tries = [sessions.try_login(tx, name="sari", address=f"10.0.0.{n}", now=NOW + n) for n in range(65)]
    assert tries[: sessions.MAX_BY_NAME] == [0] * sessions.MAX_BY_NAME
    assert all(wait > 0 for wait in tries[sessions.MAX_BY_NAME :])
    assert sessions.try_login(tx, name="budi", address="10.0.0.99", now=NOW + 10) == 0
    assert sessions.try_login(tx, name="sari", address="10.0.0.1", now=NOW + sessions.THROTTLE_WINDOW) == 0


def test_one_visitor_who_guesses_cannot_shut_the_owner_of_the_name_out(tx):
    tries = [sessions.try_login(tx, name="sari", address="10.0.0.66", now=NOW) for _ in range(100)]
    assert tries.count(0) == sessions.MAX_FROM_ONE
    assert sessions.try_login(tx, name="sari", address="10.0.0.1", now=NOW) == 0


@pytest.mark.parametrize(
    ("form", "passed"), [("2001:db8::{:x}", 8), ("2001:db8:0:{:x}::1", 12), ("::ffff:10.0.0.{}", 12)]
)
def test_the_addresses_of_one_network_of_ipv6_are_one_visitor(tx, form, passed):
    tries = [sessions.try_login(tx, name="sari", address=form.format(n), now=NOW) for n in range(1, 13)]
    assert tries.count(0) == passed
    sessions.forgive(tx, name="sari", address=form.format(1))
    assert sessions.try_login(tx, name="sari", address=form.format(1), now=NOW) == 0


def test_guessing_many_names_from_one_address_is_slowed_down(tx):
    tries = [sessions.try_login(tx, name=f"n{n}", address="10.0.0.1", now=NOW) for n in range(31)]
    assert tries[:30] == [0] * 30
    assert tries[30] == sessions.THROTTLE_WINDOW


def test_coming_in_forgives_the_attempts_before(tx):
    for _ in range(7):
        sessions.try_login(tx, name="sari", address="10.0.0.1", now=NOW)
    sessions.forgive(tx, name="sari", address="10.0.0.1")
    assert [sessions.try_login(tx, name="sari", address="10.0.0.1", now=NOW) for _ in range(8)] == [0] * 8


async def test_many_attempts_at_once_do_not_slip_past_the_limit(tmp_path):
    database = await asyncio.to_thread(Database, f"sqlite:///{tmp_path}/state.db")
    await asyncio.to_thread(tables.metadata.create_all, database.engine)
    one = lambda tx: sessions.try_login(tx, name="sari", address="10.0.0.1", now=NOW)  # noqa: E731
    waits = await asyncio.gather(*(database.write(one) for _ in range(20)))
    await asyncio.to_thread(database.close)
    assert waits.count(0) == sessions.MAX_FROM_ONE
