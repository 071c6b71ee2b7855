"""Points as a body of lines brings them: mostly the same fields again and again, so their values are kept by shape.

A store that keeps columns takes them as blocks; everybody else sees a sequence of ``Point``, made when it is looked at.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, overload

import msgspec

from collectors.point import Point

HOST: Final = "host"


class Head(msgspec.Struct, frozen=True, eq=False):
    """Measurement and tags; one object for each that a reader remembers, so that it can be told by identity.

    ``host`` is the tag of that name, "" when there is none.
    """

    measurement: str
    tags: Mapping[str, str]
    host: str


class Block(msgspec.Struct, frozen=True):
    """Rows with the same fields of the same types, in the order in which they were read.

    ``whole`` tells which fields are integers (of 64 bits), the others are finite floats. ``values`` are those of the first row,
    then those of the next. ``numbers`` order the rows among those of other blocks, ``times`` are ns.
    """

    names: tuple[str, ...]
    whole: tuple[bool, ...]
    numbers: Sequence[int]
    heads: Sequence[Head]
    times: Sequence[int]
    values: Sequence[float]

    def __len__(self) -> int:
        return len(self.times)

    def points(self) -> Iterator[tuple[int, Point]]:
        """Make the points, each with its number."""
        for place, (number, head, time) in enumerate(zip(self.numbers, self.heads, self.times, strict=True)):
            yield number, Point(head.measurement, head.tags, dict(zip(self.names, self._row(place), strict=True)), time)

    def _row(self, place: int) -> Sequence[float]:
        return self.values[place * len(self.names) : (place + 1) * len(self.names)]

    def only(self, index: Sequence[int]) -> "Block":
        """Return the rows at these places."""
        return Block(
            self.names,
            self.whole,
            [self.numbers[place] for place in index],
            [self.heads[place] for place in index],
            [self.times[place] for place in index],
            [value for place in index for value in self._row(place)],
        )


class Points(Sequence[Point]):
    """Points, most of them in blocks; ``others`` are those of no block, with their numbers, ascending."""

    def __init__(self, blocks: Sequence[Block], others: Sequence[tuple[int, Point]]) -> None:
        self.blocks = blocks
        self.others = others
        self._made: list[Point] | None = None

    def __len__(self) -> int:
        return sum(map(len, self.blocks)) + len(self.others)

    def __iter__(self) -> Iterator[Point]:
        return iter(self._all())

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> list[Point]: ...
    def __getitem__(self, index: int | slice) -> Point | list[Point]:
        return self._all()[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._all() == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __repr__(self) -> str:
        return repr(self._all())

    def _all(self) -> list[Point]:
        if self._made is None:
            numbered = [pair for block in self.blocks for pair in block.points()] + list(self.others)
            numbered.sort(key=lambda pair: pair[0])
            self._made = [point for _, point in numbered]
        return self._made

    def times(self) -> tuple[int, int]:
        """Return the oldest and the newest time (ns); ValueError when there is no point."""
        # of a shape whose every line was malformed a block without rows is left
        ends = [end for block in self.blocks if block.times for end in (min(block.times), max(block.times))]
        ends += [point.time for _, point in self.others]
        return min(ends), max(ends)

    def measurements(self) -> set[str]:
        """Return the measurements that the points are of."""
        found = {head.measurement for block in self.blocks for head in block.heads}
        return found.union(point.measurement for _, point in self.others)

    def hosts(self) -> dict[str, int]:
        """Return tag ``host`` -> newest time (ns) of its points; "" stands for those without one."""
        found: dict[str, int] = {}
        for block in self.blocks:
            pairs: Iterable[tuple[str, int]] = zip([head.host for head in block.heads], block.times, strict=True)
            if block.times != sorted(block.times):
                pairs = sorted(pairs, key=lambda pair: pair[1])
            # of several times of a host the last stays, which is the newest
            for name, time in dict(pairs).items():
                found[name] = max(time, found.get(name, _NEVER))
        for _, point in self.others:
            name = point.tags.get(HOST, "")
            found[name] = max(point.time, found.get(name, _NEVER))
        return found


_NEVER: Final = -(2**63)
