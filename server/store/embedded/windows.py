"""Windows of an answer: rows of tables, files and memory by group and moment become one value each. Pure."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.store import Aggregate

Columns = Mapping[str, NDArray[Any]]

# what an aggregate needs of a row besides "grp" and "moment"
NEEDED: Final[dict[Aggregate, tuple[str, ...]]] = {
    Aggregate.MEAN: ("n", "total"),
    Aggregate.MIN: ("low",),
    Aggregate.MAX: ("high",),
    Aggregate.LAST: ("last", "last_time"),
    Aggregate.SUM: ("total",),
    Aggregate.COUNT: ("n",),
    # of each series, worked out by the database
    Aggregate.RATE: ("total",),
    Aggregate.IRATE: ("total",),
}


def windows(aggregate: Aggregate, rows: Columns) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64]]:
    """Return group, moment and value of each window, sorted by group and moment."""
    rows = _sorted(rows, *(("last", "last_time") if aggregate is Aggregate.LAST else ()), "moment", "grp")
    starts = np.flatnonzero(_changes(rows["grp"]) | _changes(rows["moment"]))
    return rows["grp"][starts], rows["moment"][starts], _values(aggregate, rows, starts).astype(np.float64)


def _values(aggregate: Aggregate, rows: Columns, starts: NDArray[np.int64]) -> NDArray[Any]:
    def each(how: "np.ufunc", name: str) -> NDArray[Any]:
        return np.asarray(how.reduceat(rows[name], starts)) if len(starts) else rows[name]

    match aggregate:
        case Aggregate.MEAN:
            return np.asarray(each(np.add, "total") / each(np.add, "n"))
        case Aggregate.MIN:
            return each(np.minimum, "low")
        case Aggregate.MAX:
            return each(np.maximum, "high")
        case Aggregate.COUNT:
            return each(np.add, "n")
        case Aggregate.LAST:
            # of several series that are equally new the greatest counts, as in InfluxDB
            return rows["last"][np.append(starts[1:], len(rows["last"])) - 1] if len(starts) else rows["last"]
    return each(np.add, "total")


def _sorted(rows: Columns, *by: str) -> dict[str, NDArray[Any]]:
    order = np.lexsort([rows[name] for name in by])
    return {name: column[order] for name, column in rows.items()}


def _changes(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a value differs from the one before it; the first one does."""
    return np.append(True, column[1:] != column[:-1])[: len(column)]
