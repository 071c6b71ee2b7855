r"""InfluxDB line protocol, written: ``measurement,tag=value field=1.5,count=3i 1700000000000000000``.

Source: InfluxDB's reference "Line protocol", and where that is silent, what InfluxDB 2.7 does (measured; the tests ask it).

Writing never makes an invalid line. What the protocol cannot say is changed as little as possible: in names and tags a
line end or tab becomes the two characters ``\n``, ``\r``, ``\t``; a lone surrogate (a file name that is not UTF-8) becomes its
escape, e.g. ``\udce9``. Of backslashes in a row before what needs escaping, or at the end, the last becomes ``/`` where it
cannot be said (measured with InfluxDB 1.6.7 too): at an end always; in a measurement always; in the name of a field when they
are odd in number; in a tag only where InfluxDB would then not find the end of the line. Tags and fields with a name that
InfluxDB keeps for itself get a ``_`` behind it (``time_``, ``_field_``), since leaving out a tag would make two series one;
where a tag or field has that name already, it stays and the other is left out.

``linereader`` reads it; an agent mostly does without, which saves it 0.4 MB.
"""

import re
from collections.abc import Callable, Iterable
from math import inf
from typing import Final, NamedTuple

from collectors.point import Point, UInt, Value

RESERVED_TAGS: Final = frozenset({"time", "_field", "_measurement", "\0"})
RESERVED_FIELD: Final = "time"

_INT_MAX: Final = 2**63 - 1
_INT_MIN: Final = -(2**63)
_UINT_MAX: Final = 2**64 - 1
_ODD: Final = re.compile(r"[\\,= \n\r\t\0]")
_LAST: Final = re.compile(r"\\\Z")
_BEFORE_MARK: Final = re.compile(r"\\(?=[,= ]|\Z)")
# InfluxDB 1 unescapes = and " in a measurement, though nothing there escapes them
_IN_MEASUREMENT: Final = re.compile(r'\\(?=[,= "]|\Z)')
# a pair of backslashes hides none of what follows it from who looks for the end of the field's name
_IN_FIELD: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\(?=[,= ]|\Z)|\\\Z")
# what such a pair leaves bare in written tags
_BARE: Final = re.compile(r"(?<!\\)(?:\\\\)+([,= ])")
_BEFORE_QUOTE: Final = re.compile(r'\\(?=")')
_NAME_ESCAPES: Final = str.maketrans({"\n": r"\n", "\r": r"\r", "\t": r"\t", "\0": "\ufffd", ",": r"\,", " ": r"\ "})
_KEY_ESCAPES: Final = {**_NAME_ESCAPES, ord("="): r"\="}
_STRING_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\""})


def encode(points: Iterable[Point], *, unsigned: bool = False) -> bytes:
    r"""Write points as lines, each ended by ``\n``: tags sorted, times in nanoseconds.

    Left out are empty names, empty tags, numbers that are not finite or do not fit their 64 bits (what is larger stands for
    *no limit* or *unknown*, and its neighbour would be believed), and points without a field left. ``UInt`` is written as
    ``u`` only when ``unsigned``, else as ``i`` (Telegraf's habit: InfluxDB 1 refuses ``u``). TypeError names a field whose
    value is none of float, int, bool and str.
    """
    names = _Names(_Escaped(_tag), _Escaped(_field))
    lines = [line for point in points if (line := _line(point, names, unsigned=unsigned))]
    return "".join(lines).encode("utf-8", "backslashreplace")


class _Escaped(dict[str, str]):
    """Names as they are written; each is looked at once a batch."""

    def __init__(self, escape: Callable[[str], str]) -> None:
        super().__init__()
        self._escape = escape

    def __missing__(self, name: str) -> str:
        text = self._escape(name) if _ODD.search(name) else name
        self[name] = text
        return text


class _Names(NamedTuple):
    """Names and values of tags, and names of fields, as they are written."""

    tags: _Escaped
    fields: _Escaped


def _tag(name: str) -> str:
    return _LAST.sub("/", name).translate(_KEY_ESCAPES)


def _careful_tag(name: str) -> str:
    return _BEFORE_MARK.sub("/", name).translate(_KEY_ESCAPES)


def _field(name: str) -> str:
    name = _IN_FIELD.sub(r"\1/", name)
    return _BEFORE_QUOTE.sub(r"\\\\", name).translate(_KEY_ESCAPES)


def _line(point: Point, names: _Names, *, unsigned: bool) -> str:
    if RESERVED_FIELD in point.fields or not RESERVED_TAGS.isdisjoint(point.tags):
        point = _renamed(point)
    fields = []
    keys = names.fields
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
    head = _head(point, names.tags)
    if "\\\\" in head and _hides_end(head, point.fields):
        head = _head(point, _Escaped(_careful_tag))
    return f"{head} {','.join(fields)} {point.time}\n"


def _head(point: Point, texts: _Escaped) -> str:
    head = _measurement(point.measurement)
    if point.tags:
        tags = {texts[key]: texts[value] for key, value in sorted(point.tags.items()) if key and value}
        head = ",".join([head, *[f"{key}={value}" for key, value in tags.items()]])
    return head


def _hides_end(head: str, fields: Iterable[str]) -> bool:
    """Return whether who looks for the end of the line would see fields begin in ``head`` and then count quotes wrongly."""
    marks = set(_BARE.findall(head))
    return " " in marks and (len(marks) > 1 or '"' in head or any('"' in key for key in fields))


def _renamed(point: Point) -> Point:
    """Return the point with other names for what may not be named so."""
    tags = {f"{key}_": value for key, value in point.tags.items() if key in RESERVED_TAGS}
    tags |= {key: value for key, value in point.tags.items() if key not in RESERVED_TAGS}
    fields = {f"{key}_": value for key, value in point.fields.items() if key == RESERVED_FIELD}
    fields |= {key: value for key, value in point.fields.items() if key != RESERVED_FIELD}
    return Point(point.measurement, tags, fields, point.time)


def _measurement(name: str) -> str:
    if _ODD.search(name):
        name = _IN_MEASUREMENT.sub("/", name).translate(_NAME_ESCAPES)
    return f"_{name[1:]}" if name[0] == "#" else name  # a line that starts with # is a comment


def _value(key: str, value: Value, *, unsigned: bool) -> str:
    if isinstance(value, float):
        return repr(value) if -inf < value < inf else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, UInt) and unsigned:
        return f"{value}u" if 0 <= value <= _UINT_MAX else ""
    if isinstance(value, int):
        return f"{value}i" if _INT_MIN <= value <= _INT_MAX else ""
    if isinstance(value, str):
        return f'"{value.translate(_STRING_ESCAPES)}"'
    raise TypeError(f"field {key!r} holds a {type(value).__name__}, not a float, int, bool or str")
