r"""InfluxDB line protocol, read.

Source: as in ``lineprotocol``, which writes it. Like InfluxDB 1.8, but unlike 2.7, ``\r\n`` is taken as a line end.

Most lines are plain: names that need no unescaping, numbers, a time. Their fields are turned into JSON, all of one shape at
once, and read by ``msgspec``, which is some ten times as fast as reading them one by one; it refuses whatever is not exactly as
expected, and ``lineparser`` looks at what is left, so that nothing is read in two ways.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, Final

import msgspec

from collectors.lineparser import BLANK, TIME_MAX, RefusedLine, parse
from collectors.lineprotocol import RESERVED_TAGS
from collectors.point import Point
from collectors.points import HOST, Block, Head, Points

UNITS: Final[Mapping[str, int]] = {
    "n": 1,
    "ns": 1,
    "u": 10**3,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
"""Nanoseconds in one unit of each precision that InfluxDB 1 or 2 knows."""

# bytes of blocks that one body may have learned, and what a shape costs however short: some 20 ms
_LEARN_MAX: Final = 30_000
_SHAPE_COST: Final = 100
_PLAIN_MAX: Final = 10_000  # bytes; no name in such a line can be too long
_DIGITS: Final = b"0123456789.-"
# a number without its digits
_WHOLE: Final = {b"": False, b"e": False, b"e+": False, b"E": False, b"E+": False, b"i": True}
_ODD: Final = re.compile(rb'["\\\t\r\0]')
_ODD_MARKS: Final = (b'"', b"\\", b"\t", b"\r", b"\0")
_SCANNED: Final = re.compile(rb'\\.|[ =,"\n]', re.DOTALL)
_TIME_DIGITS: Final = 19
_NO_MARKS: Final = bytes.maketrans(b"i", b" ")
_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class LineError(msgspec.Struct, frozen=True):
    """One refused line: its number in the body and the column in it (both from 1, in characters), why, and the line itself."""

    line: int
    column: int
    why: str
    text: str


class Decoded(msgspec.Struct, frozen=True):
    """What a body held: the points of its good lines, in order, and its refused lines."""

    points: Points
    errors: list[LineError]


class _Shape:
    """Names and types of the fields of plain blocks."""

    def __init__(self, names: Sequence[str], whole: Sequence[bool]) -> None:
        self.names = tuple(names)
        self.whole = tuple(whole)
        aliases = {f"f{number}": name for number, name in enumerate(names)}
        types = [(alias, _Integer if one else float) for alias, one in zip(aliases, whole, strict=True)]
        texts = {alias: name.replace("i", " ") for alias, name in aliases.items()}
        row = msgspec.defstruct("Row", types, rename=texts, forbid_unknown_fields=True, gc=False)
        self._decoder: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]

    def read(self, blocks: Sequence[bytes]) -> list[float]:
        """Read blocks, return all their values; ValueError when one of them is not as expected."""
        text = b"\n".join(blocks)
        if b"=i" in text:
            raise ValueError("a mark without a number")
        # the mark of an integer becomes a blank, which JSON may have there; in a name nothing else is a blank
        text = text.translate(_NO_MARKS).replace(b",", b',"').replace(b"=", b'":').replace(b"\n", b'},{"')
        rows = self._decoder.decode(b'[{"' + text + b"}]")
        # one list of numbers: thousands of small ones would keep the garbage collector busy
        return list(chain.from_iterable(map(msgspec.structs.astuple, rows)))


class Cache:
    """What one reader of many bodies remembers, within bounds: heads by their text, and shapes of blocks of fields.

    ``heads_max`` is in bytes of text (5 MB are some 50,000 series and 60 MB of memory), ``shapes_max`` a number (10 MB).
    """

    def __init__(self, *, heads_max: int = 5_000_000, shapes_max: int = 2_000) -> None:
        self._heads_max = heads_max
        self._shapes_max = shapes_max
        self.heads: dict[bytes, Head] = {}
        self.shapes: dict[tuple[str, bytes], _Shape | None] = {}
        self._left = self._heads_max

    def add(self, text: bytes, head: Head) -> Head:
        """Keep a head; when there are too many, all others are forgotten."""
        self._left -= len(text)
        if self._left < 0:
            # another thread may still read the old ones
            self.heads = {}
            self._left = self._heads_max - len(text)
        self.heads[text] = head
        return head

    def learn(self, measurement: str, skeleton: bytes, block: bytes) -> None:
        """Keep the shape of a block whose text without digits is ``skeleton``, or that it is not plain."""
        if len(self.shapes) >= self._shapes_max:
            self.shapes = {}
        self.shapes[measurement, skeleton] = _shape(skeleton, block)


def decode(body: bytes, *, precision: str = "ns", now: int, cache: Cache | None = None) -> Decoded:
    """Read lines; a bad line is in ``errors`` and costs no other line.

    ``precision`` (one of ``UNITS``, else KeyError) is the unit of the times in the body; lines without one get ``now`` (ns)
    cut to it. Bytes that are not UTF-8 are read as U+FFFD. Points of one series share their ``tags``; with ``cache`` those of
    other bodies too.
    """
    unit = UNITS[precision]
    cache = cache or Cache()
    numbers, lines = _cut(body)
    blocks, rest = _plain(body, numbers, lines, cache, unit)
    others: list[tuple[int, Point]] = []
    errors: list[LineError] = []
    for place in rest:
        line = lines[place].decode("utf-8", "replace")
        odd = line.removesuffix("\r").lstrip(BLANK)
        if not odd or odd[0] == "#":
            continue
        try:
            point, name = parse(odd, unit=unit, default=now - now % unit)
        except RefusedLine as refused:
            errors.append(LineError(numbers[place], refused.offset + 1 + line.index(odd), refused.why, odd))
            continue
        text = name.encode()
        head = cache.heads.get(text) or cache.add(text, Head(point.measurement, point.tags, point.tags.get(HOST, "")))
        others.append((numbers[place], Point(head.measurement, head.tags, point.fields, point.time)))
    return Decoded(Points(blocks, others), errors)


# --- lines -----------------------------------------------------------------------------------------------------------


def _cut(body: bytes) -> tuple[Sequence[int], list[bytes]]:
    """Cut a body into lines with their numbers; a string may hold line ends."""
    lines = body.split(b"\n")
    if b'"' not in body and b"\\" not in body:
        return range(1, len(lines) + 1), lines
    numbers: list[int] = []
    found: list[bytes] = []
    start, number = 0, 1
    while start < len(body):
        end = body.find(b"\n", start)
        line = body[start:] if end < 0 else body[start:end]
        if b'"' in line or b"\\" in line:
            end = _line_end(body, start)
            line = body[start:end]
        numbers.append(number)
        found.append(line)
        if end < 0:
            break
        number += line.count(b"\n") + 1
        start = end + 1
    return numbers, found


def _line_end(body: bytes, start: int) -> int:
    """Find the line end that is neither escaped nor in a string (a quote opens one only after a field's ``=``)."""
    in_fields = quoted = False
    values = commas = 0
    for token in _SCANNED.finditer(body, start):
        what = token[0]
        if what == b"\n" and not quoted:
            return token.start()
        if what[:1] == b"\\":
            # an escape needs a character after it, or the body's last line end would be swallowed
            if what == b"\\\n" and token.end() == len(body):
                return token.start() + 1
        elif what == b'"':
            quoted ^= in_fields and values > commas
        elif what == b" ":
            in_fields = True
        elif in_fields and not quoted:
            values += what == b"="
            commas += what == b","
    return len(body)


# --- plain lines -----------------------------------------------------------------------------------------------------


def _plain(
    body: bytes, numbers: Sequence[int], lines: Sequence[bytes], cache: Cache, unit: int
) -> tuple[list[Block], list[int]]:
    """Read the plain lines; return their blocks, and the places of all other lines, ascending."""
    careful = any(mark in body for mark in _ODD_MARKS) or len(max(lines, key=len, default=b"")) > _PLAIN_MAX
    places = [
        place
        for place, line in enumerate(lines)
        if line.count(b" ") == 2 and not (careful and _is_odd(line))  # noqa: PLR2004 - head, fields, time
    ]
    if not places:
        return [], list(range(len(lines)))
    words = b" ".join([lines[place] for place in places]).split(b" ")
    names, fields, stamps = words[::3], words[1::3], words[2::3]
    order = [numbers[place] for place in places]
    # with None where a closer look is needed
    heads: Sequence[Any] = _heads(names, cache)
    known_times = {stamp: _time(stamp, unit) for stamp in set(stamps)}
    times: Sequence[Any] = [known_times[stamp] for stamp in stamps]
    groups: defaultdict[tuple[str, bytes], list[int]] = defaultdict(list)
    skeletons = b"\n".join(fields).translate(None, _DIGITS).split(b"\n")
    for row, (head, time, skeleton) in enumerate(zip(heads, times, skeletons, strict=True)):
        if head is not None and time is not None:
            groups[head.measurement, skeleton].append(row)
    blocks = [
        Block(
            shape.names,
            shape.whole,
            [order[row] for row in good],
            [heads[row] for row in good],
            [times[row] for row in good],
            values,
        )
        for shape, rows in _shaped(groups, fields, cache)
        for good, values in [_values(shape, rows, fields)]
    ]
    if sum(map(len, blocks)) == len(lines):
        return blocks, []
    taken = {number for block in blocks for number in block.numbers}
    return blocks, [place for place, number in enumerate(numbers) if number not in taken]


def _shaped(
    groups: Mapping[tuple[str, bytes], Sequence[int]], fields: Sequence[bytes], cache: Cache
) -> Iterator[tuple[_Shape, Sequence[int]]]:
    """Find the shape of each group of rows; those without one are left out, as are those that are too much to learn."""
    left = _LEARN_MAX
    for like, rows in groups.items():
        first = fields[rows[0]]
        if like not in cache.shapes and len(first) + _SHAPE_COST <= left:
            left -= len(first) + _SHAPE_COST
            cache.learn(*like, first)
        shape = cache.shapes.get(like)
        if shape is not None:
            yield shape, rows


def _is_odd(line: bytes) -> bool:
    return len(line) > _PLAIN_MAX or _ODD.search(line) is not None


def _time(stamp: bytes, unit: int) -> int | None:
    """Read a plain time. None: look closer."""
    if len(stamp) > _TIME_DIGITS or not stamp.isdigit():
        return None
    time = int(stamp) * unit
    return time if time <= TIME_MAX else None


def _heads(names: Sequence[bytes], cache: Cache) -> list[Head | None]:
    known = cache.heads
    heads = [known.get(name) for name in names]
    if None in heads:
        heads = [head or cache.heads.get(name) or _head(name, cache) for head, name in zip(heads, names, strict=True)]
    return heads


def _head(name: bytes, cache: Cache) -> Head | None:
    """Read plain measurement and tags. None: look closer."""
    measurement, *pairs = name.decode("utf-8", "replace").split(",")
    if not measurement or measurement[0] == "#":
        return None
    tags: dict[str, str] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if not key or not value or "=" in value or key in tags or key in RESERVED_TAGS:
            return None
        tags[key] = value
    return cache.add(name, Head(measurement, tags, tags.get(HOST, "")))


def _shape(skeleton: bytes, block: bytes) -> _Shape | None:
    """Find the shape of a block, None when it is not plain; its text without digits, the skeleton, is all that is known of others.

    Blocks with one skeleton may name their fields in another order (``load1``, ``load5``): types must go by the names.
    """
    whole = []
    alike: dict[bytes, bool] = {}
    for part in skeleton.split(b","):
        name, _, kind = part.partition(b"=")
        if not name or kind not in _WHOLE or alike.setdefault(name, _WHOLE[kind]) != _WHOLE[kind]:
            return None
        whole.append(_WHOLE[kind])
    try:
        names = [pair.partition(b"=")[0].decode() for pair in block.split(b",")]
        if len(set(names)) < len(names) or "time" in names:
            return None
        return _Shape(names, whole)
    except ValueError:  # not UTF-8, or a character that JSON must escape
        return None


def _values(shape: _Shape, rows: Sequence[int], fields: Sequence[bytes]) -> tuple[Sequence[int], list[float]]:
    """Read the blocks of some rows; return the rows that are as the shape says, and their values."""
    try:
        return rows, shape.read([fields[row] for row in rows])
    except ValueError:
        pass
    good: list[int] = []
    values: list[float] = []
    for row in rows:
        try:
            values += shape.read([fields[row]])
        except ValueError:
            continue
        good.append(row)
    return good, values
