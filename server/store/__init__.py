"""The store of points: one protocol, one file per database; the one in use is picked by ``[store] type``.

Nobody outside this folder knows which database it is. Times are nanoseconds since the Unix epoch, UTC; ranges are half-open.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

import msgspec

from alerts.rules import Unreadable
from collectors.point import Point, Value
from configs.units import Duration

FUTURE_TOLERANCE: Final = Duration(600)


class StoreUnavailable(Unreadable):
    """The database cannot be reached or read now; try again. Never to be read as "no data"."""


class StoreFull(StoreUnavailable):
    """The disk that takes writes is full; what was acknowledged is there and can be read."""


class StoreDamaged(StoreUnavailable):
    """Files of the database are damaged, and waiting does not mend them; the message says which, and what does."""


class Aggregate(StrEnum):
    """What becomes of the values of one step.

    RATE and IRATE are what a counter grew by, a second; of several series, the sum. A value and the one before it in the range asked
    for are a pair, which belongs to the step of the later one. RATE is the growth of all pairs of a step by the time between their
    values, IRATE that of its last pair (the last two values). A counter that falls to less than half began again at zero: it grew by
    what it shows. One that falls by less was set back: that pair counts for nothing, neither growth nor time.
    Where only roll-ups are left they stand for values: a counter's growth is right, and least where it began again.
    """

    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    LAST = "last"
    SUM = "sum"
    COUNT = "count"
    RATE = "rate"
    IRATE = "irate"


RATES: Final = frozenset({Aggregate.RATE, Aggregate.IRATE})


class Rejected(msgspec.Struct, frozen=True):
    """One field that was not written, and why, in InfluxDB's words (``field type conflict: input field ...``)."""

    measurement: str
    field: str
    why: str


class Written(msgspec.Struct, frozen=True):
    """What became of a write: how many points went in, and the fields that did not (the rest of their points did)."""

    points: int
    rejected: Sequence[Rejected] = ()


class Latest(msgspec.Struct, frozen=True):
    """The newest value of each asked field of one series; ``time`` is the newest among them."""

    tags: Mapping[str, str]
    fields: Mapping[str, Value]
    time: int


class Spender(msgspec.Struct, frozen=True):
    """How many series a measurement has, and the tag with most values in them ("" when there are no tags)."""

    measurement: str
    series: int
    tag: str
    values: int


class Range(msgspec.Struct, frozen=True):
    """A question for one field over time.

    ``where`` keeps series with exactly these tag values; ``by`` groups by tags (several series of a group are merged);
    ``step`` is nanoseconds, its windows start at whole multiples of it since the epoch. Where a store has only roll-ups left, bounds move
    outward to theirs, and windows are as wide as the least multiple of ``step`` that roll-ups make up.
    """

    measurement: str
    field: str
    start: int
    end: int
    step: int
    aggregate: Aggregate = Aggregate.MEAN
    where: Mapping[str, str] = {}
    by: Sequence[str] = ()


class Series(msgspec.Struct, frozen=True):
    """One group's answer: window starts, ascending, and their values; a window without data is not there."""

    tags: Mapping[str, str]
    times: Sequence[int]
    values: Sequence[float]


class Deletion(msgspec.Struct, frozen=True):
    """Points to delete: of a measurement, of the series with exactly these tag values, in ``[start, end)``.

    Of roll-ups whose values are gone only those go that lie whole in it.
    """

    measurement: str
    where: Mapping[str, str] = {}
    start: int = -(2**63)
    end: int = 2**63 - 1


class Found(msgspec.Struct, frozen=True):
    """What a deletion takes: series, field values, the oldest and newest time of them (0 without any), some of the series' tags."""

    series: int
    values: int
    oldest: int
    newest: int
    examples: Sequence[Mapping[str, str]] = ()


class Store(Protocol):
    """A database of points. Every call is safe beside the others and keeps the event loop free."""

    async def open(self) -> None:
        """Connect, or create what is missing. StoreUnavailable when it cannot; calls may be made later all the same."""
        ...

    async def write(self, points: Sequence[Point]) -> Written:
        """Write points; returns only when they survive a crash of this process. StoreUnavailable when they may not be there.

        Same series and time: the last write wins, field by field.
        """
        ...

    async def latest(
        self, measurement: str, fields: Sequence[str], *, since: int, where: Mapping[str, str] | None = None
    ) -> list[Latest]:
        """Return the newest value of ``fields`` of every series that has one at or after ``since``.

        What is dated later than now and ``future_tolerance`` is passed over, as if it were not there: it would hide all that comes.
        """
        ...

    async def range(self, query: Range) -> list[Series]:
        """Answer a question over time; groups without data are not there, order is by tags."""
        ...

    async def measurements(self) -> list[str]:
        """Name every measurement, sorted."""
        ...

    async def fields(self, measurement: str) -> dict[str, str]:
        """Name every field of a measurement with its type: float, integer, unsigned, boolean or string."""
        ...

    async def tag_values(self, measurement: str, tag: str, *, where: Mapping[str, str] | None = None) -> list[str]:
        """Return every value of a tag, sorted."""
        ...

    async def cardinality(self) -> list[Spender]:
        """Return which measurements have how many series; the greatest first."""
        ...

    async def drop_before(self, time: int) -> None:
        """Forget points older than ``time``."""
        ...

    async def find(self, deletion: Deletion) -> Found:
        """Return what a deletion would take."""
        ...

    async def delete(self, deletion: Deletion) -> None:
        """Delete points; broken off, the same again finishes it."""
        ...

    async def backup(self, folder: Path) -> bool:
        """Copy all that is acknowledged into a folder, to be opened from there; False when the database must do that itself."""
        ...

    async def health(self) -> str:
        """Return "" when reading and writing work, else one line that says what does not."""
        ...

    async def takes(self) -> bool:
        """Return whether a write would be kept now, if only on disk until the database is back."""
        ...

    async def damage(self) -> str:
        """Return "" unless stored points are missing because files were damaged; else one line that says what becomes of it."""
        ...

    def newest(self) -> int | None:
        """Return the time (ns) of the newest point, 0 without any; None when the database has a clock and a retention of its own."""
        ...

    async def close(self) -> None:
        """Write out what is held and let go."""
        ...


STORES: Final[dict[str, str]] = {
    "embedded": "server.store.embedded.store:Embedded",
    "influx": "server.store.spooled:SpooledInflux",
}
