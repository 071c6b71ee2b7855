"""The two languages of the pages: texts, numbers and times. Indonesian is the source, English a catalogue of alerts/i18n."""

import datetime as dt
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from babel.messages.pofile import read_po

from alerts import i18n, words
from alerts.state import Severity
from collectors.result import Reason, Status

SOURCE: Final[words.Language] = "id"
CODES: Final[tuple[words.Language, ...]] = ("id", "en")

_MONTHS: Final = {
    "id": ("Jan", "Feb", "Mar", "Apr", "Mei", "Jun", "Jul", "Agu", "Sep", "Okt", "Nov", "Des"),
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
}
_LONG_MONTHS: Final = {
    "id": (
        *("Januari", "Februari", "Maret", "April", "Mei", "Juni"),
        *("Juli", "Agustus", "September", "Oktober", "November", "Desember"),
    ),
    "en": (
        *("January", "February", "March", "April", "May", "June"),
        *("July", "August", "September", "October", "November", "December"),
    ),
}
_UNITS: Final = (86_400_000, 3_600_000, 60_000)
_SHORT: Final = 0.01
_PREFIXES: Final = ("", "k", "M", "G", "T", "P")


def catalogue(code: str) -> dict[str, str]:
    """Read the translations of a language from its ``.po``; empty for the source language. Reads a file."""
    if code == SOURCE:
        return {}
    path = Path(i18n.__file__).parent / "locale" / code / "LC_MESSAGES" / "pantau.po"
    with path.open("rb") as file:
        read = read_po(file, locale=code, abort_invalid=True)
    return {str(message.id): str(message.string) for message in read if message.id and message.string}


def truncated(value: Fraction, digits: int) -> str:
    """Write an exact figure with ``digits`` decimals, cut off and never rounded up: 99.9999 stays below 100."""
    scaled = abs(value) * 10**digits
    whole = scaled.numerator // scaled.denominator
    text = f"{whole // 10**digits}.{whole % 10**digits:0{digits}d}" if digits else str(whole)
    return f"-{text}" if value < 0 else text


class Language:
    """One language: ``code`` is ``id`` or ``en``, ``zone`` the place whose clock is shown."""

    def __init__(self, code: words.Language, texts: Mapping[str, str], zone: str) -> None:
        self.code = code
        self._zone_name = zone
        self._zone = ZoneInfo(zone)
        self._texts = texts

    def text(self, source: str) -> str:
        """Translate a text; the source itself where no translation is known."""
        return self._texts.get(source, source)

    def plural(self, one: str, many: str, count: int) -> str:
        """Translate a counted text; Indonesian has one form for every count."""
        return self.text(one if count == 1 else many)

    def number(self, value: float, digits: int = 0) -> str:
        """Write a number with separators: 1.234,5 in Indonesian and 1,234.5 in English."""
        text = f"{value:,.{digits}f}"
        return text.translate(str.maketrans(",.", ".,")) if self.code == SOURCE else text

    def percent(self, value: Fraction | None, digits: int = 3) -> str:
        """Write an exact percentage, truncated; a dash where there is no figure."""
        if value is None:
            return "–"
        text = truncated(value, digits)
        return (text.replace(".", ",") if self.code == SOURCE else text) + " %"

    def bounds(self, lower: Fraction | None, upper: Fraction | None) -> str:
        """Write the range that a figure lies in: ``99,120 – 99,870 %``."""
        if lower is None or upper is None:
            return "–"
        return f"{self.percent(lower).removesuffix(' %')} – {self.percent(upper)}"

    def seconds(self, value: float | None) -> str:
        """Write how long something took: ``84 ms``, ``1,24 dtk`` or ``1.24 s``."""
        if value is None:
            return "–"
        if value < 1:
            return f"{self.number(value * 1000, 1 if value < _SHORT else 0)} ms"
        return f"{self.number(value, 2)} {'dtk' if self.code == SOURCE else 's'}"

    def scaled(self, value: float | None, unit: str) -> str:
        """Write a big number shortly, with decimal prefixes: ``12,3 Mbit/s``."""
        if value is None:
            return "–"
        power = 0
        while abs(value) >= 1000 and power < len(_PREFIXES) - 1:  # noqa: PLR2004 - decimal prefixes
            value, power = value / 1000, power + 1
        digits = 1 if power and abs(value) < 100 else 0  # noqa: PLR2004 - three digits are enough
        return f"{self.number(value, digits)} {_PREFIXES[power]}{unit}"

    def duration(self, ms: int) -> str:
        """Write a stretch of time: ``1 jam 30 menit``."""
        return words.duration(ms, self.code)

    def about(self, ms: int) -> str:
        """Write a stretch of time in its largest unit only, for lists: ``2 menit``."""
        unit = next((unit for unit in _UNITS if ms >= unit), 1000)
        return words.duration(ms // unit * unit, self.code)

    def moment(self, ms: int) -> str:
        """Write an instant in full: ``4 Juni 2026 pukul 15.30 WIB``."""
        return words.moment(ms, self._zone_name, self.code)

    def clock(self, ms: int, now: int, *, seconds: bool = False) -> str:
        """Write an instant shortly: ``15.30`` today, ``3 Jun 15.30`` before; with seconds when they matter."""
        at, today = self._local(ms), self._local(now)
        between = "." if self.code == SOURCE else ":"
        time = at.strftime(between.join(("%H", "%M", "%S") if seconds else ("%H", "%M")))
        if at.date() == today.date():
            return time
        year = f" {at.year}" if at.year != today.year else ""
        return f"{self.date(at.date(), year=False)}{year} {time}"

    def date(self, day: dt.date, *, year: bool = True) -> str:
        """Write a day shortly: ``4 Jun 2026``."""
        return f"{day.day} {_MONTHS[self.code][day.month - 1]}" + (f" {day.year}" if year else "")

    def month(self, day: dt.date) -> str:
        """Write the month of a day: ``Juni 2026``."""
        return f"{_LONG_MONTHS[self.code][day.month - 1]} {day.year}"

    def iso(self, ms: int) -> str:
        """Write an instant for machines, for ``<time datetime>``."""
        return self._local(ms).isoformat(timespec="seconds")

    def status(self, status: str) -> str:
        """Name a status: ``berfungsi``, ``padam``, ..."""
        return words.status_word(Status(status), self.code)

    def severity(self, severity: Severity) -> str:
        """Name a severity: ``kritis``, ..."""
        return words.severity_word(severity, self.code)

    def reason(self, reason: Reason) -> words.Words:
        """Tell a reason in plain words: what it is and what to do."""
        return words.explain(reason, self.code)

    def _local(self, ms: int) -> dt.datetime:
        return dt.datetime.fromtimestamp(ms / 1000, self._zone)


def languages(zone: str) -> dict[str, Language]:
    """Read every language once. Reads files."""
    return {code: Language(code, catalogue(code), zone) for code in CODES}
