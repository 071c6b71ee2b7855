"""Service hours (jam layanan): the stretches of a period in which a service has promised to work."""

import csv
import datetime as dt
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from server.calendar.intervals import Stretch, clip, merge

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_RANGE: Final = re.compile(r"\s*(\d\d):([0-5]\d)\s*-\s*(\d\d):([0-5]\d)\s*")
_MIDNIGHT: Final = 24 * 60


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A week of service hours, e.g. ``mon = "07:30-12:00,13:00-16:00"``; a day that is not named is closed.

    ``zone`` is an IANA name; ``holidays`` is a CSV file (``date,name``) of days that are closed, beside the settings.
    """

    zone: str = "Asia/Jakarta"
    mon: str = ""
    tue: str = ""
    wed: str = ""
    thu: str = ""
    fri: str = ""
    sat: str = ""
    sun: str = ""
    holidays: str = ""


class BadHours(ValueError):
    """A profile that cannot be used; ``key`` is the setting that is wrong."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(why)
        self.key = key


class Calendar(msgspec.Struct, frozen=True):
    """A profile, read: ``week`` holds for Monday to Sunday pairs of minutes since local midnight; ``holidays`` are closed days.

    A pair that ends after 24:00 goes on into the next day. It belongs to the day on which it begins, so a night shift that
    begins on a holiday is closed and one that runs into a holiday is not.
    """

    zone: ZoneInfo
    week: tuple[tuple[tuple[int, int], ...], ...]
    holidays: Mapping[dt.date, str] = {}

    def stretches(self, start: int, end: int) -> list[Stretch]:
        """Return the service hours within ``[start, end)``, ms since the epoch, UTC."""
        if start >= end:
            return []
        # a shift of the evening before may reach into the first day
        day = _local(start, self.zone).date() - dt.timedelta(days=1)
        last = _local(end, self.zone).date()
        found: list[Stretch] = []
        while day <= last:
            if day not in self.holidays:
                found += [(self._at(day, low), self._at(day, high)) for low, high in self.week[day.weekday()]]
            day += dt.timedelta(days=1)
        return clip(merge(found), start, end)

    def _at(self, day: dt.date, minutes: int) -> int:
        days, rest = divmod(minutes, _MIDNIGHT)
        clock = dt.time(rest // 60, rest % 60)
        return round(dt.datetime.combine(day + dt.timedelta(days=days), clock, self.zone).timestamp() * 1000)


def calendar(profile: Profile, folder: Path) -> Calendar:
    """Read a profile and its file of holidays (relative to ``folder``); BadHours says what was expected."""
    return Calendar(
        zone=zone(profile.zone),
        week=tuple(_day(key, getattr(profile, key)) for key in _DAYS),
        holidays=_holidays(folder / profile.holidays) if profile.holidays else {},
    )


def zone(name: str) -> ZoneInfo:
    """Find a time zone by its IANA name; BadHours when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadHours("zone", f"unknown time zone {name!r}; expected an IANA name such as Asia/Jakarta") from error


def midnight(day: dt.date, at: ZoneInfo) -> int:
    """Return the moment at which a local day begins, ms since the epoch, UTC."""
    return round(dt.datetime.combine(day, dt.time(), at).timestamp() * 1000)


def _local(ms: int, at: ZoneInfo) -> dt.datetime:
    return dt.datetime.fromtimestamp(ms // 1000, at)


def _day(key: str, text: str) -> tuple[tuple[int, int], ...]:
    pairs: list[tuple[int, int]] = []
    for piece in text.split(",") if text.strip() else ():
        low, high = _pair(key, piece)
        if pairs and low < pairs[-1][1]:
            raise BadHours(key, f"{piece.strip()!r} begins before the hours in front of it end")
        pairs.append((low, high))
    return tuple(pairs)


def _pair(key: str, text: str) -> tuple[int, int]:
    matched = _RANGE.fullmatch(text)
    if matched is None:
        raise BadHours(key, f'expected hours such as "07:30-12:00,13:00-16:00", got {text.strip()!r}')
    low, high = int(matched[1]) * 60 + int(matched[2]), int(matched[3]) * 60 + int(matched[4])
    if low >= _MIDNIGHT or high > _MIDNIGHT:
        raise BadHours(key, f"{text.strip()!r}: a day ends at 24:00")
    if low == high:
        raise BadHours(key, f'{text.strip()!r} is empty; a whole day is "00:00-24:00"')
    return low, high if low < high else high + _MIDNIGHT


def _holidays(file: Path) -> dict[dt.date, str]:
    days: dict[dt.date, str] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            for number, row in enumerate(csv.reader(lines), 1):
                if not row or row[0].startswith("#") or (number == 1 and row[0].strip().lower() == "date"):
                    continue
                day = _date(file, number, row[0].strip())
                name = row[1].strip() if len(row) > 1 else ""
                days[day] = f"{days[day]}; {name}" if day in days else name
    except OSError as error:
        raise BadHours("holidays", f"{file}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadHours("holidays", f"{file.name}: not a CSV file in UTF-8: {error}") from error
    return days


def _date(file: Path, number: int, text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise BadHours("holidays", f"{file.name}:{number}: expected a date such as 2026-08-17, got {text!r}") from error
