"""Stretches and moments as people of a language tell them; names of months are from CLDR."""

import datetime as dt
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale

from alerts.i18n.catalogue import LanguageCode
from alerts.i18n.numbers import NumberFormat

_SECOND: Final = 1000
_UNITS: Final = (86_400_000, 3_600_000, 60_000, _SECOND)  # ms of a day, an hour, a minute, a second

# what people call the zones of this country; time zone data has offsets for some of them
_ZONES: Final = {
    "Asia/Jakarta": "WIB",
    "Asia/Pontianak": "WIB",
    "Asia/Makassar": "WITA",
    "Asia/Ujung_Pandang": "WITA",
    "Asia/Jayapura": "WIT",
}


def hours_minutes_seconds(ms: int) -> str:
    """Return a stretch to the second, in full hours: ``17:00:00``."""
    seconds = ms // _SECOND
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


class TimeFormat(NumberFormat):
    """The times of one language at one place; ``zone`` is an IANA name. Moments are ms since the epoch, stretches ms."""

    def __init__(self, code: LanguageCode, zone: str) -> None:
        super().__init__(code)
        self.zone = zone
        self._local_zone = ZoneInfo(zone)
        months = Locale(code).months["format"]
        self._months = [months["wide"][number] for number in range(1, 13)]
        self._short_months = [months["abbreviated"][number] for number in range(1, 13)]

    def duration(self, ms: Fraction | int) -> str:
        """Return a stretch in its two largest units: ``1 jam 30 menit``, ``45 detik``; less than nothing is nothing."""
        left = max(int(ms), 0)
        first = next((at for at, unit in enumerate(_UNITS) if left >= unit), len(_UNITS) - 1)
        amount, left = divmod(left, _UNITS[first])
        told = self._amount(amount, first)
        rest = left // _UNITS[first + 1] if first + 1 < len(_UNITS) else 0
        return f"{told} {self._amount(rest, first + 1)}" if rest else told

    def rough_duration(self, ms: int) -> str:
        """Return a stretch in its largest unit only, for lists: ``2 menit``."""
        unit = next((unit for unit in _UNITS if ms >= unit), _SECOND)
        return self.duration(ms // unit * unit)

    def full_seconds(self, ms: int) -> str:
        """Return a stretch as seconds, which is what the standard of availability counts: ``3.600 detik``."""
        return self._amount(ms // _SECOND, len(_UNITS) - 1)

    def moment(self, ms: int) -> str:
        """Return date and time in full: ``4 Juni 2026 pukul 15.30 WIB``, ``4 June 2026, 15:30 WIB``."""
        date = self.long_date(self.local(ms).date())
        return self.gettext("{date} pukul {time}", date=date, time=self.time_of_day(ms))

    def time_of_day(self, ms: int, *, seconds: bool = False, zone: bool = True) -> str:
        """Return the time of day: ``09.12 WIB``, ``09:12 WIB``."""
        at = self.local(ms)
        hour, minute, second = f"{at.hour:02d}", f"{at.minute:02d}", f"{at.second:02d}"
        if seconds:
            told = self.gettext("{hour}.{minute}.{second}", hour=hour, minute=minute, second=second)
        else:
            told = self.gettext("{hour}.{minute}", hour=hour, minute=minute)
        return f"{told} {self.zone_name(ms)}" if zone else told

    def time_near(self, ms: int, near: int) -> str:
        """Return the time of day when ``near`` is on the same date, else date and time."""
        return self.time_of_day(ms) if self._same_day(ms, near) else self.moment(ms)

    def from_to(self, start: int, end: int) -> str:
        """Return both ends of a stretch: ``09.12–09.41 WIB``, with dates when they differ."""
        if self._same_day(start, end):
            return f"{self.time_of_day(start, zone=False)}–{self.time_of_day(end)}"
        return f"{self.moment(start)} – {self.moment(end)}"

    def clock(self, ms: int, now: int, *, seconds: bool = False) -> str:
        """Return a moment shortly: ``15.30`` today, ``3 Jun 15.30`` before; with seconds when they matter."""
        time = self.time_of_day(ms, seconds=seconds, zone=False)
        if self._same_day(ms, now):
            return time
        date = self.local(ms).date()
        return f"{self.date(date, year=date.year != self.local(now).year)} {time}"

    def stamp(self, ms: int) -> str:
        """Return date and time to the second, in columns: ``04/06/2026 15.30.07``, ``2026-06-04 15:30:07``."""
        at = self.local(ms)
        time = self.time_of_day(ms, seconds=True, zone=False)
        day, month = f"{at.day:02d}", f"{at.month:02d}"
        return self.gettext("{day}/{month}/{year} {time}", day=day, month=month, year=at.year, time=time)

    def date(self, day: dt.date, *, year: bool = True) -> str:
        """Return a day shortly: ``4 Jun 2026``."""
        return f"{day.day} {self._short_months[day.month - 1]}" + (f" {day.year}" if year else "")

    def long_date(self, day: dt.date) -> str:
        """Return a day: ``4 Juni 2026``."""
        return f"{day.day} {self.month(day)}"

    def month(self, day: dt.date) -> str:
        """Return the month of a day: ``Juni 2026``."""
        return f"{self._months[day.month - 1]} {day.year}"

    def period(self, start: int, end: int) -> str:
        """Return the name of a period: ``November 2026`` when it is a whole month, else both its ends."""
        first, last = self.local(start), self.local(end)
        following = (first.replace(day=1) + dt.timedelta(days=31)).replace(day=1)
        midnight = dt.time()
        if first.day == 1 and first.time() == midnight and (last.date(), last.time()) == (following.date(), midnight):
            return self.month(first)
        return self.gettext("{start} sampai {end}", start=self.moment(start), end=self.moment(end))

    def iso(self, ms: int) -> str:
        """Return a moment for machines, for ``<time datetime>``."""
        return self.local(ms).isoformat(timespec="seconds")

    def zone_name(self, ms: int) -> str:
        """Return the zone as people call it: WIB, WITA, WIT, else its abbreviation or offset."""
        return _ZONES.get(self.zone) or f"{self.local(ms):%Z}"

    def local(self, ms: int) -> dt.datetime:
        """Return a moment as date and time of this place."""
        return dt.datetime.fromtimestamp(ms / _SECOND, self._local_zone)

    def _same_day(self, first: int, second: int) -> bool:
        return self.local(first).date() == self.local(second).date()

    def _amount(self, amount: int, unit: int) -> str:
        n = self.number(amount)
        match unit:
            case 0:
                return self.ngettext("{n} hari", "{n} hari", amount, n=n)
            case 1:
                return self.ngettext("{n} jam", "{n} jam", amount, n=n)
            case 2:
                return self.ngettext("{n} menit", "{n} menit", amount, n=n)
            case _:
                return self.ngettext("{n} detik", "{n} detik", amount, n=n)
