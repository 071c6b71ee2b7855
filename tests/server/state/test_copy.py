"""State goes from one database into another as it is, whatever kind each is, and again after it was broken off."""

from contextlib import ExitStack

import pytest
from sqlalchemy import delete, insert, select, text, update
from state_rows import fill

from alerts.tables import audit, flip, incident
from server.state.copy import CopyFailed, compare, copy
from server.state.database import Database
from server.state.migrate import upgrade
from server.state.tables import host, login, metadata, user

EACH = 23


@pytest.fixture
def opened(tmp_path, request):
    """A function that makes an empty database of a kind, with its tables."""
    with ExitStack() as stack:

        def make(kind):
            made = tmp_path / f"{len(list(tmp_path.iterdir()))}.db"
            database = Database(
                f"sqlite:///{made}" if kind == "sqlite" else request.getfixturevalue("postgresql_url")()
            )
            stack.callback(database.close)
            upgrade(database.engine)
            return stack.enter_context(database.engine.connect())

        yield make


pytestmark = [pytest.mark.timeout(240)]


@pytest.mark.real
def test_from_sqlite_into_postgresql_and_back_it_is_the_same(opened):
    first, middle, last = opened("sqlite"), opened("postgresql"), opened("sqlite")
    fill(first, EACH)
    told = []
    there = copy(first, middle, chunk=7, told=lambda table, rows: told.append((table, rows)))
    assert there == {table.name: EACH for table in metadata.sorted_tables}
    assert [rows for table, rows in told if table == "span"] == [7, 14, 21, 23]
    assert copy(middle, last, chunk=7) == there
    assert compare(first, middle) == compare(middle, last) == compare(first, last) == []


@pytest.mark.real
def test_postgresql_numbers_its_next_rows_behind_those_that_came(opened):
    source, target = opened("sqlite"), opened("postgresql")
    fill(source, EACH)
    copy(source, target)
    numbered = [table for table in metadata.sorted_tables if table.autoincrement_column is not None]
    for table in numbered:
        sequence = f"pg_get_serial_sequence('\"{table.name}\"', 'id')"
        assert target.execute(text(f"SELECT nextval({sequence})")).scalar_one() == EACH + 1
    assert user in numbered


@pytest.mark.parametrize("stop", [1, 5, 40])
def test_a_copy_that_was_broken_off_goes_on_behind_what_is_there(opened, stop):
    source, target = opened("sqlite"), opened("sqlite")
    fill(source, EACH)
    source.commit()
    chunks = []

    def broken_off(table, rows):
        target.commit()
        chunks.append((table, rows))
        if len(chunks) == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, target, chunk=4, told=broken_off)
    target.rollback()
    again = []
    copy(source, target, chunk=4, told=lambda table, rows: again.append((table, rows)))
    assert not set(again) & set(chunks)
    assert compare(source, target) == []


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def test_a_target_that_holds_something_else_is_left_alone(opened, kind):
    source, target = opened("sqlite"), opened(kind)
    fill(source, EACH)
    target.execute(insert(login).values(name="sari", address="10.0.0.1", at_ms=5))
    with pytest.raises(CopyFailed, match=r"the target holds something else: its login id=1 is not"):
        copy(source, target)
    assert target.execute(select(incident)).all() == []


@pytest.mark.real
@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"detail": "a\0b"}, "detail of flip id=2 holds a NUL character, which no text in PostgreSQL can"),
        ({"reason": "x" * 41}, "reason of flip id=2 has 41 characters, more than the 40"),
    ],
)
def test_what_postgresql_cannot_hold_is_named(opened, values, why):
    source, target = opened("sqlite"), opened("postgresql")
    fill(source, 3)
    source.execute(update(flip).where(flip.c.id == 2).values(**values))
    with pytest.raises(CopyFailed, match=why):
        copy(source, target)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (delete(audit).where(audit.c.id == 3), "audit: 23 rows in the source, 22 in the target"),
        (update(audit).where(audit.c.id == 3).values(at_ms=1), "audit: the row id=3 differs"),
    ],
)
def test_what_differs_is_told(opened, change, told):
    source, target = opened("sqlite"), opened("sqlite")
    fill(source, EACH)
    copy(source, target)
    target.execute(change)
    assert compare(source, target, chunk=2) == [told]


@pytest.mark.real
def test_names_are_sorted_alike_wherever_they_are_kept(opened):
    source, target = opened("sqlite"), opened("postgresql")
    for name in ("b", "A", "a-1", "a1", "Z", "é", "_", "a b", "🚰"):
        source.execute(insert(host).values(name=name, first_ms=1, seen_ms=1, point_ms=1))
    copy(source, target, chunk=2)
    assert compare(source, target, chunk=3) == []
    assert sum(copy(source, target, chunk=2).values()) == 9
