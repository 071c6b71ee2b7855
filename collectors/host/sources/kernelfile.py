"""Read the small text files in which the kernel answers."""

import errno
import os
import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache
from typing import Final

_PART: Final = 65536


def text(root: str, name: str) -> str:
    """Return the file ``name`` below ``root``; bytes that are not UTF-8 survive as surrogates. OSError when it is not there."""
    return _read(f"{root}/{name}").decode("utf-8", "surrogateescape")


def _read(path: str) -> bytes:
    """Read a file with four system calls where Python's own files need ten: a host may have thousands of these."""
    file = os.open(path, os.O_RDONLY)
    try:
        parts = []
        while part := os.read(file, _PART):
            parts.append(part)
    finally:
        os.close(file)
    return b"".join(parts)


def word(root: str, name: str) -> str | None:
    """Return a file of one line without its line end; None when it is missing, empty or refuses to be read."""
    try:
        return text(root, name).strip() or None
    except OSError:
        return None


def number(root: str, name: str) -> int | None:
    """Return a file that holds one whole number; None when it is missing or holds something else."""
    try:
        return int(word(root, name) or "")
    except ValueError:
        return None


def counts(root: str, name: str) -> dict[str, int]:
    """Return a file of ``name value`` or ``name: value unit`` lines as numbers; lines of another shape are left out."""
    found = {}
    for line in text(root, name).splitlines():
        key, _, rest = line.partition(" ")
        value = rest.split(None, 1)[:1]
        if value and value[0].isdigit():
            found[key.rstrip(":")] = int(value[0])
    return found


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether ``name`` fits one of the shell patterns (``eth*``, ``sd[a-c]``)."""
    return _any_of(tuple(patterns)).match(name) is not None


@lru_cache(64)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)) or "(?!)")


def lacking(path: str, why: str) -> FileNotFoundError:
    """Make the error that tells that this host lacks something for good, with the number by which callers know it."""
    return FileNotFoundError(errno.ENOENT, why, path)
