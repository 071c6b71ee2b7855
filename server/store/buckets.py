"""The buckets of the centre: each has a store, a time for which its points are kept, and a limit of series.

The first one holds what the centre itself writes and reads; others are for programs that should not mix with it: their types,
names and series are their own. Their files lie in folders of their own.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from collectors.point import Point
from collectors.points import Points
from configs.read import SettingsError
from configs.units import Duration
from server.store import FUTURE_TOLERANCE, Rejected, Spender, Store, StoreDamaged, StoreUnavailable

STORE: Final = "store"  # the folder of the first store in the data folder
_FOLDER: Final = "buckets"  # in it, those of the others
_log: Final = logging.getLogger("pantau.store")

Name = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tables ``[[bucket]]``: buckets besides the one that ``[ingest]`` names.

    ``retention`` defaults to that of ``[server]``; ``store`` holds what differs from ``[store]``, e.g. the limit of ``series``.
    """

    name: Name
    retention: Duration | None = None
    store: dict[str, Any] = {}


class Bucket(NamedTuple):
    """One bucket; ``retention`` is seconds, ``limit`` the most series it takes, 0 when its database decides.

    ``future_tolerance`` is seconds, how much later than now a point may be.
    """

    name: str
    store: Store
    retention: float
    limit: int
    future_tolerance: float = FUTURE_TOLERANCE


class Spending(NamedTuple):
    """Who spends the series of a bucket; None when it cannot be read."""

    bucket: Bucket
    spenders: list[Spender] | None

    @property
    def series(self) -> int:
        """How many series it has."""
        return sum(one.series for one in self.spenders or ())


class Buckets:
    """All buckets by name; ``main`` is the store of the first. Their health is waited for ``patience`` seconds."""

    def __init__(self, buckets: Iterable[Bucket], patience: float = 9.0) -> None:
        """Hold the buckets, at least one."""
        self._patience = patience
        self._buckets = {bucket.name: bucket for bucket in buckets}
        self.main = next(iter(self)).store

    def __iter__(self) -> Iterator[Bucket]:
        """Go through them as they are now, the first one first."""
        return iter(self._buckets.values())  # ``use`` makes a new dict: who goes through this one may wait meanwhile

    def use(self, buckets: Iterable[Bucket]) -> None:
        """Have these buckets from now on, ``main`` first as before; those that are new are open."""
        self._buckets = {bucket.name: bucket for bucket in buckets}

    def find(self, name: str) -> Bucket | None:
        """Return a bucket, None when there is none of that name."""
        return self._buckets.get(name)

    def only(self, name: str | None) -> list[Bucket]:
        """Return the bucket that a command names, all without a name; SettingsError when there is none of that name."""
        if name is None:
            return list(self)
        found = self.find(name)
        if found is None:
            raise SettingsError(f"unknown bucket {name!r}; known: {', '.join(self._buckets)}")
        return [found]

    async def open(self) -> None:
        """Open all; one that is away is logged, and opened when it is first needed. StoreDamaged when that is the first one's end."""
        for bucket in self:
            try:
                await open_store(bucket)
            except StoreDamaged as error:
                if bucket.store is self.main:
                    raise
                tell_away(bucket, error)

    async def close(self) -> None:
        """Write out what is held and let go of all."""
        await asyncio.gather(*(bucket.store.close() for bucket in self))

    async def forget(self, now: int) -> None:
        """Forget what is older than each bucket keeps; ``now`` is ns since epoch."""
        now = self._today(now)
        for bucket in self:
            try:
                await bucket.store.drop_before(now - int(bucket.retention * 10**9))
            except StoreUnavailable:
                continue  # told already; the next turn forgets it

    def admit(self, bucket: Bucket, points: Sequence[Point], now: int) -> tuple[Sequence[Point], list[Rejected]]:
        """Leave out points that the bucket would forget at once, or that are of the future, and say how many, as InfluxDB does.

        ``now`` is ns.
        """
        rejected: list[Rejected] = []
        until = now + int(bucket.future_tolerance * 10**9)
        if points and _times(points)[1] > until:
            kept = [point for point in points if point.time <= until]
            rejected.append(_dropped(f"write window upper bound at {_told(until)}", points, kept))
            points = kept
        if not bucket.retention or not points:
            return points, rejected
        oldest, newest = _times(points)
        since = self._today(now, newest) - int(bucket.retention * 10**9)
        if oldest >= since:
            return points, rejected
        kept = [point for point in points if point.time >= since]
        return kept, [*rejected, _dropped("retention policy", points, kept)]

    def _today(self, now: int, newest: int = 0) -> int:
        """Return the time that retention goes by: our clock, or the newest point of any bucket where that is earlier.

        Else a centre that starts with a clock of years ahead would forget everything before the clock is set.
        """
        known = [time for time in (bucket.store.newest() for bucket in self) if time is not None]
        return min(now, max(newest, *known)) if known else now

    async def health(self) -> dict[str, str]:
        """Return what is wrong with each bucket's store, "" where nothing is; by name, the first one first."""
        buckets = list(self)
        found = await asyncio.gather(*(_health(bucket.store, self._patience) for bucket in buckets))
        return {bucket.name: why for bucket, why in zip(buckets, found, strict=True)}

    async def damage(self) -> dict[str, str]:
        """Return what each bucket has lost by damaged files, "" where nothing; by name, the first one first."""
        return {bucket.name: await bucket.store.damage() for bucket in self}

    async def backup(self, folder: Path) -> bool:
        """Copy all into a folder that has the shape of theirs; False when a database must do that itself."""
        places = {bucket.name: folder if bucket.store is self.main else place(folder, bucket.name) for bucket in self}
        return all([await bucket.store.backup(places[bucket.name]) for bucket in self])

    async def spending(self) -> list[Spending]:
        """Return who spends the series of each bucket."""
        return [Spending(bucket, await _spenders(bucket.store)) for bucket in self]


async def open_store(bucket: Bucket) -> None:
    """Open the store of a bucket; one that is away is logged, and opened when it is first needed. Raises StoreDamaged."""
    try:
        await bucket.store.open()
    except StoreDamaged:
        raise
    except StoreUnavailable as error:
        tell_away(bucket, error)


def tell_away(bucket: Bucket, error: StoreUnavailable) -> None:
    """Log that a store could not be opened, and why."""
    _log.warning("the store of bucket %s is away: %s", bucket.name, error)


def _dropped(bound: str, points: Sequence[Point], kept: Sequence[Point]) -> Rejected:
    return Rejected("", "", f"points beyond {bound} dropped={len(points) - len(kept)}")


def _told(time: int) -> str:
    return datetime.fromtimestamp(time // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _times(points: Sequence[Point]) -> tuple[int, int]:
    """Return the oldest and the newest time of points."""
    if isinstance(points, Points):
        return points.times()
    times = [point.time for point in points]
    return min(times), max(times)


async def _health(store: Store, patience: float) -> str:
    try:
        async with asyncio.timeout(patience):
            return await store.health()
    except TimeoutError:
        return f"the store does not answer within {patience:g} s"


async def _spenders(store: Store) -> list[Spender] | None:
    try:
        return await store.cardinality()
    except StoreUnavailable:
        return None


def place(folder: Path, name: str) -> Path:
    """Return where the files of a bucket besides the first are."""
    return folder / _FOLDER / name
