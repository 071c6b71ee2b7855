"""One line of InfluxDB line protocol, read to the letter: what ``linereader`` does not know by heart.

Reading accepts what InfluxDB accepts, except what it would store mangled: text after a closing quote, a field name that is
empty or ends in two backslashes. Of a field that stands twice in a line the last counts, also where its two values have two types
(InfluxDB refuses such a point as a conflict).
"""

import re
from math import inf
from typing import Final

from collectors.lineprotocol import RESERVED_TAGS
from collectors.point import Point, UInt, Value

TIME_MAX: Final = 2**63 - 2
BLANK: Final = " \t\0"

_INT_MAX: Final = 2**63 - 1
_UINT_MAX: Final = 2**64 - 1
_KEY_MAX: Final = 65535  # bytes of measurement, tags and a field's name, joined by 4 more
_NAME_END: Final = re.compile(r"(?<!\\)[, ]")
_KEY_END: Final = re.compile(r"(?<!\\)[,= ]")
_FIELD_KEY: Final = re.compile(r"(?:[^\\,= ]+|\\.|\\\Z)*", re.DOTALL)
_STRING: Final = re.compile(r'(?:[^\\"]+|\\.)*', re.DOTALL)
_WORD: Final = re.compile(r"[^, ]*")
_NUMBER: Final = re.compile(r"(-?[0-9]+)i|([0-9]+)u|(-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)")
_EXPONENT: Final = re.compile(r"-?[0-9.]+[eE][-+0-9.eE]*")
_TIME: Final = re.compile(r"-?[0-9]+")
_ESCAPED_NAME: Final = re.compile(r"\\([, ])")
_ESCAPED_KEY: Final = re.compile(r"\\([,= ])")
_ESCAPED_FIELD: Final = re.compile(r'\\([,= "])')
_ESCAPED_STRING: Final = re.compile(r'\\([\\"])')
_BOOLEANS: Final = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), False),
}


class RefusedLine(Exception):
    """Why a line is refused, in InfluxDB's words, and the offset in it."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(why)
        self.offset = offset
        self.why = why


def parse(line: str, *, unit: int, default: int) -> tuple[Point, str]:
    """Read a line without blanks before it and without its end; return the point, and its head as it was written.

    ``unit`` is ns in one unit of time, ``default`` the time (ns) of a line without one. RefusedLine says what is wrong.
    """
    (measurement, tags), end = _head(line)
    name = line[:end]
    size = len(name.encode())
    block = _skip(line, end)
    fields, end = _fields(line, block)
    longest = max(len(key.encode()) for key in fields) + 4
    if size + longest > _KEY_MAX:
        raise RefusedLine(0, f"max key length exceeded: {size + longest} > {_KEY_MAX}")
    return Point(measurement, tags, fields, _time(line, _skip(line, end), unit, default)), name


def _skip(line: str, at: int) -> int:
    while at < len(line) and line[at] in BLANK:
        at += 1
    return at


def _head(line: str) -> tuple[tuple[str, dict[str, str]], int]:
    """Read measurement and tags; return them and the offset of the space after them."""
    if line[0] == ",":
        raise RefusedLine(0, "missing measurement")
    found = _NAME_END.search(line, 1)
    if found is None:
        raise RefusedLine(len(line), "missing fields")
    measurement = _ESCAPED_NAME.sub(r"\1", line[: found.start()])
    tags: dict[str, str] = {}
    while found[0] == ",":
        start = found.end()
        key, value, found = _tag(line, start)
        if key in tags:
            raise RefusedLine(start, "duplicate tags")
        if key in RESERVED_TAGS:
            raise RefusedLine(start, f'cannot use reserved tag key "{key}"')
        tags[key] = value
    return (measurement, tags), found.start()


def _tag(line: str, start: int) -> tuple[str, str, re.Match[str]]:
    """Read one tag; return key, value and the comma or space after it."""
    if line[start : start + 1] in {"", ",", "=", " "}:
        raise RefusedLine(start, "missing tag key")
    equals = _KEY_END.search(line, start + 1)
    if equals is None or equals[0] != "=":
        raise RefusedLine(equals.start() if equals else len(line), "missing tag value")
    if line[equals.end() : equals.end() + 1] in {"", ",", " "}:
        raise RefusedLine(equals.end(), "missing tag value")
    found = _KEY_END.search(line, equals.end() + 1)
    if found is None:
        raise RefusedLine(len(line), "missing fields")
    if found[0] == "=":
        raise RefusedLine(found.start(), "invalid tag format")
    key, value = line[start : equals.start()], line[equals.end() : found.start()]
    return _ESCAPED_KEY.sub(r"\1", key), _ESCAPED_KEY.sub(r"\1", value), found


def _fields(line: str, at: int) -> tuple[dict[str, Value], int]:
    """Read the fields from ``at``; return them and the offset after the last."""
    fields: dict[str, Value] = {}
    while True:
        end = _end_of(_FIELD_KEY, line, at)
        if line[end : end + 1] != "=" or (end > at and line[end - 1] == "\\"):
            raise RefusedLine(end, "invalid field format")
        if end == at:
            raise RefusedLine(at, "missing field key")
        key = _ESCAPED_FIELD.sub(r"\1", line[at:end])
        fields[key], at = _read_value(line, end + 1)
        if line[at : at + 1] != ",":
            return fields, at
        at += 1


def _read_value(line: str, at: int) -> tuple[Value, int]:
    if line[at : at + 1] == '"':
        end = _end_of(_STRING, line, at + 1)
        if line[end : end + 1] != '"':
            raise RefusedLine(at, "unbalanced quotes")
        if line[end + 1 : end + 2] not in {"", ",", " "}:
            raise RefusedLine(end + 1, "invalid field format")
        return _ESCAPED_STRING.sub(r"\1", line[at + 1 : end]), end + 1
    end = _end_of(_WORD, line, at)
    word = line[at:end]
    if not word:
        raise RefusedLine(at, "missing field value")
    if word in _BOOLEANS:
        return _BOOLEANS[word], end
    number = _NUMBER.fullmatch(word)
    if number is None:
        raise RefusedLine(at, _not_a_number(word))
    signed, unsigned, real = number.groups()
    if real is not None:
        value = float(real)
        if not -inf < value < inf:
            raise RefusedLine(at, "invalid float")
        return value, end
    # int() of a long run of digits is slow, and refused beyond 4,300
    digits = (signed or unsigned).lstrip("-").lstrip("0")
    kind, limit = ("integer", _INT_MAX + (word[0] == "-")) if signed else ("unsigned", _UINT_MAX)
    if len(digits) > 20 or int(digits or "0") > limit:  # noqa: PLR2004 - 2**64 has 20 digits
        raise RefusedLine(at, f"unable to parse {kind} {word[:-1]}: value out of range")
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
        raise RefusedLine(at, "bad timestamp")
    if more:
        raise RefusedLine(at + len(word) + 1, "point is invalid")
    # 18 digits of hours are far beyond the range already
    time = int(word) * unit if len(word) <= 40 else TIME_MAX + 1  # noqa: PLR2004 - leading zeros are fine
    if not -TIME_MAX <= time <= TIME_MAX:
        raise RefusedLine(at, f"time outside range -{TIME_MAX} - {TIME_MAX}")
    return time
