"""Rows of files that were asked for lately, in memory: a page that is drawn again reads no file for what cannot change any more."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Name = tuple[str, int, tuple[str, ...]]  # a file, which never changes, a key in it, and columns
Block = NDArray[Any]  # rows of ``form``

_LASTS: Final[dict[str, Any]] = {"float": np.float64, "integer": np.int64, "unsigned": np.uint64, "boolean": np.bool_}
_OVERHEAD: Final = 400  # bytes that a block takes besides its rows


def form(kind: str, columns: Iterable[str]) -> "np.dtype[Any]":
    """Return what a row of a block has; the last value of a window is exact, as counters are told apart by it."""
    exact = {"last": _LASTS[kind], "last_time": np.int64}
    return np.dtype([("time", np.int64), *((name, exact.get(name, np.float64)) for name in columns)])


class Held:
    """Blocks of ``limit`` bytes in all; those asked for longest ago go. Safe for all threads.

    A question takes no more than one part in ``share`` of it; larger ones are left to the database.
    """

    def __init__(self, limit: int, share: int = 4) -> None:
        self.limit = limit
        self.share = share
        self._lock = threading.Lock()
        self._blocks: OrderedDict[Name, Block] = OrderedDict()
        self._size = 0

    def has_room(self, size: int) -> bool:
        """Return whether a question for so many bytes is answered from here."""
        return size <= self.limit // self.share

    def blocks(self, names: Sequence[Name], read: Callable[[list[Name]], list[Block]]) -> list[Block]:
        """Return the block of each name; ``read`` gives those that are not there."""
        with self._lock:
            found = {name: block for name in names if (block := self._blocks.get(name)) is not None}
            for name in found:
                self._blocks.move_to_end(name)
        missing = [name for name in names if name not in found]
        if missing:
            new = dict(zip(missing, read(missing), strict=True))
            self._keep(new)
            found |= new
        return [found[name] for name in names]

    def _keep(self, new: dict[Name, Block]) -> None:
        with self._lock:
            for name, block in new.items():
                if name not in self._blocks:
                    self._blocks[name] = block
                    self._size += block.nbytes + _OVERHEAD
            while self._size > self.limit:
                _, gone = self._blocks.popitem(last=False)
                self._size -= gone.nbytes + _OVERHEAD


def cut(
    rows: Block, files: NDArray[np.int64], keys: NDArray[np.int64], wanted: Iterable[tuple[int, int]]
) -> list[Block]:
    """Cut rows into blocks of one file and key each; ``files`` are numbers, as in ``wanted``."""
    place = (files << 32) | keys
    order = np.argsort(place, kind="stable")
    rows, place = rows[order], place[order]
    asked = np.array([file << 32 | key for file, key in wanted], dtype=np.int64)
    starts, ends = np.searchsorted(place, asked, "left").tolist(), np.searchsorted(place, asked, "right").tolist()
    # a copy: a part of an array keeps all of it
    return [rows[start:end].copy() for start, end in zip(starts, ends, strict=True)]
