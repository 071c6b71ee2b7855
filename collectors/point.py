"""Point: one measurement at one instant, the only shape in which numbers travel."""

from collections.abc import Mapping

import msgspec


class UInt(int):
    """An unsigned 64-bit field value; a plain int is InfluxDB's signed integer."""

    __slots__ = ()


Value = float | int | bool | str


class Point(msgspec.Struct, frozen=True):
    """One measurement at one instant.

    ``tags`` name the series (text to text, host not included until the agent adds it), ``fields`` hold at least one value,
    ``time`` is nanoseconds since the Unix epoch, UTC. Names and units follow Telegraf where it has them.
    """

    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, Value]
    time: int
