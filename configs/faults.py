"""What is wrong with settings: one fault with its line, or all of them at once."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Line(NamedTuple):
    """A line of a settings file; 0 is the file as a whole."""

    file: str = ""
    number: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.number}" if self.number else self.file


_NOWHERE = Line()


class SettingsError(ValueError):
    """Settings that cannot be used; the message names file, line, table and what was expected.

    One that says several things has a line for each; ``faults`` are those, ``at`` is where the first one is.
    """

    def __init__(self, message: str, at: Line = _NOWHERE) -> None:
        super().__init__(message)
        self.at = at
        self.faults: tuple[SettingsError, ...] = (self,)

    @classmethod
    def of(cls, faults: Iterable["SettingsError"]) -> "SettingsError":
        """Return one error for at least one fault: each once, sorted by file and line."""
        every = tuple(sorted({str(fault): fault for fault in faults}.values(), key=lambda fault: fault.at))
        if len(every) == 1:
            return every[0]
        error = SettingsError("\n".join(str(fault) for fault in every), every[0].at)
        error.faults = every
        return error


class Faults:
    """Collects what is wrong with settings, so that all of it is told at once."""

    def __init__(self) -> None:
        self._found: list[SettingsError] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the SettingsError of the block, and go on behind it."""
        try:
            yield
        except SettingsError as error:
            self.add(error)

    def add(self, error: SettingsError) -> None:
        """Note what an error says."""
        self._found += error.faults

    def __bool__(self) -> bool:
        return bool(self._found)

    def tell(self) -> None:
        """Raise SettingsError that says everything that was noted, if anything was."""
        if self._found:
            raise SettingsError.of(self._found)
