"""Copy of the whole state from one database into another, of the same kind or not, and the comparison of two.

Both have the newest tables (``server.state.migrate``). Rows go in the order of foreign keys and, in each table, of the primary
key, so that what a copy that was broken off has left is the beginning of what it copies: the next one goes on behind it.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, Final

from sqlalchemy import Column, Connection, Row, String, Table, func, insert, select, text, tuple_
from sqlalchemy.exc import DataError, IntegrityError

from server.state.tables import metadata

_CHUNK: Final = 1000
_POSTGRESQL: Final = "postgresql"


class CopyFailed(Exception):
    """State that cannot be copied, and why, in one line."""


def copy(
    source: Connection,
    target: Connection,
    *,
    chunk: int = _CHUNK,
    told: Callable[[str, int], None] | None = None,
) -> dict[str, int]:
    """Copy every row that ``target`` does not have yet; return the rows that it has then, by table.

    ``source`` is to see one state all the while: a transaction of SQLite, REPEATABLE READ of PostgreSQL. ``told`` is called with
    the table and its rows so far after each ``chunk`` of rows, and may commit ``target``. CopyFailed when ``target`` holds what
    is not in ``source``, or cannot take a row.
    """
    done = {table.name: _present(source, target, table, chunk) for table in metadata.sorted_tables}
    for table in metadata.sorted_tables:
        for rows in _chunks(source, table, chunk, after=_last_key(target, table) if done[table.name] else None):
            _insert(target, table, rows)
            done[table.name] += len(rows)
            if told is not None:
                told(table.name, done[table.name])
        _advance_sequence(target, table)
    return done


def compare(source: Connection, target: Connection, *, chunk: int = _CHUNK) -> list[str]:
    """Return in words how two databases differ, a line for each table that does: how many rows, and which is the first."""
    found = (_difference(source, target, table, chunk) for table in metadata.sorted_tables)
    return [line for line in found if line]


def _difference(source: Connection, target: Connection, table: Table, chunk: int) -> str:
    here, there = (one.execute(select(func.count()).select_from(table)).scalar_one() for one in (source, target))
    if here != there:
        return f"{table.name}: {here} rows in the source, {there} in the target"
    for mine, other in zip_longest(_rows(source, table, chunk), _rows(target, table, chunk)):
        if mine != other:
            return f"{table.name}: the row {_name(table, mine or other)} differs"
    return ""


def _present(source: Connection, target: Connection, table: Table, chunk: int) -> int:
    """Return how many rows of a table the target has; CopyFailed unless they are the first ones of the source."""
    present = 0
    mine = _rows(source, table, chunk)
    for there in _rows(target, table, chunk):
        if next(mine, None) != there:
            raise CopyFailed(
                f"the target holds something else: its {table.name} {_name(table, there)} is not, or not so, in the source; "
                "a copy needs an empty database, or one that this copy has begun to fill"
            )
        present += 1
    return present


def _rows(connection: Connection, table: Table, chunk: int) -> Iterator[Row[Any]]:
    for rows in _chunks(connection, table, chunk):
        yield from rows


def _chunks(
    connection: Connection, table: Table, chunk: int, after: Sequence[Any] | None = None
) -> Iterator[Sequence[Row[Any]]]:
    """Yield the rows of a table in the order of their keys, those behind ``after`` only."""
    order = _order(connection, table)
    query = select(table).order_by(*order).limit(chunk)
    while True:
        rows = connection.execute(query if after is None else query.where(tuple_(*order) > tuple_(*after))).all()
        if not rows:
            return
        yield rows
        after = _key(table, rows[-1])


def _order(connection: Connection, table: Table) -> list[Any]:
    """Return the key of a table as it is sorted: by the bytes of UTF-8, which SQLite does and PostgreSQL is told to do."""
    plain = connection.dialect.name != _POSTGRESQL
    return [
        column if plain or not isinstance(column.type, String) else column.collate("C") for column in table.primary_key
    ]


def _last_key(connection: Connection, table: Table) -> Sequence[Any]:
    backwards = [part.desc() for part in _order(connection, table)]
    return connection.execute(select(*table.primary_key).order_by(*backwards).limit(1)).one()


def _key(table: Table, row: Row[Any]) -> list[Any]:
    return [value for column, value in zip(table.columns, row, strict=True) if column.primary_key]


def _name(table: Table, row: Row[Any]) -> str:
    names = [column.name for column in table.primary_key]
    return ", ".join(f"{name}={value!r}" for name, value in zip(names, _key(table, row), strict=True))


def _insert(target: Connection, table: Table, rows: Sequence[Row[Any]]) -> None:
    if target.dialect.name == _POSTGRESQL:
        for row in rows:
            _require_fit(table, row)
    try:
        target.execute(insert(table), [dict(zip(table.columns.keys(), row, strict=True)) for row in rows])
    except (DataError, IntegrityError) as error:
        first, last = _name(table, rows[0]), _name(table, rows[-1])
        why = str(error.orig).splitlines()[0]
        raise CopyFailed(f"the target refuses rows of {table.name} between {first} and {last}: {why}") from error


def _require_fit(table: Table, row: Row[Any]) -> None:
    """Refuse a text that SQLite takes and PostgreSQL does not."""
    for column, value in zip(table.columns, row, strict=True):
        if isinstance(value, str) and (why := _misfit(column, value)):
            raise CopyFailed(f"{column.name} of {table.name} {_name(table, row)} {why}")


def _misfit(column: Column[Any], value: str) -> str:
    if "\0" in value:
        return "holds a NUL character, which no text in PostgreSQL can"
    length = column.type.length if isinstance(column.type, String) else None
    if length is not None and len(value) > length:
        return f"has {len(value)} characters, more than the {length} that PostgreSQL takes there"
    return ""


def _advance_sequence(target: Connection, table: Table) -> None:
    """Let PostgreSQL number the next row behind those that came with their numbers."""
    column = table.autoincrement_column
    if column is None or target.dialect.name != _POSTGRESQL:
        return
    greatest = target.execute(select(func.max(column))).scalar()
    if greatest is not None:
        name = target.dialect.identifier_preparer.format_table(table)
        target.execute(
            text("SELECT setval(pg_get_serial_sequence(:name, :column), :greatest)"),
            {"name": name, "column": column.name, "greatest": greatest},
        )
