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
    """The file ``name`` in ``folder``; without a folder, as for the doctor beside a running agent, nothing is kept."""

    def __init__(self, folder: str, name: str, shape: type[T]) -> None:
        self._file = Path(folder, name) if folder else None
        self._shape = shape
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
        """Write ``value`` where it differs from what was written last; a failure is told once."""
        body = msgspec.msgpack.encode(value)
        if self._file is None or body == self._written:
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
