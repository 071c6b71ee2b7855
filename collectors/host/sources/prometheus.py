"""Read the text format of Prometheus (version 0.0.4), as programs leave it for node_exporter's textfile collector."""

import re
from collections.abc import Iterator
from typing import Final

from collectors.point import Point, Value

_TYPE: Final = re.compile(r"#\s*TYPE\s+(\S+)\s+(\w+)")
_SAMPLE: Final = re.compile(r"([a-zA-Z_:][\w:]*)\s*(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*")
_LABEL: Final = re.compile(r'\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPES: Final = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
_RESERVED: Final = "host"
_OF_PARTS: Final = {"summary": "quantile", "histogram": "le"}

Series = tuple[str, tuple[tuple[str, str], ...]]


def read(text: str, now: int) -> list[Point]:
    """Return the samples as Telegraf writes them: measurement = metric, tags = labels, one field named after the type.

    The field is ``counter``, ``gauge`` or ``value``; of summaries and histograms ``sum``, ``count`` and one field for each
    quantile or bucket. Times in the file are not looked at. ValueError says which line is wrong.
    """
    types: dict[str, str] = {}
    series: dict[Series, dict[str, Value]] = {}
    for number, line in enumerate(map(str.strip, text.split("\n")), 1):
        if match := _TYPE.match(line):
            types[match[1]] = match[2]
        elif line and not line.startswith("#"):
            if not (match := _SAMPLE.fullmatch(line)):
                raise ValueError(f"line {number} is no sample: {line[:80]!r}")
            try:
                name, labels, value = match[1], dict(_labels(match[2] or "")), float(match[3])
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
            measurement, field = _place(name, labels, types)
            series.setdefault((measurement, tuple(sorted(labels.items()))), {})[field] = value
    return [Point(name, dict(labels), fields, now) for (name, labels), fields in series.items()]


def _labels(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text.rstrip()):
        match = _LABEL.match(text, at)
        if not match:
            raise ValueError(f"labels are wrong at {text[at : at + 40]!r}")
        at = match.end()
        value = re.sub(r"\\.", lambda escape: _ESCAPES.get(escape[0], escape[0]), match[2])
        if value:
            yield "exported_host" if match[1] == _RESERVED else match[1], value


def _place(name: str, labels: dict[str, str], types: dict[str, str]) -> tuple[str, str]:
    """Return measurement and field of a sample; takes the label away that became the field."""
    for suffix in ("_sum", "_count", "_bucket"):
        whole = name.removesuffix(suffix)
        if whole != name and types.get(whole) in _OF_PARTS:
            return whole, labels.pop("le", suffix) if suffix == "_bucket" else suffix[1:]
    kind = types.get(name, "untyped")
    if kind == "summary":
        return name, labels.pop("quantile", "value")
    return name, kind if kind in {"counter", "gauge"} else "value"
