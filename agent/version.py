"""The version of Pantau, as pyproject.toml says it (a test compares); reading it from package data costs 1.4 MB of memory."""

from typing import Final

VERSION: Final = "0.1.0"


def apart(version: str, other: str) -> bool:
    """Return whether two versions are more than a patch apart; False where one is not known.

    Lines are InfluxDB's protocol, which every version speaks; what is new in a minor version may be missing on the older side.
    """
    return bool(version and other) and version.split(".")[:2] != other.split(".")[:2]
