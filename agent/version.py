"""The version of Pantau, as pyproject.toml says it (a test compares); reading it from package data costs 1.4 MB of memory."""

from typing import Final

VERSION: Final = "0.1.0"
