"""Numbers as people of a language write them: signs and the shape of a percentage from CLDR, figures cut off exactly."""

from decimal import Decimal
from fractions import Fraction
from typing import Final

from babel import Locale
from babel.numbers import get_decimal_symbol, get_group_symbol

from alerts.i18n.catalogue import LanguageCode, Texts

NOTHING: Final = "–"

_AVAILABILITY: Final = 3  # decimals of a percentage, as the standard of availability prints it
_SHORT: Final = 0.01
_PREFIXED: Final = frozenset({"B", "B/s", "bit/s"})
_PREFIXES: Final = ("", "k", "M", "G", "T", "P")


def truncated(value: Fraction, digits: int = _AVAILABILITY) -> str:
    """Return an exact figure with ``digits`` decimals after a point, cut off and never rounded up: 99.9999 stays below 100."""
    scaled = abs(value) * 10**digits
    whole = scaled.numerator // scaled.denominator
    text = f"{whole // 10**digits}.{whole % 10**digits:0{digits}d}" if digits else str(whole)
    return f"-{text}" if value < 0 and whole else text


class NumberFormat(Texts):
    """The numbers of one language."""

    def __init__(self, code: LanguageCode) -> None:
        super().__init__(code)
        locale = Locale(code)
        self._point = get_decimal_symbol(locale)
        self._signs = str.maketrans(",.", get_group_symbol(locale) + self._point)
        shape = locale.percent_formats[None]
        self._before_percent, self._after_percent = shape.prefix[0], shape.suffix[0]

    def number(self, value: float, digits: int = 0) -> str:
        """Return a rounded number with separators: ``1.234,5``, ``1,234.5``."""
        return f"{value:,.{digits}f}".translate(self._signs)

    def figure(self, value: Fraction, digits: int = _AVAILABILITY) -> str:
        """Return an exact figure, cut off, without separators between thousands: ``99,900``."""
        return truncated(value, digits).replace(".", self._point)

    def as_written(self, value: Fraction) -> str:
        """Return a number of the settings as it was written there: ``99,5``."""
        return f"{(Decimal(value.numerator) / Decimal(value.denominator)).normalize():f}".replace(".", self._point)

    def percent(self, value: Fraction | None, digits: int = _AVAILABILITY) -> str:
        """Return an exact percentage, cut off: ``99,996%``; a dash where there is no figure."""
        return NOTHING if value is None else self._as_percent(self.figure(value, digits))

    def percent_as_written(self, value: Fraction) -> str:
        """Return a percentage of the settings as it was written there: ``99,5%``."""
        return self._as_percent(self.as_written(value))

    def measured_percent(self, value: float, digits: int = 0) -> str:
        """Return a measured percentage, rounded: ``63%``."""
        return self._as_percent(self.number(value, digits))

    def bounds(self, lower: Fraction | None, upper: Fraction | None, digits: int = _AVAILABILITY) -> str:
        """Return the range that a percentage lies in: ``70,833–95,833%``; one figure where both ends show the same."""
        if lower is None or upper is None:
            return NOTHING
        first, last = self.figure(lower, digits), self.figure(upper, digits)
        return self._as_percent(first if first == last else f"{first}–{last}")

    def seconds(self, value: float | None) -> str:
        """Return how long something took: ``84 ms``, ``1,24 dtk`` or ``1.24 s``."""
        if value is None:
            return NOTHING
        if abs(value) < 1:
            return f"{self.number(value * 1000, 1 if abs(value) < _SHORT else 0)} ms"
        return self.gettext("{n} dtk", n=self.number(value, 2))

    def amount(self, value: float, unit: str) -> str:
        """Return a measured value with its unit, "" for a plain number: ``63%``, ``84 ms``, ``12,3 Mbit/s``, ``41,5 °C``."""
        if unit == "s":
            return self.seconds(value)
        if unit in _PREFIXED:
            return self.scaled(value, unit)
        digits = 0 if abs(value) >= 10 or not value else 2  # noqa: PLR2004 - two digits are enough
        if unit == "%":
            return self.measured_percent(value, digits)
        return f"{self.number(value, digits)} {unit}".rstrip()

    def scaled(self, value: float | None, unit: str) -> str:
        """Return a big number shortly, with decimal prefixes: ``12,3 Mbit/s``."""
        if value is None:
            return NOTHING
        power = 0
        while abs(value) >= 1000 and power < len(_PREFIXES) - 1:  # noqa: PLR2004 - decimal prefixes
            value, power = value / 1000, power + 1
        digits = 1 if power and abs(value) < 100 else 0  # noqa: PLR2004 - three digits are enough
        return f"{self.number(value, digits)} {_PREFIXES[power]}{unit}"

    def _as_percent(self, number: str) -> str:
        return f"{self._before_percent}{number}{self._after_percent}"
