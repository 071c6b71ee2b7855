"""The tables in the embedded store's file, made or read when it is opened; and the formats that can be read.

Format 4 has late layers. What formats 1 to 3 hold moves to where it belongs when they are opened.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from server.store import StoreUnavailable
from server.store.embedded.database import Database
from server.store.embedded.layers import KIND_OF, TABLES, is_late, late
from server.store.embedded.levels import DAY, HOUR, RAW, ROLLED, File, floor
from server.store.embedded.reading import window_of
from server.store.embedded.series import Dictionary
from server.store.sql import Sql, sql

FORMAT: Final = 4
_READABLE: Final = frozenset({1, 2, 3, FORMAT})
_SQL_TYPES: Final = {
    "float": Sql("DOUBLE"),
    "integer": Sql("BIGINT"),
    "unsigned": Sql("UBIGINT"),
    "boolean": Sql("BOOLEAN"),
    "string": Sql("VARCHAR"),
}
_SCHEMA: Final = (
    Sql("CREATE TABLE IF NOT EXISTS about (format INTEGER NOT NULL)"),
    Sql(
        "CREATE TABLE IF NOT EXISTS series (id UINTEGER NOT NULL, measurement VARCHAR NOT NULL, tags VARCHAR NOT NULL)"
    ),
    Sql(
        "CREATE TABLE IF NOT EXISTS fields"
        " (id UINTEGER NOT NULL, measurement VARCHAR NOT NULL, name VARCHAR NOT NULL, kind VARCHAR NOT NULL)"
    ),
    Sql("CREATE TABLE IF NOT EXISTS keys (id UINTEGER NOT NULL, series UINTEGER NOT NULL, field UINTEGER NOT NULL)"),
    *(
        sql(
            "CREATE TABLE IF NOT EXISTS {table} (key UINTEGER NOT NULL, time BIGINT NOT NULL, value {type} NOT NULL)",
            table=table,
            type=_SQL_TYPES[KIND_OF[layer]],
        )
        for layer, table in TABLES.items()
    ),
    Sql(
        """CREATE TABLE IF NOT EXISTS files (kind VARCHAR NOT NULL, level VARCHAR NOT NULL, start BIGINT NOT NULL,
        "end" BIGINT NOT NULL, cut BIGINT NOT NULL, name VARCHAR NOT NULL)"""
    ),
    Sql("ALTER TABLE files ADD COLUMN IF NOT EXISTS by_field BOOLEAN DEFAULT false"),  # not in formats 1 and 2
    Sql("CREATE TABLE IF NOT EXISTS raw_from (time BIGINT NOT NULL)"),
)


def prepare(database: Database) -> bool:
    """Make the tables that are missing; return whether it has an older format. StoreUnavailable when it has a later one."""
    for statement in _SCHEMA:
        database.execute(statement)
    formats = [number for (number,) in database.all("SELECT format FROM about")]
    if formats and formats[0] not in _READABLE:
        raise StoreUnavailable(f"{database.file} has format {formats[0]}, this version of Pantau reads {FORMAT}")
    return formats != [FORMAT]


def note_format(database: Database) -> None:
    """Note that the file has our format now."""
    if database.all("SELECT format FROM about") != [(FORMAT,)]:
        database.execute("DELETE FROM about")
        database.execute("INSERT INTO about VALUES (?)", [FORMAT])


def load(database: Database, dictionary: Dictionary) -> None:
    """Fill an empty dictionary with what was saved."""
    tags = msgspec.json.Decoder(dict[str, str])
    dictionary.load(
        [(number, name, tags.decode(text)) for number, name, text in database.all("SELECT * FROM series ORDER BY id")],
        database.all("SELECT id, measurement, name, kind FROM fields"),
        database.all("SELECT id, series, field FROM keys"),
    )


def raw_from(database: Database, files: Sequence[File]) -> int:
    """Return the time (ns) before which raw values are gone; what lies in tables from before it is in the late layers then.

    In formats up to 3 it could move back: of the files ``files`` those of days of which only roll-ups are left tell where it was.
    """
    (saved,) = database.all("SELECT coalesce(max(time), -9223372036854775808) FROM raw_from")[0]
    values = {
        (one.kind, day) for one in files if one.level == RAW for day in range(floor(one.start, DAY), one.end, DAY)
    }
    gone = [
        floor(one.start, DAY) + DAY
        for one in files
        # a file of more days has some that never had a value
        if one.level in ROLLED and one.width <= DAY and not is_late(one.kind)
        if (one.kind, floor(one.start, DAY)) not in values
    ]
    time = max([int(saved), *gone])
    firsts = [_first(database, table) for layer, table in TABLES.items() if not is_late(layer)]
    if time > min([int(saved), *(first for first in firsts if first is not None)]):
        database.execute("BEGIN")
        try:
            save_raw_from(database, time)
            database.execute("COMMIT")
        except BaseException:
            database.rollback()
            raise
    return time


def save_raw_from(database: Database, time: int) -> None:
    """Note that raw values before a time are gone, and move rows of before to the late layers; part of a transaction."""
    database.execute("DELETE FROM raw_from")
    database.execute("INSERT INTO raw_from VALUES (?)", [time])
    for layer, table in TABLES.items():
        if not is_late(layer):
            database.execute(
                sql(
                    "INSERT INTO {late} SELECT * FROM {table} WHERE time < {time}",
                    late=TABLES[late(layer)],
                    table=table,
                    time=time,
                )
            )
            database.execute(sql("DELETE FROM {table} WHERE time < {time}", table=table, time=time))


def hours(database: Database, table: Sql) -> dict[int, int]:
    """Count the rows of a table by hour."""
    question = sql("SELECT {hour} AS hour, count(*) FROM {table} GROUP BY hour", hour=window_of(HOUR), table=table)
    return dict(database.all(question))


def last(database: Database, table: Sql) -> int | None:
    """Return the newest time in a table, None when it is empty."""
    (time,) = database.all(sql("SELECT max(time) FROM {table}", table=table))[0]
    return None if time is None else int(time)


def _first(database: Database, table: Sql) -> int | None:
    (time,) = database.all(sql("SELECT min(time) FROM {table}", table=table))[0]
    return None if time is None else int(time)


def files(database: Database) -> list[File]:
    """Return the files that count, and delete what a crash has left beside them; StoreUnavailable when one is missing."""
    known = [File(*row) for row in database.all('SELECT kind, level, start, "end", cut, name, by_field FROM files')]
    _check(database, known)
    return known


def _check(database: Database, known: Sequence[File]) -> None:
    wanted = {one.name for one in known}
    there = {path.name for path in database.folder.iterdir()}
    for name in there - wanted:
        (database.folder / name).unlink()
    if missing := sorted(wanted - there):
        raise StoreUnavailable(f"{database.folder / missing[0]} is missing, and {len(missing) - 1} more")
