"""The catalogue: what each measurement and field that Pantau writes means, in which unit and type.

The data stand in ``catalogue.toml`` beside this file. ``read()`` reads them once for whoever shows numbers to people; the
agent never does.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import msgspec

from collectors.point import Value
from configs.read import Source

Kind = Literal["float", "int", "bool", "text"]
Unit = Literal[
    "%", "B", "KiB", "KiB/s", "Mbit/s", "bit/s", "s", "ms", "us", "ns", "min", "h",
    "ppm", "°C", "V", "A", "W", "J", "rpm", "count", "number", "code", "text",
]  # fmt: skip


class Meaning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What something is, in Indonesian and English."""

    id: str
    en: str


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One field. ``grows``: a counter that only grows until a restart, so that its rate is what one looks at."""

    type: Kind
    unit: Unit
    id: str
    en: str
    grows: bool = False


class Measurement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measurement: its meaning, and its tags and fields by name (without the tag ``host``).

    A field's name with a ``*`` in it stands for the fields that fit and have no entry of their own; the first one counts.
    """

    id: str
    en: str
    fields: Mapping[str, Field]
    tags: Mapping[str, Meaning] = {}


class Catalogue:
    """All measurements, to be looked up."""

    def __init__(self, measurements: Mapping[str, Measurement]) -> None:
        self.measurements = measurements

    def measurement(self, name: str) -> Measurement | None:
        """Return a measurement; None when Pantau does not write it (another client's series)."""
        return self.measurements.get(name)

    def field(self, measurement: str, name: str) -> Field | None:
        """Return a field of a measurement; None when Pantau does not write it."""
        found = self.measurements.get(measurement)
        if found is None or name in found.fields:
            return found.fields[name] if found else None
        return next(
            (field for pattern, field in found.fields.items() if "*" in pattern and fnmatchcase(name, pattern)), None
        )


def read() -> Catalogue:
    """Read the catalogue that came with this version of Pantau. Reads a file: not for the event loop."""
    source = Source.read(Path(__file__).with_suffix(".toml"))
    return Catalogue(source.parse(dict[str, Measurement]))


def kind(value: Value) -> Kind:
    """Return the type that a field with this value has."""
    match value:
        case bool():
            return "bool"
        case float():
            return "float"
        case int():
            return "int"
        case str():
            return "text"
