"""The embedded store's dictionary: series (measurement and tags), fields and their types, and a number for each pair, its key.

It lives in memory and is written with the points that need it. The writing thread alone changes it; others may read it.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

_KEYS_EACH: Final = 20  # fields a series, on average, up to which keys are given


class Series:
    """One measurement with one set of tags; ``keys`` gives the number of each of its fields."""

    __slots__ = ("id", "keys", "measurement", "tags")

    def __init__(self, number: int, measurement: str, tags: Mapping[str, str]) -> None:
        self.id = number
        self.measurement = measurement
        self.tags = tags
        self.keys: dict[str, int] = {}

    def has(self, where: Mapping[str, str]) -> bool:
        """Return whether the series has exactly these tag values; "" asks for a tag to be absent."""
        return all(self.tags.get(tag, "") == value for tag, value in where.items())


class Field(NamedTuple):
    """One field of a measurement; its type is fixed by its first write."""

    id: int
    measurement: str
    name: str
    kind: str


class Fresh(NamedTuple):
    """What the dictionary learned since it was last saved."""

    series: list[Series]
    fields: list[Field]
    keys: list[tuple[int, int, int]]  # key, series, field


class Dictionary:
    """All series, fields and keys; it takes no more than ``limit`` series, with 20 fields on average."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.keys_limit = limit * _KEYS_EACH
        self.known: dict[tuple[object, ...], Series] = {}
        self.by_measurement: dict[str, list[Series]] = {}
        self.by_tag: dict[tuple[str, str, str], list[Series]] = {}
        self.fields: dict[str, dict[str, Field]] = {}
        self._next_series = self._next_field = 0
        self.keys_taken = 0
        self.key_count = 0
        self.fresh = Fresh([], [], [])

    def load(
        self,
        series: Iterable[tuple[int, str, Mapping[str, str]]],
        fields: Iterable[tuple[int, str, str, str]],
        keys: Iterable[tuple[int, int, int]],
    ) -> None:
        """Add what was saved before."""
        by_id = {}
        for number, measurement, tags in series:
            by_id[number] = self._remember(Series(number, measurement, tags))
            self._next_series = max(self._next_series, number + 1)
        names = {}
        for row in fields:
            field = Field(*row)
            names[field.id] = field.name
            self._next_field = max(self._next_field, field.id + 1)
            self.fields.setdefault(field.measurement, {})[field.name] = field
        for key, number, field_id in keys:
            by_id[number].keys[names[field_id]] = key
            self.key_count = max(self.key_count, key + 1)
            self.keys_taken += 1

    def saved(self) -> None:
        """Note that everything fresh is on disk."""
        self.fresh = Fresh([], [], [])

    def add(self, measurement: str, tags: Mapping[str, str]) -> Series:
        """Add a series that is new."""
        series = self._remember(Series(self._next_series, measurement, tags))
        self._next_series += 1
        self.fresh.series.append(series)
        return series

    def _remember(self, series: Series) -> Series:
        self.known[series.measurement, *series.tags.items()] = series
        self.by_measurement.setdefault(series.measurement, []).append(series)
        for tag, value in series.tags.items():
            self.by_tag.setdefault((series.measurement, tag, value), []).append(series)
        return series

    def field(self, measurement: str, name: str, kind: str) -> Field:
        """Return a field, made of this type when it is new."""
        known = self.fields.setdefault(measurement, {})
        if name not in known:
            known[name] = Field(self._next_field, measurement, name, kind)
            self._next_field += 1
            self.fresh.fields.append(known[name])
        return known[name]

    def add_key(self, series: Series, field: Field) -> None:
        """Give a series the key of a field, unless it has it."""
        if field.name not in series.keys:
            series.keys[field.name] = self.key_count
            self.fresh.keys.append((self.key_count, series.id, field.id))
            self.key_count += 1
            self.keys_taken += 1

    def orphans(self, dead: Collection[Series]) -> list[Field]:
        """Return the fields that no series has any more when these are gone."""
        gone = {series.id for series in dead}
        found = []
        for measurement in {series.measurement for series in dead}:
            left = {
                name for series in self.by_measurement[measurement] if series.id not in gone for name in series.keys
            }
            found += [field for name, field in self.fields.get(measurement, {}).items() if name not in left]
        return found

    def forget(self, dead: Collection[Series]) -> None:
        """Forget series, and fields that only they had: their numbers are not given again, a new field may have another type.

        Who sorts points by this dictionary must begin anew.
        """
        orphans = self.orphans(dead)
        gone = {series.id for series in dead}
        # new lists and not changed ones: others may read the old ones
        for measurement in {series.measurement for series in dead}:
            self._keep(self.by_measurement, measurement, gone)
        for place in {(series.measurement, *pair) for series in dead for pair in series.tags.items()}:
            self._keep(self.by_tag, place, gone)
        for series in dead:
            del self.known[series.measurement, *series.tags.items()]
            self.keys_taken -= len(series.keys)
        for field in orphans:
            fields = self.fields[field.measurement]
            self.fields[field.measurement] = {name: one for name, one in fields.items() if one is not field}

    @staticmethod
    def _keep(places: dict[Any, list[Series]], place: object, gone: Collection[int]) -> None:
        left = [series for series in places[place] if series.id not in gone]
        if left:
            places[place] = left
        else:
            del places[place]
