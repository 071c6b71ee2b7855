"""One centre on one folder: a second would tell every incident twice."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Occupied(Exception):
    """Another centre runs on this folder."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder until the block ends or the process dies; Occupied when another process holds it."""
    with (folder / "centre.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Occupied(f"another centre runs on {folder}") from error
        yield
