"""Statements that are put together of typed pieces: a plain text cannot become part of one, unless it is quoted for its language."""

from collections.abc import Iterable
from typing import LiteralString


class Sql(str):
    """A piece of a statement: literal text, or what was quoted. Only literals and quoting make one."""

    __slots__ = ()


def sql(template: LiteralString, **pieces: Sql | int) -> Sql:
    """Return a template with its ``{pieces}`` put in; TypeError for one that nobody quoted."""
    for name, piece in pieces.items():
        if not isinstance(piece, (Sql, int)):
            raise TypeError(f"{name} is a plain {type(piece).__name__}, not quoted for a statement")
    return Sql(template.format(**pieces))


def joined(between: LiteralString, pieces: Iterable[Sql]) -> Sql:
    """Return pieces with a literal between them; TypeError for one that nobody quoted."""
    return Sql(between.join(sql("{piece}", piece=piece) for piece in pieces))


def identifier(name: str) -> Sql:
    """Quote a name as the SQL standard does."""
    doubled = name.replace('"', '""')
    return Sql(f'"{doubled}"')


def literal(text: str) -> Sql:
    """Quote a text as the SQL standard does."""
    doubled = text.replace("'", "''")
    return Sql(f"'{doubled}'")
