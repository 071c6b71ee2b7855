"""The names of points as any other database would see them, after the way through line protocol."""

import re
from typing import Final

from collectors.lineparser import RefusedLine, parse
from collectors.lineprotocol import RESERVED_TAGS, encode
from collectors.point import Point
from server.store import Rejected

_NAMES_MAX: Final = 100_000
_PLAIN_NAMES: Final = re.compile(
    r"[!#-+.-<>-\[\]-~-]+"
)  # printable ASCII but blank, quote, comma, equals sign, backslash
_PLAIN_MAX: Final = 1_000


def cleaned(point: Point) -> Point | Rejected | None:
    """Return a point with such names; None when line protocol leaves it out, Rejected when it is refused."""
    if _is_clean(point):
        return point
    line = encode([Point(point.measurement, point.tags, {"f": True}, 0)]).decode().removesuffix("\n")
    if not line:
        return None
    try:
        return parse(line, unit=1, default=0)[0]
    except RefusedLine as refused:
        return Rejected(point.measurement, "", refused.why)


class FieldNames:
    """Names of fields by what they came as."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def clean(self, raw: str) -> str:
        """Give the name of a field the form that line protocol would; "" when it has none."""
        if raw not in self._names:
            if len(self._names) >= _NAMES_MAX:
                self._names.clear()
            line = encode([Point("m", {}, {raw: True}, 0)]).decode().removesuffix("\n")
            self._names[raw] = _field_name(line) if line else ""
        return self._names[raw]


def _is_clean(point: Point) -> bool:
    """Return whether line protocol surely gives back measurement and tags as they are."""
    names = (point.measurement, *point.tags, *point.tags.values())
    text = "".join(names)
    return (
        all(names)
        and _PLAIN_NAMES.fullmatch(text) is not None
        and text[0] != "#"
        and len(text) <= _PLAIN_MAX
        and RESERVED_TAGS.isdisjoint(point.tags)
    )


def _field_name(line: str) -> str:
    try:
        (name,) = parse(line, unit=1, default=0)[0].fields
    except RefusedLine:
        return ""
    return name
