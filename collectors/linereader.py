r"""InfluxDB line protocol, read.

Source: as in ``lineprotocol``, which writes it.

Reading accepts what InfluxDB accepts, except what it would store mangled: text after a closing quote, a field name that is
empty or ends in two backslashes. Like InfluxDB 1.8, but unlike 2.7, it takes ``\r\n`` as a line end.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Final

import msgspec

from collectors.point import Point, UInt, Value

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

_INT_MAX: Final = 2**63 - 1
_UINT_MAX: Final = 2**64 - 1
_TIME_MAX: Final = 2**63 - 2
_KEY_MAX: Final = 65535  # bytes of measurement, tags and a field's name, joined by 4 more


class LineError(msgspec.Struct, frozen=True):
    """One refused line: its number in the body and the column in it (both from 1, in characters), why, and the line itself."""

    line: int
    column: int
    why: str
    text: str


class Decoded(msgspec.Struct, frozen=True):
    """What a body held: the points of its good lines, in order, and its refused lines."""

    points: list[Point]
    errors: list[LineError]


Head = tuple[str, dict[str, str]]


class Heads:
    """Measurement and tags by the text that was read; what one reader of many bodies keeps, within a bound."""

    def __init__(self) -> None:
        self.known: dict[str, Head] = {}
        self._left = _HEADS_MAX

    def add(self, text: str, head: Head) -> None:
        """Keep one; when there are too many, all others are forgotten."""
        self._left -= len(text)
        if self._left < 0:
            # another thread may still read the old ones
            self.known = {}
            self._left = _HEADS_MAX - len(text)
        self.known[text] = head


_HEADS_MAX: Final = 5_000_000  # characters: some 50,000 series, 60 MB
_PLAIN_MAX: Final = 10_000  # characters; no name in such a line can be too long
# a block that needs neither unescaping nor range checks: plain names, short numbers
_PLAIN_FIELDS: Final = re.compile(
    r"[^,=\s\0\\]+=-?[0-9]{1,18}(?:i|\.[0-9]{0,18})?(?:,[^,=\s\0\\]+=-?[0-9]{1,18}(?:i|\.[0-9]{0,18})?)*"
)
_SHAPE_MAX: Final = 2_000  # characters of a block; a longer one is not looked at as a shape
_SHAPES_MAX: Final = 20_000  # characters of all blocks that became shapes in one body: 50 ms
_PLAIN_INTEGER: Final = "(-?[0-9]{1,18})i"
_PLAIN_REAL: Final = r"(-?[0-9]{1,18}(?:\.[0-9]{0,18})?)"
_BLANK: Final = " \t\0"
_NAME_END: Final = re.compile(r"(?<!\\)[, ]")
_KEY_END: Final = re.compile(r"(?<!\\)[,= ]")
_FIELD_KEY: Final = re.compile(r"(?:[^\\,= ]+|\\.|\\\Z)*", re.DOTALL)
_STRING: Final = re.compile(r'(?:[^\\"]+|\\.)*', re.DOTALL)
_WORD: Final = re.compile(r"[^, ]*")
_NUMBER: Final = re.compile(r"(-?[0-9]+)i|([0-9]+)u|(-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)")
_EXPONENT: Final = re.compile(r"-?[0-9.]+[eE][-+0-9.eE]*")
_TIME: Final = re.compile(r"-?[0-9]+")
_SCANNED: Final = re.compile(r'\\.|[ =,"\n]', re.DOTALL)
_ESCAPED_NAME: Final = re.compile(r"\\([, ])")
_ESCAPED_KEY: Final = re.compile(r"\\([,= ])")
_ESCAPED_FIELD: Final = re.compile(r'\\([,= "])')
_ESCAPED_STRING: Final = re.compile(r'\\([\\"])')
_BOOLEANS: Final = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), False),
}
_RESERVED_TAGS: Final = frozenset({"time", "_field", "_measurement", "\0"})


class _Refused(Exception):
    """Why a line is refused, in InfluxDB's words, and the offset in it."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(why)
        self.offset = offset
        self.why = why


def decode(body: bytes, *, precision: str = "ns", now: int, heads: Heads | None = None) -> Decoded:
    """Read lines; a bad line is in ``errors`` and costs no other line.

    ``precision`` (one of ``UNITS``, else KeyError) is the unit of the times in the body; lines without one get ``now`` (ns)
    cut to it. Bytes that are not UTF-8 are read as U+FFFD. Points of one series share their ``tags``; with ``heads`` those of
    other bodies too.
    """
    text = body.decode("utf-8", "replace")
    unit = UNITS[precision]
    default = now - now % unit
    heads = heads or Heads()
    shapes = _Shapes()
    points: list[Point] = []
    errors: list[LineError] = []
    for number, line in _lines(text):
        point = _plain(line, heads, shapes, unit)
        if point is None:
            odd = line.removesuffix("\r").lstrip(_BLANK)
            if not odd or odd[0] == "#":
                continue
            try:
                point = _exact(odd, heads, unit, default)
            except _Refused as refused:
                errors.append(LineError(number, refused.offset + 1 + line.index(odd), refused.why, odd))
                continue
        points.append(point)
    return Decoded(points, errors)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Cut a body into lines with their numbers; a string may hold line ends."""
    if '"' not in text and "\\" not in text:
        yield from enumerate(text.split("\n"), 1)
        return
    start, number = 0, 1
    while start < len(text):
        end = text.find("\n", start)
        line = text[start:] if end < 0 else text[start:end]
        if '"' in line or "\\" in line:
            end = _line_end(text, start)
            line = text[start:end]
        yield number, line
        if end < 0:
            return
        number += line.count("\n") + 1
        start = end + 1


def _line_end(text: str, start: int) -> int:
    """Find the line end that is neither escaped nor in a string (a quote opens one only after a field's ``=``)."""
    in_fields = quoted = False
    values = commas = 0
    for token in _SCANNED.finditer(text, start):
        what = token[0]
        if what == "\n" and not quoted:
            return token.start()
        if what[0] == "\\":
            # an escape needs a character after it, or the body's last line end would be swallowed
            if what == "\\\n" and token.end() == len(text):
                return token.start() + 1
        elif what == '"':
            quoted ^= in_fields and values > commas
        elif what == " ":
            in_fields = True
        elif in_fields and not quoted:
            values += what == "="
            commas += what == ","
    return len(text)


def _plain(line: str, heads: Heads, shapes: "_Shapes", unit: int) -> Point | None:
    """Read the common kind of line: plain names, plain numbers, a time. None: look closer."""
    parts = line.split(" ")
    if len(parts) != 3 or len(line) > _PLAIN_MAX:  # noqa: PLR2004 - head, fields, time
        return None
    name, block, stamp = parts
    head = heads.known.get(name) or _plain_head(name, heads)
    if head is None or not (stamp.isdecimal() and stamp.isascii()):
        return None
    time = int(stamp) * unit
    if time > _TIME_MAX:
        return None
    fields = shapes.read(head[0], block)
    return Point(head[0], head[1], fields, time) if fields else None


class _Shapes:
    """The shapes of one body's blocks of fields, by measurement and number of fields.

    Making one costs as much as reading hundreds of fields: a body that never repeats itself must not make many.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], _Shape | None] = {}
        self._left = _SHAPES_MAX

    def read(self, measurement: str, block: str) -> dict[str, Value] | None:
        """Read a plain block of fields. None: look closer."""
        like = measurement, block.count(",")
        shape = self._known.get(like)
        found = shape.pattern.fullmatch(block) if shape else None
        if shape and found:
            return shape.read(found.groups())
        if not _PLAIN_FIELDS.fullmatch(block):
            return None
        pairs = [pair.partition("=") for pair in block.split(",")]
        if like not in self._known:
            self._known[like] = None
        elif len(block) <= min(_SHAPE_MAX, self._left):
            self._left -= len(block)
            self._known[like] = _Shape(pairs)
        return {name: int(value[:-1]) if value[-1] == "i" else float(value) for name, _, value in pairs}


class _Shape:
    """The names and kinds of a plain block of fields, which the next line of a measurement mostly has too."""

    __slots__ = ("_converters", "_names", "pattern")

    def __init__(self, pairs: Sequence[tuple[str, str, str]]) -> None:
        whole = [value[-1] == "i" for _, _, value in pairs]
        self._names = [name for name, _, _ in pairs]
        self._converters: type[int | float] | list[type[int | float]] = [int if one else float for one in whole]
        if len(set(whole)) == 1:
            self._converters = self._converters[0]
        self.pattern = re.compile(
            ",".join(
                f"{re.escape(name)}={_PLAIN_INTEGER if one else _PLAIN_REAL}"
                for name, one in zip(self._names, whole, strict=True)
            )
        )

    def read(self, texts: Sequence[str]) -> dict[str, Value]:
        """Read the values."""
        convert = self._converters
        if isinstance(convert, list):
            return dict(zip(self._names, [to(text) for to, text in zip(convert, texts, strict=True)], strict=True))
        return dict(zip(self._names, map(convert, texts), strict=True))


def _plain_head(name: str, heads: Heads) -> Head | None:
    measurement, *pairs = name.split(",")
    if not measurement or measurement[0] in "#\t\0" or "\\" in name:
        return None
    tags: dict[str, str] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if not key or not value or "=" in value or key in tags or key in _RESERVED_TAGS:
            return None
        tags[key] = value
    heads.add(name, (measurement, tags))
    return measurement, tags


def _exact(line: str, heads: Heads, unit: int, default: int) -> Point:
    head, end = _head(line)
    name = line[:end]
    size = len(name.encode())
    block = _skip(line, end)
    fields, end = _fields(line, block)
    longest = max(len(key.encode()) for key in fields) + 4
    if size + longest > _KEY_MAX:
        raise _Refused(0, f"max key length exceeded: {size + longest} > {_KEY_MAX}")
    heads.add(name, head)
    return Point(head[0], head[1], fields, _time(line, _skip(line, end), unit, default))


def _skip(line: str, at: int) -> int:
    while at < len(line) and line[at] in _BLANK:
        at += 1
    return at


def _head(line: str) -> tuple[Head, int]:
    """Read measurement and tags; return them and the offset of the space after them."""
    if line[0] == ",":
        raise _Refused(0, "missing measurement")
    found = _NAME_END.search(line, 1)
    if found is None:
        raise _Refused(len(line), "missing fields")
    measurement = _ESCAPED_NAME.sub(r"\1", line[: found.start()])
    tags: dict[str, str] = {}
    while found[0] == ",":
        start = found.end()
        key, value, found = _tag(line, start)
        if key in tags:
            raise _Refused(start, "duplicate tags")
        if key in _RESERVED_TAGS:
            raise _Refused(start, f'cannot use reserved tag key "{key}"')
        tags[key] = value
    return (measurement, tags), found.start()


def _tag(line: str, start: int) -> tuple[str, str, re.Match[str]]:
    """Read one tag; return key, value and the comma or space after it."""
    if line[start : start + 1] in {"", ",", "=", " "}:
        raise _Refused(start, "missing tag key")
    equals = _KEY_END.search(line, start + 1)
    if equals is None or equals[0] != "=":
        raise _Refused(equals.start() if equals else len(line), "missing tag value")
    if line[equals.end() : equals.end() + 1] in {"", ",", " "}:
        raise _Refused(equals.end(), "missing tag value")
    found = _KEY_END.search(line, equals.end() + 1)
    if found is None:
        raise _Refused(len(line), "missing fields")
    if found[0] == "=":
        raise _Refused(found.start(), "invalid tag format")
    key, value = line[start : equals.start()], line[equals.end() : found.start()]
    return _ESCAPED_KEY.sub(r"\1", key), _ESCAPED_KEY.sub(r"\1", value), found


def _fields(line: str, at: int) -> tuple[dict[str, Value], int]:
    """Read the fields from ``at``; return them and the offset after the last."""
    fields: dict[str, Value] = {}
    while True:
        end = _end_of(_FIELD_KEY, line, at)
        if line[end : end + 1] != "=" or (end > at and line[end - 1] == "\\"):
            raise _Refused(end, "invalid field format")
        if end == at:
            raise _Refused(at, "missing field key")
        key = _ESCAPED_FIELD.sub(r"\1", line[at:end])
        fields[key], at = _read_value(line, end + 1)
        if line[at : at + 1] != ",":
            return fields, at
        at += 1


def _read_value(line: str, at: int) -> tuple[Value, int]:
    if line[at : at + 1] == '"':
        end = _end_of(_STRING, line, at + 1)
        if line[end : end + 1] != '"':
            raise _Refused(at, "unbalanced quotes")
        if line[end + 1 : end + 2] not in {"", ",", " "}:
            raise _Refused(end + 1, "invalid field format")
        return _ESCAPED_STRING.sub(r"\1", line[at + 1 : end]), end + 1
    end = _end_of(_WORD, line, at)
    word = line[at:end]
    if not word:
        raise _Refused(at, "missing field value")
    if word in _BOOLEANS:
        return _BOOLEANS[word], end
    number = _NUMBER.fullmatch(word)
    if number is None:
        raise _Refused(at, _not_a_number(word))
    signed, unsigned, real = number.groups()
    if real is not None:
        value = float(real)
        if not -inf < value < inf:
            raise _Refused(at, "invalid float")
        return value, end
    # int() of a long run of digits is slow, and refused beyond 4,300
    digits = (signed or unsigned).lstrip("-").lstrip("0")
    kind, limit = ("integer", _INT_MAX + (word[0] == "-")) if signed else ("unsigned", _UINT_MAX)
    if len(digits) > 20 or int(digits or "0") > limit:  # noqa: PLR2004 - 2**64 has 20 digits
        raise _Refused(at, f"unable to parse {kind} {word[:-1]}: value out of range")
    return (int(digits or "0") * (-1 if word[0] == "-" else 1) if signed else UInt(digits or "0")), end


def _not_a_number(word: str) -> str:
    if word[0] not in "0123456789.-nN":
        return "invalid boolean"
    return "invalid float" if _EXPONENT.fullmatch(word) else "invalid number"


def _end_of(pattern: re.Pattern[str], line: str, at: int) -> int:
    found = pattern.match(line, at)
    return found.end() if found else at


def _time(line: str, at: int, unit: int, default: int) -> int:
    rest = line[at:].rstrip(" ")
    if not rest:
        return default
    word, _, more = rest.partition(" ")
    if not _TIME.fullmatch(word):
        raise _Refused(at, "bad timestamp")
    if more:
        raise _Refused(at + len(word) + 1, "point is invalid")
    # 18 digits of hours are far beyond the range already
    time = int(word) * unit if len(word) <= 40 else _TIME_MAX + 1  # noqa: PLR2004 - leading zeros are fine
    if not -_TIME_MAX <= time <= _TIME_MAX:
        raise _Refused(at, f"time outside range -{_TIME_MAX} - {_TIME_MAX}")
    return time
