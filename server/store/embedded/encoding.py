"""Points to columns: rows of blocks whose series and fields are known all at once, the others one by one by the dictionary."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from collectors.point import Point
from collectors.points import Block, Head, Points
from server.store import Written
from server.store.embedded.columns import DTYPES, Chunk, chunk
from server.store.embedded.series import Dictionary
from server.store.embedded.sorting import Sorter


class Encoded(NamedTuple):
    """Columns by type, in the order of their writing, and what became of the points."""

    chunks: list[tuple[str, Chunk]]
    written: Written


class _Known:
    """The keys of the fields of one shape, a row for each head that had them."""

    def __init__(self, whole: Sequence[bool]) -> None:
        self.rows: dict[Head, int] = {}
        self.columns: dict[str, NDArray[np.intp]] = {
            kind: np.flatnonzero([one is wanted for one in whole])
            for kind, wanted in (("float", False), ("integer", True))
            if wanted in whole
        }
        self._keys = np.empty((8, len(whole)), dtype=np.uint32)

    def add(self, head: Head, keys: Sequence[int]) -> None:
        """Keep the keys of a head."""
        row = len(self.rows)
        if row == len(self._keys):
            self._keys = np.concatenate([self._keys, np.empty_like(self._keys)])
        self._keys[row] = keys
        self.rows[head] = row

    def chunks(self, block: Block, times: NDArray[np.int64]) -> Iterable[tuple[str, Chunk]]:
        """Return the columns of a block whose heads are all there."""
        keys = self._keys[[self.rows[head] for head in block.heads]]
        if len(self.columns) == 1:
            (kind,) = self.columns
            yield kind, Chunk(keys.ravel(), np.repeat(times, keys.shape[1]), np.array(block.values, dtype=DTYPES[kind]))
            return
        values: NDArray[Any] = np.array(block.values, dtype=object).reshape(keys.shape)
        for kind, places in self.columns.items():
            column = values[:, places].ravel().astype(DTYPES[kind])
            yield kind, Chunk(keys[:, places].ravel(), np.repeat(times, len(places)), column)


class Encoder:
    """Turns points into columns, with the numbers of a dictionary. Belongs to the writing thread.

    It remembers ``heads`` with a shape (500,000: 50 MB, and 4 bytes a field) and ``plans`` for shapes.
    """

    def __init__(self, dictionary: Dictionary, *, heads: int = 500_000, plans: int = 20_000) -> None:
        self._dictionary = dictionary
        self._sorter = Sorter(dictionary, plans=plans)
        self._heads = heads
        self._known: dict[tuple[tuple[str, ...], tuple[bool, ...]], _Known] = {}
        self._left = heads

    def encode(self, points: Sequence[Point], *, in_order: bool = False) -> Encoded:
        """Return the columns of points; TypeError when a field holds something else than a Value.

        Rows of blocks come before other points, unless they are wanted ``in_order``: then the last of several values of one
        series, field and time is the one that was written last.
        """
        if in_order or not isinstance(points, Points):
            return self._one_by_one(points)
        chunks: list[tuple[str, Chunk]] = []
        others: list[tuple[int, Point]] = list(points.others)
        new: list[Block] = []
        for block in points.blocks:
            known = self._known.get((block.names, block.whole))
            times = np.array(block.times, dtype=np.int64)
            good = np.array([known is not None and head in known.rows for head in block.heads])
            if not good.all():
                unknown = block.only(np.flatnonzero(~good).tolist())
                new.append(unknown)
                others += unknown.points()
                block, times = block.only(np.flatnonzero(good).tolist()), times[good]  # noqa: PLW2901 - the rest of it
            if known and len(times):
                chunks += known.chunks(block, times)
        written = len(points) - len(others)
        if not others:
            return Encoded(chunks, Written(written))
        rest = self._one_by_one([point for _, point in sorted(others, key=lambda pair: pair[0])])
        for block in new:
            self._learn(block)
        return Encoded(chunks + rest.chunks, Written(written + rest.written.points, rest.written.rejected))

    def _one_by_one(self, points: Iterable[Point]) -> Encoded:
        batch = self._sorter.encode(points)
        return Encoded([(kind, chunk(kind, one)) for kind, one in batch.columns.items() if one.keys], batch.written)

    def _learn(self, block: Block) -> None:
        """Remember the keys of heads whose fields were all taken."""
        whole = dict(zip(block.names, block.whole, strict=True))
        for head in set(block.heads):
            keys = self._sorter.keys(head.measurement, head.tags, whole)
            if keys is None:
                continue
            if not self._left:
                self._known, self._left = {}, self._heads
            known = self._known.setdefault((block.names, block.whole), _Known(block.whole))
            if head not in known.rows:
                known.add(head, keys)
                self._left -= 1
