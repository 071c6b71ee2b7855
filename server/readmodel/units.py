"""The unit in which a chart shows its numbers, as the catalogue of fields knows it."""

from typing import Final

import msgspec

from collectors.catalogue import Catalogue
from server.readmodel.charts import Chart, Line
from server.store import RATES, Aggregate

# units that are shown in another one, with its factor: prefixes and words of time are chosen by the size of a number
_SHOWN_AS: Final = {
    "KiB": ("B", 1024.0),
    "KiB/s": ("B/s", 1024.0),
    "Mbit/s": ("bit/s", 1e6),
    "ms": ("s", 1e-3),
    "us": ("s", 1e-6),
    "ns": ("s", 1e-9),
    "min": ("s", 60.0),
    "h": ("s", 3600.0),
}
_PLAIN: Final = frozenset({"count", "number", "code", "text"})
_BITS: Final = 8.0


class Unit(msgspec.Struct, frozen=True):
    """A unit of a chart, "" for a plain number; values times ``factor`` are in it."""

    name: str = ""
    factor: float = 1.0


def unit_of(catalogue: Catalogue, chart: Chart) -> Unit:
    """Return the unit of a chart: that of its first line, since all lines of one chart are of one kind."""
    return unit_of_line(catalogue, chart.lines[0])


def unit_of_line(catalogue: Catalogue, line: Line) -> Unit:
    """Return the unit of one line; a plain number for fields that Pantau does not write."""
    field = catalogue.field(line.measurement, line.field)
    if field is None or line.aggregate is Aggregate.COUNT:
        return Unit()
    name, factor = ("", 1.0) if field.unit in _PLAIN else _SHOWN_AS.get(field.unit, (field.unit, 1.0))
    if line.aggregate not in RATES:
        return Unit(name, factor)
    if name == "B" and line.scale == _BITS:
        return Unit("bit/s", factor)
    # seconds a second are a share of time
    return Unit("" if name == "s" else f"{name}/s", factor)
