"""The embedded store's dictionary: series (measurement and tags), fields and their types, and a number for each pair, its key.

It lives in memory and is written with the points that need it. The writing thread alone changes it; others may read it.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import isfinite
from operator import itemgetter, methodcaller
from typing import Any, Final, NamedTuple

from collectors.lineparser import RefusedLine, parse
from collectors.lineprotocol import RESERVED_TAGS, encode
from collectors.point import Point, Value
from server.store import Rejected, Spender, Written
from server.store.kinds import KINDS, conflict, kind_of, spent

_ALIASES_MAX: Final = 2_000_000
_NAMES_MAX: Final = 100_000
_PLANS_MAX: Final = 20_000  # shapes of points: 20 MB
_KEYS_EACH: Final = 20  # fields a series, on average, up to which keys are given
_PLAIN_NAMES: Final = re.compile(
    r"[!#-+.-<>-\[\]-~-]+"
)  # printable ASCII but blank, quote, comma, equals sign, backslash
_PLAIN_MAX: Final = 1_000


class Column:
    """The values of one type in a batch: ``keys`` and ``values`` in step, ``stamps[i]`` is the time of the next ``counts[i]``."""

    __slots__ = ("counts", "keys", "stamps", "values")

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.values: list[Any] = []
        self.stamps: list[int] = []
        self.counts: list[int] = []


class Part(NamedTuple):
    """The fields of one type in a shape of point, and how to take their values out."""

    kind: str
    names: list[str]
    pick: Callable[[Mapping[str, Value]], Iterable[Value]]


class Plan(NamedTuple):
    """Where the fields of one shape of point (measurement, names and types) go, those that go nowhere, and whether it is always so."""

    parts: list[Part]
    names: frozenset[str]
    rejected: tuple[Rejected, ...]
    lasting: bool


class Series:
    """One measurement with one set of tags; ``keys`` gives the number of each of its fields."""

    __slots__ = ("id", "keys", "measurement", "tags")

    def __init__(self, number: int, measurement: str, tags: Mapping[str, str]) -> None:
        self.id = number
        self.measurement = measurement
        self.tags = tags
        self.keys: dict[str, int] = {}

    def has(self, where: Mapping[str, str]) -> bool:
        """Tell whether the series has exactly these tag values; "" asks for a tag to be absent."""
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


class Batch(NamedTuple):
    """Points, sorted into columns by type."""

    columns: dict[str, Column]
    written: Written


_FULL: Final = Rejected("", "", "full")


class Dictionary:
    """All series, fields and keys; it takes no more than ``limit`` series, with 20 fields on average.

    Points before ``oldest`` (ns) are refused.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._keys_limit = limit * _KEYS_EACH
        self.oldest = -(2**63)
        self._aliases: dict[tuple[object, ...], Series | Rejected | None] = {}
        self._known: dict[tuple[object, ...], Series] = {}
        self._plans: dict[tuple[object, ...], Plan] = {}
        self._series: dict[str, list[Series]] = {}
        self._sorted: dict[str, tuple[list[Series], list[Series]]] = {}
        self._tagged: dict[tuple[str, str, str], list[Series]] = {}
        self._fields: dict[str, dict[str, Field]] = {}
        self._names: dict[str, str] = {}
        self._next_series = self._next_field = 0
        self._keys_taken = 0
        self.key_count = 0
        self.fresh = Fresh([], [], [])

    # --- filling -----------------------------------------------------------------------------------------------------

    def load(
        self,
        series: Iterable[tuple[int, str, Mapping[str, str]]],
        fields: Iterable[tuple[int, str, str, str]],
        keys: Iterable[tuple[int, int, int]],
    ) -> None:
        """Take in what was saved before."""
        by_id = {}
        for number, measurement, tags in series:
            by_id[number] = self._remember(Series(number, measurement, tags))
            self._next_series = max(self._next_series, number + 1)
        names = {}
        for row in fields:
            field = Field(*row)
            names[field.id] = field.name
            self._next_field = max(self._next_field, field.id + 1)
            self._fields.setdefault(field.measurement, {})[field.name] = field
        for key, number, field_id in keys:
            by_id[number].keys[names[field_id]] = key
            self.key_count = max(self.key_count, key + 1)
            self._keys_taken += 1

    def saved(self) -> None:
        """Note that everything fresh is on disk."""
        self.fresh = Fresh([], [], [])

    def encode(self, points: Iterable[Point]) -> Batch:  # noqa: C901 - the hot loop of every write
        """Sort points into columns; TypeError when a field holds something else than a Value."""
        columns = {kind: Column() for kind in KINDS.values()}
        # a dict, as a set that keeps its order
        rejected: dict[Rejected, None] = {}
        written = beyond = over = 0
        for point in points:
            if point.time < self.oldest:
                beyond += 1
                continue
            fields = point.fields
            alias = (point.measurement, *point.tags.items())
            series = self._known.get(alias) or self._aliases.get(alias)
            if series is None:
                series = self._find(alias, point)
            if not isinstance(series, Series):
                over += series is _FULL
                if series and series is not _FULL:
                    rejected.update((Rejected(series.measurement, name, series.why), None) for name in fields)
                continue
            shape = (series.measurement, *fields, *map(type, fields.values()))
            plan = self._plans.get(shape)
            if plan is not None and not series.keys.keys() >= plan.names:
                plan = self._extended(series, plan)
            if plan is None:
                plan = self._plan(series, fields)
                if plan.lasting:
                    self._remember_plan(shape, plan)
            for kind, names, pick in plan.parts:
                column = columns[kind]
                column.keys += [series.keys[name] for name in names]
                column.values += pick(fields)
                column.stamps.append(point.time)
                column.counts.append(len(names))
            if plan.rejected:
                rejected.update(dict.fromkeys(plan.rejected))
            written += bool(plan.parts)
        if beyond:
            rejected[Rejected("", "", f"points beyond retention policy dropped={beyond}")] = None
        if over:
            rejected[Rejected("", "", f"max-series-per-database limit exceeded: ({self._limit}) dropped={over}")] = None
        return Batch(columns, Written(written, tuple(rejected)))

    def keys(self, measurement: str, tags: Mapping[str, str], whole: Mapping[str, bool]) -> list[int] | None:
        """Return the keys of numbers, integers where they are ``whole``; None unless points like that were all taken."""
        alias = (measurement, *tags.items())
        series = self._known.get(alias) or self._aliases.get(alias)
        if not isinstance(series, Series):
            return None
        fields = self._fields.get(series.measurement, {})
        keys = [
            series.keys[name]
            for name, one in whole.items()
            if name in series.keys and fields[name].kind == ("integer" if one else "float")
        ]
        return keys if len(keys) == len(whole) else None

    def _find(self, alias: tuple[object, ...], point: Point) -> Series | Rejected | None:
        """Find or make the series of a point; None when line protocol leaves such a point out."""
        if len(self._aliases) > _ALIASES_MAX:
            self._aliases.clear()
        found: Series | Rejected | None = self._known.get((point.measurement, *sorted(point.tags.items())))
        if found is None:
            found = self._clean(point)
        # names of refused series are not kept: they may be many; nor is what is found without, which most are
        if found is not _FULL and alias not in self._known:
            self._aliases[alias] = found
        return found

    def _clean(self, point: Point) -> Series | Rejected | None:
        """Find or make the series with the names that any other database would see, after the way through line protocol."""
        if not _is_clean(point):
            line = encode([Point(point.measurement, point.tags, {"f": True}, 0)]).decode().removesuffix("\n")
            if not line:
                return None
            try:
                point, _ = parse(line, unit=1, default=0)
            except RefusedLine as refused:
                return Rejected(point.measurement, "", refused.why)
        tags = dict(sorted(point.tags.items()))
        known = self._known.get((point.measurement, *tags.items()))
        if known is None and len(self._known) >= self._limit:
            return _FULL
        return known or self._add(point.measurement, tags)

    def _add(self, measurement: str, tags: Mapping[str, str]) -> Series:
        series = self._remember(Series(self._next_series, measurement, tags))
        self._next_series += 1
        self.fresh.series.append(series)
        return series

    def _remember(self, series: Series) -> Series:
        self._known[series.measurement, *series.tags.items()] = series
        self._series.setdefault(series.measurement, []).append(series)
        for tag, value in series.tags.items():
            self._tagged.setdefault((series.measurement, tag, value), []).append(series)
        return series

    def _plan(self, series: Series, fields: Mapping[str, Value]) -> Plan:
        taken: dict[str, list[str]] = {}
        names: dict[str, list[str]] = {}
        rejected = []
        lasting = True
        for raw, value in fields.items():
            kind = kind_of(raw, value)
            name = self._name(raw)
            if not name:
                continue
            if isinstance(value, float) and not isfinite(value):
                # line protocol leaves such a value out, so it must not fix a type
                lasting = False
                continue
            if name not in series.keys and self._keys_taken >= self._keys_limit:
                why = f"max-fields-per-database limit exceeded: ({self._keys_limit})"
                rejected.append(Rejected(series.measurement, name, why))
                lasting = False
                continue
            field = self._field(series.measurement, name, kind)
            if field.kind != kind:
                rejected.append(conflict(series.measurement, name, kind, field.kind))
                lasting = False
                continue
            taken.setdefault(kind, []).append(raw)
            names.setdefault(kind, []).append(name)
            self._add_key(series, field)
        parts = [Part(kind, names[kind], _picker(raw, fields)) for kind, raw in taken.items()]
        return Plan(parts, frozenset(name for part in parts for name in part.names), tuple(rejected), lasting)

    def _name(self, raw: str) -> str:
        """Give the name of a field the form that line protocol would; "" when it has none."""
        if raw not in self._names:
            if len(self._names) >= _NAMES_MAX:
                self._names.clear()
            line = encode([Point("m", {}, {raw: True}, 0)]).decode().removesuffix("\n")
            self._names[raw] = _field_name(line) if line else ""
        return self._names[raw]

    def _field(self, measurement: str, name: str, kind: str) -> Field:
        known = self._fields.setdefault(measurement, {})
        if name not in known:
            known[name] = Field(self._next_field, measurement, name, kind)
            self._next_field += 1
            self.fresh.fields.append(known[name])
        return known[name]

    def _add_key(self, series: Series, field: Field) -> None:
        if field.name not in series.keys:
            series.keys[field.name] = self.key_count
            self.fresh.keys.append((self.key_count, series.id, field.id))
            self.key_count += 1
            self._keys_taken += 1

    def _extended(self, series: Series, plan: Plan) -> Plan | None:
        """Give a series the keys that a plan of its measurement needs; None when there is no room for all of them."""
        if self._keys_taken + len(plan.names) > self._keys_limit:
            return None
        fields = self._fields[series.measurement]
        for part in plan.parts:
            for name in part.names:
                self._add_key(series, fields[name])
        return plan

    def _remember_plan(self, shape: tuple[object, ...], plan: Plan) -> None:
        if len(self._plans) >= _PLANS_MAX:
            self._plans.clear()
        self._plans[shape] = plan

    # --- forgetting --------------------------------------------------------------------------------------------------

    def orphans(self, dead: Collection[Series]) -> list[Field]:
        """Return the fields that no series has any more when these are gone."""
        gone = {series.id for series in dead}
        found = []
        for measurement in {series.measurement for series in dead}:
            left = {name for series in self._series[measurement] if series.id not in gone for name in series.keys}
            found += [field for name, field in self._fields.get(measurement, {}).items() if name not in left]
        return found

    def forget(self, dead: Collection[Series]) -> None:
        """Forget series, and fields that only they had: their numbers are not given again, a new field may have another type."""
        orphans = self.orphans(dead)
        gone = {series.id for series in dead}
        # new lists and not changed ones: others may read the old ones
        for measurement in {series.measurement for series in dead}:
            self._keep(self._series, measurement, gone)
        for place in {(series.measurement, *pair) for series in dead for pair in series.tags.items()}:
            self._keep(self._tagged, place, gone)
        for series in dead:
            del self._known[series.measurement, *series.tags.items()]
            self._keys_taken -= len(series.keys)
        for field in orphans:
            fields = self._fields[field.measurement]
            self._fields[field.measurement] = {name: one for name, one in fields.items() if one is not field}
        self._aliases.clear()
        self._plans.clear()

    @staticmethod
    def _keep(places: dict[Any, list[Series]], place: object, gone: Collection[int]) -> None:
        left = [series for series in places[place] if series.id not in gone]
        if left:
            places[place] = left
        else:
            del places[place]

    # --- asking ------------------------------------------------------------------------------------------------------

    def all(self) -> list[Series]:
        """Return every series."""
        return list(self._known.values())

    def measurements(self) -> list[str]:
        """Name every measurement, sorted."""
        return sorted(self._series)

    def fields(self, measurement: str) -> dict[str, str]:
        """Name every field of a measurement with its type, sorted."""
        return {name: field.kind for name, field in sorted(self._fields.get(measurement, {}).items())}

    def series(self, measurement: str, where: Mapping[str, str]) -> list[Series]:
        """Return the series of a measurement that have these tag values, sorted by their tags."""
        named = [self._tagged.get((measurement, tag, value), []) for tag, value in where.items() if value]
        if named:
            found = [series for series in min(named, key=len) if series.has(where)]
            return sorted(found, key=lambda series: tuple(series.tags.items()))
        there = self._series.get(measurement, [])
        of, known = self._sorted.get(measurement, (there, []))
        if of is not there or len(known) != len(there):
            known = sorted(there, key=lambda series: tuple(series.tags.items()))
            self._sorted[measurement] = there, known
        return [series for series in known if series.has(where)] if where else known

    def spenders(self) -> list[Spender]:
        """Tell how many series each measurement has, and which tag makes them many; the greatest first."""
        return spent(
            (one.measurement, one.tags) for measurement in self.measurements() for one in self.series(measurement, {})
        )

    def groups(
        self, measurement: str, field: str, where: Mapping[str, str], by: Sequence[str]
    ) -> dict[tuple[str, ...], list[int]]:
        """Group the keys of a field by the values of tags ("" for an absent tag); sorted by those values."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for series in self.series(measurement, where):
            key = series.keys.get(field)
            if key is not None:
                groups.setdefault(tuple(series.tags.get(tag, "") for tag in by), []).append(key)
        return dict(sorted(groups.items()))


def _is_clean(point: Point) -> bool:
    """Tell whether line protocol surely gives back measurement and tags as they are."""
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


def _picker(names: Sequence[str], fields: Collection[str]) -> Callable[[Mapping[str, Value]], Iterable[Value]]:
    """Return the quickest way to take the values of ``names`` out of a mapping with the names ``fields``, in order."""
    if len(names) == len(fields):
        return methodcaller("values")
    if len(names) == 1:
        # itemgetter of one name gives the bare value
        return lambda values: (values[names[0]],)
    return itemgetter(*names)
