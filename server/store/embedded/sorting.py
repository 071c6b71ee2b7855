"""Points, sorted into columns by type, with the numbers of a dictionary that learns what is new. Belongs to the writing thread."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import itemgetter, methodcaller
from typing import Any, Final, NamedTuple

from collectors.point import Point, Value
from server.store import Rejected, Written
from server.store.embedded.naming import FieldNames, cleaned
from server.store.embedded.series import Dictionary, Series
from server.store.kinds import KINDS, conflict, is_sayable, kind_of

_ALIASES_MAX: Final = 2_000_000


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


class Batch(NamedTuple):
    """Points, sorted into columns by type."""

    columns: dict[str, Column]
    written: Written


_FULL: Final = Rejected("", "", "full")


class Sorter:
    """Sorts points into columns, and remembers by which names series came and ``plans`` for shapes of points (20,000: 20 MB)."""

    def __init__(self, dictionary: Dictionary, *, plans: int = 20_000) -> None:
        self._plans_max = plans
        self._dictionary = dictionary
        self._aliases: dict[tuple[object, ...], Series | Rejected | None] = {}
        self._plans: dict[tuple[object, ...], Plan] = {}
        self._names = FieldNames()

    def encode(self, points: Iterable[Point]) -> Batch:  # noqa: C901 - the hot loop of every write
        """Sort points into columns; TypeError when a field holds something else than a Value."""
        columns = {kind: Column() for kind in KINDS.values()}
        known = self._dictionary.known
        # a dict, as a set that keeps its order
        rejected: dict[Rejected, None] = {}
        written = over = 0
        for point in points:
            fields = point.fields
            alias = (point.measurement, *point.tags.items())
            series = known.get(alias) or self._aliases.get(alias)
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
        if over:
            rejected[
                Rejected("", "", f"max-series-per-database limit exceeded: ({self._dictionary.limit}) dropped={over}")
            ] = None
        return Batch(columns, Written(written, tuple(rejected)))

    def keys(self, measurement: str, tags: Mapping[str, str], whole: Mapping[str, bool]) -> list[int] | None:
        """Return the keys of numbers, integers where they are ``whole``; None unless points like that were all taken."""
        alias = (measurement, *tags.items())
        series = self._dictionary.known.get(alias) or self._aliases.get(alias)
        if not isinstance(series, Series):
            return None
        fields = self._dictionary.fields.get(series.measurement, {})
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
        found: Series | Rejected | None = self._dictionary.known.get((point.measurement, *sorted(point.tags.items())))
        if found is None:
            found = self._found(point)
        # names of refused series are not kept: they may be many; nor is what is found without, which most are
        if found is not _FULL and alias not in self._dictionary.known:
            self._aliases[alias] = found
        return found

    def _found(self, point: Point) -> Series | Rejected | None:
        """Find or make the series with the names that any other database would see."""
        clean = cleaned(point)
        if not isinstance(clean, Point):
            return clean
        tags = dict(sorted(clean.tags.items()))
        known = self._dictionary.known.get((clean.measurement, *tags.items()))
        if known is None and len(self._dictionary.known) >= self._dictionary.limit:
            return _FULL
        return known or self._dictionary.add(clean.measurement, tags)

    def _plan(self, series: Series, fields: Mapping[str, Value]) -> Plan:
        taken: dict[str, list[str]] = {}
        names: dict[str, list[str]] = {}
        rejected = []
        lasting = True
        for raw, value in fields.items():
            kind = kind_of(raw, value)
            name = self._names.clean(raw)
            if not name:
                continue
            if not is_sayable(value):
                # line protocol leaves such a value out, so it must not fix a type
                lasting = False
                continue
            if name not in series.keys and self._dictionary.keys_taken >= self._dictionary.keys_limit:
                why = f"max-fields-per-database limit exceeded: ({self._dictionary.keys_limit})"
                rejected.append(Rejected(series.measurement, name, why))
                lasting = False
                continue
            field = self._dictionary.field(series.measurement, name, kind)
            if field.kind != kind:
                rejected.append(conflict(series.measurement, name, kind, field.kind))
                lasting = False
                continue
            taken.setdefault(kind, []).append(raw)
            names.setdefault(kind, []).append(name)
            self._dictionary.add_key(series, field)
        parts = [Part(kind, names[kind], _picker(raw, fields)) for kind, raw in taken.items()]
        return Plan(parts, frozenset(name for part in parts for name in part.names), tuple(rejected), lasting)

    def _extended(self, series: Series, plan: Plan) -> Plan | None:
        """Give a series the keys that a plan of its measurement needs; None when there is no room for all of them."""
        if self._dictionary.keys_taken + len(plan.names) > self._dictionary.keys_limit:
            return None
        fields = self._dictionary.fields[series.measurement]
        for part in plan.parts:
            for name in part.names:
                self._dictionary.add_key(series, fields[name])
        return plan

    def _remember_plan(self, shape: tuple[object, ...], plan: Plan) -> None:
        if len(self._plans) >= self._plans_max:
            self._plans.clear()
        self._plans[shape] = plan


def _picker(names: Sequence[str], fields: Collection[str]) -> Callable[[Mapping[str, Value]], Iterable[Value]]:
    """Return the quickest way to take the values of ``names`` out of a mapping with the names ``fields``, in order."""
    if len(names) == len(fields):
        return methodcaller("values")
    if len(names) == 1:
        # itemgetter of one name gives the bare value
        return lambda values: (values[names[0]],)
    return itemgetter(*names)
