"""Columns of a batch as arrays: clean, sorted, each field value once; and which of them may be in the tables already."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.store.embedded.sorting import Column

DTYPES: Final[dict[str, Any]] = {
    "float": np.float64,
    "integer": np.int64,
    "unsigned": np.uint64,
    "boolean": np.bool_,
    "string": np.object_,
}
_NEVER: Final = np.iinfo(np.int64).min


class Chunk(NamedTuple):
    """Values of one type in columns of equal length: the key of series and field, time (ns), value."""

    key: NDArray[np.uint32]
    time: NDArray[np.int64]
    value: NDArray[Any]

    def only(self, mask: NDArray[Any] | slice) -> "Chunk":
        """Return the rows that a mask, an index or a slice names."""
        return Chunk(self.key[mask], self.time[mask], self.value[mask])

    def until(self, time: int) -> "Chunk":
        """Return the rows up to a time, of rows sorted by it."""
        if not len(self.time) or self.time[-1] <= time:
            return self
        count = int(np.searchsorted(self.time, time, "right"))
        return Chunk(self.key[:count], self.time[:count], self.value[:count])


def chunk(kind: str, column: Column) -> Chunk:
    """Turn lists into arrays. As line protocol does: no value that is not finite or beyond its 64 bits, strings UTF-8."""
    values = column.values
    if kind == "string":
        values = [text.encode("utf-8", "backslashreplace").decode() for text in values]
    dtype = DTYPES[kind]
    good: NDArray[np.bool_] | None = None
    try:
        array = np.array(values, dtype=dtype)
    except OverflowError:
        limits = np.iinfo(dtype)
        good = np.array([limits.min <= value <= limits.max for value in values])
        array = np.array([value if fits else 0 for value, fits in zip(values, good, strict=True)], dtype=dtype)
    times = np.repeat(np.array(column.stamps, dtype=np.int64), column.counts)
    rows = Chunk(np.array(column.keys, dtype=np.uint32), times, array)
    if kind == "float":
        good = np.isfinite(array)
    return rows if good is None or good.all() else rows.only(good)


def last_writes(chunks: Sequence[Chunk]) -> Chunk:
    """Join chunks in the order of their writing, sort by time and key, and keep the last value of each time and key."""
    rows = Chunk(*(np.concatenate(columns) for columns in zip(*chunks, strict=True)))
    rows = rows.only(np.lexsort((rows.key, rows.time)))
    repeated = (rows.key[:-1] == rows.key[1:]) & (rows.time[:-1] == rows.time[1:])
    return rows.only(np.append(~repeated, True)) if repeated.any() else rows


class Marks:
    """The newest time of each key, so that only what is not newer is looked for in the tables before it is written.

    After a start the newest time of all stands for every key: too high is slow, too low would be wrong.
    """

    def __init__(self, count: int, newest: int | None) -> None:
        self._times = np.full(count, _NEVER if newest is None else newest, dtype=np.int64)

    def late(self, rows: Chunk) -> NDArray[np.bool_]:
        """Return which rows may be there already."""
        self._grow(int(rows.key.max()) + 1)
        return rows.time <= self._times[rows.key]

    def note(self, rows: Chunk) -> None:
        """Note rows, sorted by time, that were written."""
        # of several rows of one key the last assignment stays, and that is the newest
        self._times[rows.key] = np.maximum(self._times[rows.key], rows.time)

    def _grow(self, count: int) -> None:
        size = len(self._times)
        if count > size:
            self._times = np.append(self._times, np.full(max(count - size, size), _NEVER, dtype=np.int64))
