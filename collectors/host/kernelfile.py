"""Read the small text files in which the kernel answers."""

import errno
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path


def text(root: str, name: str) -> str:
    """Return the file ``name`` below ``root``; bytes that are not UTF-8 survive as surrogates. OSError when it is not there."""
    return Path(root, name).read_bytes().decode("utf-8", "surrogateescape")


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
    """Tell whether ``name`` fits one of the shell patterns (``eth*``, ``sd[a-c]``)."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def lacking(path: str, why: str) -> FileNotFoundError:
    """Make the error that tells that this host lacks something for good, with the number by which callers know it."""
    return FileNotFoundError(errno.ENOENT, why, path)
