"""Made-up rows of every table, whatever its columns: text of all kinds, numbers at their ends, and NULL where it may be."""

from itertools import count, islice

from sqlalchemy import BigInteger, Boolean, String, insert

from server.state.tables import metadata

TEXTS = (
    "",
    "Dinas Kesehatan – “Simpus”",
    "naïve ﷽ 🚰",
    '{"a": [1, 2.5, null]}',
    "a\nb\t\\N",
    "Z",
    "a",
    "é",
    "B" * 70_000,
)


def value(column, turn, numbers):
    """One value of a column; ``numbers`` gives others each time where they have to differ."""
    if column.foreign_keys:
        return turn + 1
    if column.nullable and turn % 3 == 0 and not column.primary_key:
        return None
    if isinstance(column.type, Boolean):
        return turn % 2 == 0
    if isinstance(column.type, String):
        text = TEXTS[turn % len(TEXTS)]
        unique = column.primary_key or column.unique or column.name in {"check_id", "subject", "host"}
        return (f"{text[:20]}{next(numbers)}" if unique else text)[: column.type.length]
    if column.primary_key:
        return turn + 1
    return (2**62 if isinstance(column.type, BigInteger) else 2**30) - next(numbers)


def fill(connection, each=23):
    """Put ``each`` rows into every table."""
    numbers = count()
    for table in metadata.sorted_tables:
        rows = ({column.name: value(column, turn, numbers) for column in table.columns} for turn in count())
        connection.execute(insert(table), list(islice(rows, each)))
