"""Rates of counters as SQL: what each series grew by from row to row, as ``Aggregate`` words it. Knows no connection.

A row is a value as it came or a roll-up of several; the last value of the one before it is where its growth begins.
"""

from typing import Final

from server.store import Aggregate
from server.store.sql import Sql, sql

# a roll-up and values that came late to its time are one
_MERGED: Final = """
    SELECT any_value(grp) AS grp, key, min(moment) AS moment, min(low) AS low, max(high) AS high,
        arg_max(last, last_time) AS last, max(last_time) AS last_time
    FROM ({rows}) GROUP BY key, unit"""
_PAIRS: Final = """
    SELECT grp, key, moment, low, high, last, last_time, lag(last) OVER series AS before,
        last_time - lag(last_time) OVER series AS spent
    FROM ({rows}) WINDOW series AS (PARTITION BY key ORDER BY last_time)"""
# differences of 64 bits, signed or not, need more of them
_EXACT: Final = {"integer": Sql("HUGEINT"), "unsigned": Sql("HUGEINT")}
# of a roll-up: it rose to ``high``, began again and rose to ``last``; NULL where it was set back
_GROWN: Final = """
    SELECT grp, key, moment, last_time, spent, CASE
        WHEN before IS NULL THEN NULL
        WHEN low >= before AND high <= last THEN last::{exact} - before
        WHEN low < 0 OR greatest(before, high)::{exact} - low <= low THEN NULL
        WHEN high <= last THEN last
        WHEN high < before THEN high::{exact} + last
        ELSE high::{exact} - before + last END AS grown
    FROM ({pairs})"""
_EACH: Final = {
    Aggregate.RATE: Sql("sum(grown)::DOUBLE / sum(spent) FILTER (grown IS NOT NULL)"),
    Aggregate.IRATE: Sql("arg_max({grown: grown::DOUBLE, spent: spent}, last_time)"),
}
_QUESTION: Final = """
    SELECT grp, moment, sum({rate}) * 1e9 AS total
    FROM (SELECT grp, key, moment, {each} AS each FROM ({grown}) GROUP BY grp, key, moment)
    WHERE {rate} IS NOT NULL GROUP BY grp, moment"""
_RATE: Final = {Aggregate.RATE: Sql("each"), Aggregate.IRATE: Sql("(each.grown / each.spent)")}


def statement(aggregate: Aggregate, kind: str, rows: Sql, *, merged: bool) -> Sql:
    """Return the question for ``grp``, ``moment`` and ``total``, a second, of rows with key, unit, moment and roll-up.

    Rows of one unit are ``merged`` where values came late to the time of a roll-up.
    """
    pairs = sql(_PAIRS, rows=sql(_MERGED, rows=rows) if merged else rows)
    grown = sql(_GROWN, exact=_EXACT.get(kind, Sql("DOUBLE")), pairs=pairs)
    return sql(_QUESTION, rate=_RATE[aggregate], each=_EACH[aggregate], grown=grown)
