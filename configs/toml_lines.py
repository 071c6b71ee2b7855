"""Where each key of a TOML text stands, so that a message can point at it; the parser of the standard library does not tell."""

import re
from typing import Final

Place = tuple[str | int, ...]

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
_KEY: Final = re.compile(r"""\s*([A-Za-z0-9_\-."' ]+?)\s*=""")


def positions(text: str) -> dict[Place, int]:
    """Map each key's place to its line, by reading headers and ``key =`` lines; good enough to point with."""
    lines: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    table: Place = ()
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        if fence:
            fence = "" if fence in line else fence
            continue
        if header := _HEADER.fullmatch(line):
            table = _resolve(_names(header[2]), counts, new=header[1] == "[[")
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            place = table + _names(key[1])
            lines.setdefault(place, number)
            fence = next((mark for mark in ('"""', "'''") if line.count(mark) == 1), "")
    return lines


def _resolve(names: Place, counts: dict[Place, int], *, new: bool) -> Place:
    """Add to a header's names the index of each list of tables on the way."""
    place: Place = ()
    for position, name in enumerate(names):
        place = (*place, name)
        last = position == len(names) - 1
        if last and new:
            counts[place] = counts.get(place, -1) + 1
        if place in counts:
            place = (*place, counts[place])
    return place


def _names(dotted: str) -> Place:
    return tuple(part.strip().strip("\"'") for part in re.findall(r"""\s*(?:"[^"]*"|'[^']*'|[^."']+)\s*""", dotted))
