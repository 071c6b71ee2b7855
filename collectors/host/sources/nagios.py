"""What a Nagios plug-in says. Source: "Monitoring Plugins Development Guidelines" (output, performance data, ranges)."""

import math
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from collectors.point import Value

UNKNOWN: Final = 3
_NUMBER: Final = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_PERFDATA: Final = re.compile(r"(?:'((?:[^']|'')+)'|([^\s='|]+))=([^;\s]*)((?:;[^;\s]*){0,4})")
_VALUE: Final = re.compile(rf"({_NUMBER})([a-zA-Zµ%]*)")
_RANGE: Final = re.compile(rf"(@?)(?:(~|{_NUMBER})?(:))?({_NUMBER})?")
_THRESHOLDS: Final = ("warning", "critical")
_LIMITS: Final = ("min", "max")


class Output(msgspec.Struct, frozen=True):
    """One plug-in's output: its first line, the further ones, and performance data as they were written."""

    text: str
    more: str
    perfdata: str


class Perfdata(msgspec.Struct, frozen=True):
    """One figure; ``fields`` as Telegraf names them: ``value``, ``min``, ``max``, ``warning_lt`` and the like."""

    label: str
    unit: str
    fields: dict[str, Value]


def split(out: str) -> Output:
    """Parse a plug-in's output: what follows the first ``|`` of the first line, or of the others, is performance data."""
    first, _, rest = out.partition("\n")
    text, _, perfdata = first.partition("|")
    more, _, further = rest.partition("|")
    return Output(text.strip(), more.strip(), f"{perfdata} {further}".strip())


def perfdata(text: str) -> Iterator[Perfdata]:
    """Yield the figures; one without a number (``U``) or without sense is left out.

    A threshold ``start:end`` alerts outside (``_lt`` start, ``_gt`` end), ``@start:end`` inside (``_ge``, ``_le``). Unlike
    in Telegraf, a side without a bound has no field (there: the largest float), and ``@10:20`` starts at 10 (there: 0).
    """
    for quoted, plain, written, rest in _PERFDATA.findall(text):
        value = _VALUE.fullmatch(written)
        if value is None:
            continue
        fields: dict[str, Value] = {"value": float(value[1])}
        parts = [*rest.split(";")[1:], "", "", "", ""]
        for name, threshold in zip(_THRESHOLDS, parts, strict=False):
            fields |= _bounds(name, threshold)
        for name, limit in zip(_LIMITS, parts[2:], strict=False):
            if re.fullmatch(_NUMBER, limit):
                fields[name] = float(limit)
        yield Perfdata(quoted.replace("''", "'") or plain, value[2], fields)


def _bounds(name: str, threshold: str) -> dict[str, Value]:
    match = _RANGE.fullmatch(threshold)
    if match is None or not (match[3] or match[4]):
        return {}
    inside, start, _, end = match.groups()
    low = -math.inf if start == "~" else float(start or 0)
    high = math.inf if end is None else float(end)
    below, above = ("ge", "le") if inside else ("lt", "gt")
    return {f"{name}_{side}": bound for side, bound in ((below, low), (above, high)) if math.isfinite(bound)}
