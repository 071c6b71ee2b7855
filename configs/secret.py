"""Secrets: where one is kept, never what it is.

Settings name the place (``{ file = "token" }``, ``{ credential = "token" }``, ``{ env = "PANTAU_TOKEN" }``); the value is read
when it is needed, so that a rotated token file works without a restart, and it cannot be printed by accident.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from configs.unit import UNIT, credential_file

_PLACES: Final = ("file", "credential", "env")
_EXPECTED: Final = (
    'expected where the secret is kept: { file = "PATH" }, { credential = "NAME" } (systemd) or { env = "NAME" }'
)


class SecretUnreadable(ValueError):
    """The place that should hold a secret does not; the message names the place, never the value."""


@final
class Secret:
    """The place of one secret. ``reveal()`` reads it afresh; ``str()`` and ``repr()`` never show it."""

    __slots__ = ("_held", "_name", "_place")

    def __init__(self, place: str, name: str) -> None:
        self._place = place
        self._name = name
        self._held = ""

    @classmethod
    def parse(cls, table: object, folder: Path) -> "Secret":
        """Read a settings value; relative files count from ``folder``. ValueError says what was expected."""
        if isinstance(table, str):
            raise ValueError(f"{_EXPECTED}; a secret is not written in the settings themselves")  # noqa: TRY004 - one kind of error for bad settings
        if not isinstance(table, dict) or len(table) != 1:
            raise ValueError(_EXPECTED)
        ((place, name),) = table.items()
        if place not in _PLACES or not isinstance(name, str) or not name:
            raise ValueError(_EXPECTED)
        return cls(place, str(folder / name) if place == "file" else name)

    @property
    def place(self) -> tuple[str, str]:
        """Where it is kept: "file", "credential" or "env", and the path or name there."""
        return self._place, self._name

    def reveal(self) -> str:
        """Return the secret itself, without a line end; SecretUnreadable when its place is missing or empty."""
        try:
            value = self._read().strip()
        except SecretUnreadable:
            if self._held:
                return self._held
            raise
        if not value:
            raise SecretUnreadable(f"the secret in {self} is empty")
        return value

    def hold(self) -> None:
        """Keep what can be read now, for a process that is about to lose the right to; a later value that it can read wins."""
        with suppress(SecretUnreadable):
            self._held = self.reveal()

    def _read(self) -> str:
        if self._place == "env":
            value = os.environ.get(self._name)
            if value is None:
                raise SecretUnreadable(f"the environment has no {self._name}")
            return value
        path = Path(self._name)
        if self._place == "credential":
            kept = credential_file(self._name)
            if kept is None:
                raise SecretUnreadable(
                    f"nothing hands over the credential {self._name!r}: neither CREDENTIALS_DIRECTORY here, nor {UNIT} as it runs, "
                    f"nor a line LoadCredential={self._name}:PATH of it"
                )
            path = kept
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            cause = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise SecretUnreadable(f"cannot read the secret file {path}: {cause}") from error

    def __repr__(self) -> str:
        return f"<Secret {self._place} {self._name}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self._place, self._name) == (other._place, other._name)

    def __hash__(self) -> int:
        return hash((self._place, self._name))
