"""Durations, sizes and rates of change as people write them in settings: ``"10s"``, ``"1h30m"``, ``"200MB"``, ``[4, "30m"]``."""

import re
from typing import Final

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES: Final = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_FEWEST_CHANGES: Final = 2  # there and back
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?i?b)", re.IGNORECASE)


class Duration(float):
    """A stretch of time in seconds; written as ``"250ms"``, ``"10s"``, ``"5m"``, ``"1h30m"``, ``"7d"``."""

    __slots__ = ()

    @property
    def ms(self) -> int:
        """The same stretch in whole milliseconds."""
        return round(self * 1000)

    @classmethod
    def parse(cls, text: object) -> "Duration":
        """Read a duration; ValueError says what was expected."""
        expected = f'expected a duration such as "10s", "5m" or "1h30m", got {text!r}'
        if not isinstance(text, str) or not text:
            raise ValueError(expected)
        parts = _DURATION_PART.findall(text)
        if "".join(number + unit for number, unit in parts) != text:
            raise ValueError(expected)
        return cls(sum(float(number) * _SECONDS[unit] for number, unit in parts))


class Size(int):
    """A number of bytes; written as ``"512KB"`` (decimal) or ``"64MiB"`` (binary)."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> "Size":
        """Read a size; ValueError says what was expected."""
        match = _SIZE.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f'expected a size such as "200MB" or "64MiB", got {text!r}')
        return cls(float(match[1]) * _BYTES[match[2].lower()])


class Flapping(tuple[int, Duration]):
    """How many changes within which stretch of time are flapping; written as ``[4, "30m"]``."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> "Flapping":
        """Read changes and stretch; ValueError says what was expected."""
        expected = f'expected a number of changes from 2 on and a stretch of time, e.g. [4, "30m"], got {value!r}'
        match value:
            case [int() as changes, str() as stretch] if changes >= _FEWEST_CHANGES:
                try:
                    within = Duration.parse(stretch)
                except ValueError as error:
                    raise ValueError(expected) from error
                if within > 0:
                    return cls((changes, within))
        raise ValueError(expected)


USUAL_FLAPPING: Final = Flapping((4, Duration(1800)))
