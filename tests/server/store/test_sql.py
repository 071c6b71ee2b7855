"""Statements are put together of what was quoted, and of nothing else."""

import duckdb
import pytest

from server.store.sql import Sql, identifier, joined, literal, sql


@pytest.mark.parametrize("piece", ["x", "1; DROP TABLE t", 1.5, None, b"x"])
def test_what_nobody_quoted_is_refused(piece):
    with pytest.raises(TypeError, match=r"^piece is a plain \w+, not quoted for a statement$"):
        sql("SELECT {piece}", piece=piece)
    with pytest.raises(TypeError, match="not quoted"):
        joined(", ", [Sql("a"), piece])


def test_pieces_are_put_in_as_they_are():
    assert sql("SELECT {a}, {b} FROM t", a=Sql("x"), b=-5) == "SELECT x, -5 FROM t"
    assert joined(" OR ", []) == ""


@pytest.mark.parametrize("name", ["plain", 'a"b', "a'b", "{brace}", "select", "dörfer", ";--"])
def test_names_and_texts_are_what_they_were_to_a_database(name):
    with duckdb.connect(":memory:") as database:
        database.execute(sql("CREATE TABLE {name} ({name} VARCHAR)", name=identifier(name)))
        database.execute(sql("INSERT INTO {name} VALUES ({text})", name=identifier(name), text=literal(name)))
        found = database.execute(sql("SELECT {name} FROM {name}", name=identifier(name))).fetchall()
        assert found == [(name,)]
