"""Service hours (jam layanan): the stretches of a period in which a service has promised to work."""

import msgspec


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
