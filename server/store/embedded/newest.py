"""The newest value of each key in memory, so that dashboards and rules do not ask the database for it."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collectors.point import UInt, Value
from server.store.embedded.columns import Chunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NEVER: Final = np.iinfo(np.int64).min
_ALWAYS: Final = np.iinfo(np.int64).max
_VIEWS: Final[dict[str, Any]] = {"float": np.float64, "integer": np.int64, "unsigned": np.uint64, "boolean": np.uint64}


class Newest:
    """Newest times and values by key; every call is safe beside the others. Numbers are held as their 64 bits.

    After a start the first ``count`` keys are unknown until somebody asks; a write says what is newest only from ``horizon``
    on, where nothing was when it started.
    """

    def __init__(self, count: int, horizon: int) -> None:
        self._lock = threading.Lock()
        self._horizon = horizon
        # down to where a key without a value has been looked for
        self._asked = np.full(count, _ALWAYS, dtype=np.int64)
        self._times = np.full(count, _NEVER, dtype=np.int64)
        self._bits = np.zeros(count, dtype=np.uint64)
        self._texts: dict[int, str] = {}

    def note(self, kind: str, rows: Chunk) -> None:
        """Add rows, sorted by time."""
        if not len(rows.key):
            return
        with self._lock:
            self._grow(int(rows.key.max()) + 1)
            known = self._times[rows.key]
            newer = rows.time >= known
            unknown = (known == _NEVER) & (self._asked[rows.key] != _NEVER) & (rows.time < self._horizon)
            if unknown.any():
                self._asked[rows.key[unknown]] = _ALWAYS
                newer &= ~unknown
            self._take(kind, rows if newer.all() else rows.only(newer))

    def found(self, kind: str, rows: Chunk, keys: Sequence[int], since: int) -> None:
        """Add what was found of unknown keys, a row each, when they were looked for down to ``since``."""
        with self._lock:
            self._asked[keys] = np.minimum(self._asked[keys], since)
            self._take(kind, rows.only(rows.time >= self._times[rows.key]))

    def _take(self, kind: str, fresh: Chunk) -> None:
        # of several rows of one key the last assignment stays, and that is the newest
        self._times[fresh.key] = fresh.time
        if kind == "string":
            self._texts.update(zip(fresh.key.tolist(), fresh.value.tolist(), strict=True))
        else:
            self._bits.view(_VIEWS[kind])[fresh.key] = fresh.value

    def forget(self, keys: "NDArray[np.uint32]") -> None:
        """Know nothing of keys, whose values were deleted, until somebody asks."""
        with self._lock:
            self._grow(int(keys.max(initial=0)) + 1)
            self._asked[keys], self._times[keys] = _ALWAYS, _NEVER
            for key in keys.tolist():
                self._texts.pop(key, None)

    def of(self, kind: str, keys: Sequence[int], since: int) -> dict[int, tuple[int, Value]]:
        """Return key -> (time, value) of the keys that have one at or after ``since``."""
        wanted = np.array(keys, dtype=np.int64)
        with self._lock:
            self._grow(int(wanted.max(initial=0)) + 1)
            times = self._times[wanted]
            there = (times >= since) & (times != _NEVER)
            wanted, times = wanted[there], times[there]
            if kind == "string":
                values: list[Any] = [self._texts[key] for key in wanted.tolist()]
            else:
                values = self._bits.view(_VIEWS[kind])[wanted].tolist()
        if kind == "boolean":
            values = [bool(value) for value in values]
        elif kind == "unsigned":
            values = [UInt(value) for value in values]
        return dict(zip(wanted.tolist(), zip(times.tolist(), values, strict=True), strict=True))

    def unknown(self, keys: Sequence[int], since: int) -> list[int]:
        """Return the keys without a value that were not looked for down to ``since`` yet."""
        wanted = np.array(keys, dtype=np.int64)
        with self._lock:
            self._grow(int(wanted.max(initial=0)) + 1)
            missing: NDArray[np.int64] = wanted[(self._times[wanted] == _NEVER) & (self._asked[wanted] > since)]
        return [int(key) for key in missing]

    def drop_before(self, time: int) -> None:
        """Forget what is older."""
        with self._lock:
            self._times[self._times < time] = _NEVER

    def _grow(self, count: int) -> None:
        size = len(self._times)
        if count > size:
            more = max(count - size, size)
            self._times = np.append(self._times, np.full(more, _NEVER, dtype=np.int64))
            self._bits = np.append(self._bits, np.zeros(more, dtype=np.uint64))
            # a key of this run cannot be in files without having been here
            self._asked = np.append(self._asked, np.full(more, _NEVER, dtype=np.int64))
