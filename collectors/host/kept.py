"""Keep what a collector has to know after a restart, in a file that is whole at any instant."""

import contextlib
import logging
import os
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")

_log = logging.getLogger("pantau.host.kept")


class Kept(Generic[T]):
    """The file ``name`` in ``folder``; without a folder nothing is kept.

    A value is written when the next one is put. So a single reading, as by the doctor beside a running agent, writes nothing,
    and after a kill the agent finds where it was before its last reading: it reads that again and comes to the same totals.
    """

    def __init__(self, folder: str, name: str, shape: type[T]) -> None:
        self._file = Path(folder, name) if folder else None
        self._shape = shape
        self._waiting = b""
        self._written = b""
        self._failing = False

    def load(self) -> T | None:
        """Return what was written last; None when there is nothing, or nothing that can be read."""
        if self._file is None:
            return None
        try:
            return msgspec.msgpack.decode(self._file.read_bytes(), type=self._shape)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("%s cannot be read, it begins anew: %s", self._file, error)
            return None

    def put(self, value: T) -> None:
        """Write what was put before, and remember ``value``."""
        if self._waiting != self._written:
            self._write(self._waiting)
        self._waiting = msgspec.msgpack.encode(value)

    def _write(self, body: bytes) -> None:
        if self._file is None:
            return
        fresh = self._file.with_name(self._file.name + ".new")
        try:
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
                file.write(body)
            fresh.replace(self._file)
        except OSError as error:
            if not self._failing:
                _log.warning("%s cannot be written; a restart will forget: %s", self._file, error)
            self._failing = True
            return
        self._written, self._failing = body, False
