r"""InfluxDB line protocol, written: ``measurement,tag=value field=1.5,count=3i 1700000000000000000``.

Source: InfluxDB's reference "Line protocol", and where that is silent, what InfluxDB 2.7 does (measured; the tests ask it).

Writing never makes an invalid line. What the protocol cannot say is changed as little as possible: in names and tags a
line end or tab becomes the two characters ``\n``, ``\r``, ``\t``; a backslash at the end, or before a character that needs
escaping, becomes ``/``; a lone surrogate (a file name that is not UTF-8) becomes its escape, e.g. ``\udce9``. Tags and fields with a name
that InfluxDB keeps for itself get a ``_`` behind it (``time_``, ``_field_``), since leaving out a tag would make two series one;
where a tag or field has that name already, it stays and the other is left out.

``linereader`` reads it; an agent mostly does without, which saves it 0.4 MB.
"""

import re
from collections.abc import Iterable
from math import inf
from typing import Final

from collectors.point import Point, UInt, Value

RESERVED_TAGS: Final = frozenset({"time", "_field", "_measurement", "\0"})
RESERVED_FIELD: Final = "time"

_INT_MAX: Final = 2**63 - 1
_INT_MIN: Final = -(2**63)
_UINT_MAX: Final = 2**64 - 1
_ODD: Final = re.compile(r"[\\,= \n\r\t\0]")
_DANGLING: Final = re.compile(r"\\+(?=[,= ]|\Z)")
_NAME_ESCAPES: Final = str.maketrans({"\n": r"\n", "\r": r"\r", "\t": r"\t", "\0": "\ufffd", ",": r"\,", " ": r"\ "})
_KEY_ESCAPES: Final = {**_NAME_ESCAPES, ord("="): r"\="}
_STRING_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\""})


def encode(points: Iterable[Point], *, unsigned: bool = False) -> bytes:
    r"""Write points as lines, each ended by ``\n``: tags sorted, times in nanoseconds.

    Left out are empty names, empty tags, numbers that are not finite, and points without a field left. Integers beyond 64
    bits become the nearest that fits. ``UInt`` is written as ``u`` only when ``unsigned``, else as ``i`` (Telegraf's habit:
    InfluxDB 1 refuses ``u``). TypeError names a field whose value is none of float, int, bool and str.
    """
    keys = _Escaped()
    lines = [line for point in points if (line := _line(point, keys, unsigned=unsigned))]
    return "".join(lines).encode("utf-8", "backslashreplace")


class _Escaped(dict[str, str]):
    """Names as they are written; each is looked at once a batch."""

    def __missing__(self, name: str) -> str:
        text = _DANGLING.sub(_slashes, name).translate(_KEY_ESCAPES) if _ODD.search(name) else name
        self[name] = text
        return text


def _slashes(match: re.Match[str]) -> str:
    return "/" * len(match[0])


def _line(point: Point, keys: _Escaped, *, unsigned: bool) -> str:
    if RESERVED_FIELD in point.fields or not RESERVED_TAGS.isdisjoint(point.tags):
        point = _renamed(point)
    fields = []
    for key, value in point.fields.items():
        # nearly all values are one of these two, and a call costs more than the text
        if type(value) is int and _INT_MIN <= value <= _INT_MAX:
            text = f"{value}i"
        elif type(value) is float and -inf < value < inf:
            text = repr(value)
        else:
            text = _value(key, value, unsigned=unsigned)
        if text and key:
            fields.append(f"{keys[key]}={text}")
    if not fields or not point.measurement:
        return ""
    head = _measurement(point.measurement)
    if point.tags:
        tags = {keys[key]: keys[value] for key, value in sorted(point.tags.items()) if key and value}
        head = ",".join([head, *[f"{key}={value}" for key, value in tags.items()]])
    return f"{head} {','.join(fields)} {point.time}\n"


def _renamed(point: Point) -> Point:
    """Return the point with other names for what may not be named so."""
    tags = {f"{key}_": value for key, value in point.tags.items() if key in RESERVED_TAGS}
    tags |= {key: value for key, value in point.tags.items() if key not in RESERVED_TAGS}
    fields = {f"{key}_": value for key, value in point.fields.items() if key == RESERVED_FIELD}
    fields |= {key: value for key, value in point.fields.items() if key != RESERVED_FIELD}
    return Point(point.measurement, tags, fields, point.time)


def _measurement(name: str) -> str:
    if _ODD.search(name):
        name = _DANGLING.sub(_slashes, name).translate(_NAME_ESCAPES)
    return f"_{name[1:]}" if name[0] == "#" else name  # a line that starts with # is a comment


def _value(key: str, value: Value, *, unsigned: bool) -> str:
    if isinstance(value, float):
        return repr(value) if -inf < value < inf else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, UInt) and unsigned:
        return f"{min(max(value, 0), _UINT_MAX)}u"
    if isinstance(value, int):
        return f"{min(max(value, _INT_MIN), _INT_MAX)}i"
    if isinstance(value, str):
        return f'"{value.translate(_STRING_ESCAPES)}"'
    raise TypeError(f"field {key!r} holds a {type(value).__name__}, not a float, int, bool or str")
