"""Until when a system gets security updates from its makers without a contract."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

# last day by ID and the start of VERSION_ID, for systems that do not tell SUPPORT_END themselves.
# Source: Debian's package distro-info-data (for Debian until the end of LTS); the life cycle pages of Red Hat and CentOS
_ENDS: Final = {
    "debian": {
        "8": "2020-06-30", "9": "2022-06-30", "10": "2024-06-30", "11": "2026-08-31", "12": "2028-06-30",
        "13": "2030-06-30",
    },
    "ubuntu": {
        "14.04": "2019-04-25", "16.04": "2021-04-30", "18.04": "2023-05-31", "20.04": "2025-05-29",
        "22.04": "2027-06-01", "24.04": "2029-05-31",
    },
    "centos": {"6": "2020-11-30", "7": "2024-06-30", "8": "2021-12-31"},
    "rhel": {"7": "2024-06-30", "8": "2029-05-31", "9": "2032-05-31", "10": "2035-05-31"},
    "rocky": {"8": "2029-05-31", "9": "2032-05-31"},
    "almalinux": {"8": "2029-03-01", "9": "2032-05-31"},
}  # fmt: skip


def end(release: Mapping[str, str]) -> int | None:
    """Return the second (since epoch) at which the support of a system ends, from its os-release; None when nobody said."""
    ends = _ENDS.get(release.get("ID", ""), {})
    version = release.get("VERSION_ID", "")
    known = ends.get(version) or ends.get(version.partition(".")[0], "")
    for day in (release.get("SUPPORT_END", ""), known):
        try:
            return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) + 86_400
        except ValueError:
            continue
    return None
