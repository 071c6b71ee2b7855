"""The tables in the embedded store's file, made or read when it is opened; and the formats that can be read."""

from collections.abc import Iterable
from typing import Final

import msgspec

from server.store import StoreUnavailable
from server.store.embedded.database import Database
from server.store.embedded.levels import HOUR, File
from server.store.embedded.reading import TABLES
from server.store.embedded.series import Dictionary

FORMAT: Final = 3
_READABLE: Final = frozenset({1, 2, FORMAT})
_SQL_TYPES: Final = {
    "float": "DOUBLE",
    "integer": "BIGINT",
    "unsigned": "UBIGINT",
    "boolean": "BOOLEAN",
    "string": "VARCHAR",
}
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS about (format INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS series (id UINTEGER NOT NULL, measurement VARCHAR NOT NULL, tags VARCHAR NOT NULL)",
    "CREATE TABLE IF NOT EXISTS fields (id UINTEGER NOT NULL, measurement VARCHAR NOT NULL, name VARCHAR NOT NULL, kind VARCHAR NOT NULL)",
    "CREATE TABLE IF NOT EXISTS keys (id UINTEGER NOT NULL, series UINTEGER NOT NULL, field UINTEGER NOT NULL)",
    *(
        f"CREATE TABLE IF NOT EXISTS {table} (key UINTEGER NOT NULL, time BIGINT NOT NULL, value {_SQL_TYPES[kind]} NOT NULL)"
        for kind, table in TABLES.items()
    ),
    """CREATE TABLE IF NOT EXISTS files (kind VARCHAR NOT NULL, level VARCHAR NOT NULL, start BIGINT NOT NULL,
        "end" BIGINT NOT NULL, cut BIGINT NOT NULL, name VARCHAR NOT NULL)""",
    "ALTER TABLE files ADD COLUMN IF NOT EXISTS by_field BOOLEAN DEFAULT false",  # not in formats 1 and 2
    "CREATE TABLE IF NOT EXISTS raw_from (time BIGINT NOT NULL)",
)
HOUR_OF: Final = f"time - ((time % {HOUR}) + {HOUR}) % {HOUR}"


def prepare(database: Database) -> None:
    """Make the tables that are missing; StoreUnavailable when the file has a format of a later version."""
    for statement in _SCHEMA:
        database.execute(statement)
    formats = [number for (number,) in database.all("SELECT format FROM about")]
    if formats and formats[0] not in _READABLE:
        raise StoreUnavailable(f"{database.file} has format {formats[0]}, this version of Pantau reads {FORMAT}")
    if formats != [FORMAT]:
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


def raw_from(database: Database) -> int:
    """Return the time (ns) before which raw values are gone."""
    (time,) = database.all("SELECT coalesce(max(time), -9223372036854775808) FROM raw_from")[0]
    return int(time)


def hours(database: Database, table: str) -> dict[int, int]:
    """Count the rows of a table by hour."""
    return dict(database.all(f"SELECT {HOUR_OF} AS hour, count(*) FROM {table} GROUP BY hour"))  # noqa: S608 - our own names


def last(database: Database, table: str) -> int | None:
    """Return the newest time in a table, None when it is empty."""
    (time,) = database.all(f"SELECT max(time) FROM {table}")[0]  # noqa: S608 - our own names
    return None if time is None else int(time)


def files(database: Database) -> list[File]:
    """Return the files that count, and delete what a crash has left beside them; StoreUnavailable when one is missing."""
    known = [File(*row) for row in database.all('SELECT kind, level, start, "end", cut, name, by_field FROM files')]
    _check(database, known)
    return known


def _check(database: Database, known: Iterable[File]) -> None:
    wanted = {one.name for one in known}
    there = {path.name for path in database.folder.iterdir()}
    for name in there - wanted:
        (database.folder / name).unlink()
    if missing := sorted(wanted - there):
        raise StoreUnavailable(f"{database.folder / missing[0]} is missing, and {len(missing) - 1} more")
