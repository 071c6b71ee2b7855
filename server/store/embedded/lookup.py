"""What the embedded store's dictionary knows, for those who ask: names, types, series by their tags. For any thread."""

from collections.abc import Mapping, Sequence

from server.store import Spender
from server.store.embedded.series import Dictionary, Series
from server.store.kinds import spent


class Lookup:
    """Answers from a dictionary."""

    def __init__(self, dictionary: Dictionary) -> None:
        self._dictionary = dictionary
        self._sorted: dict[str, tuple[list[Series], list[Series]]] = {}

    def all(self) -> list[Series]:
        """Return every series."""
        return list(self._dictionary.known.values())

    def measurements(self) -> list[str]:
        """Name every measurement, sorted."""
        return sorted(self._dictionary.by_measurement)

    def fields(self, measurement: str) -> dict[str, str]:
        """Name every field of a measurement with its type, sorted."""
        return {name: field.kind for name, field in sorted(self._dictionary.fields.get(measurement, {}).items())}

    def series(self, measurement: str, where: Mapping[str, str]) -> list[Series]:
        """Return the series of a measurement that have these tag values, sorted by their tags."""
        named = [self._dictionary.by_tag.get((measurement, tag, value), []) for tag, value in where.items() if value]
        if named:
            found = [series for series in min(named, key=len) if series.has(where)]
            return sorted(found, key=lambda series: tuple(series.tags.items()))
        there = self._dictionary.by_measurement.get(measurement, [])
        of, known = self._sorted.get(measurement, (there, []))
        if of is not there or len(known) != len(there):
            known = sorted(there, key=lambda series: tuple(series.tags.items()))
            self._sorted[measurement] = there, known
        return [series for series in known if series.has(where)] if where else known

    def spenders(self) -> list[Spender]:
        """Return how many series each measurement has, and which tag makes them many; the greatest first."""
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
