"""Read on in log files: whatever rotates, truncates or recreates them, each line once."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

_HEAD: Final = 1024
_CHUNK: Final = 1 << 18
_LONGEST: Final = 1 << 16
_LINGER: Final = 6  # readings for which a rotated file is looked at: servers write to it until they are told
_PACKED: Final = (".gz", ".xz", ".bz2", ".zst", ".new", ".tmp")


class Place(msgspec.Struct):
    """How far a file was read. It is known again by its first bytes (``head`` of ``size`` bytes), not by its inode."""

    offset: int = 0
    size: int = 0
    head: bytes = b""


class _Open:
    """An open file and how far it was read."""

    def __init__(self, fd: int, place: Place) -> None:
        self.fd = fd
        self.place = place
        self.quiet = 0

    def same_file(self, fd: int) -> bool:
        mine, other = os.fstat(self.fd), os.fstat(fd)
        return (mine.st_dev, mine.st_ino) == (other.st_dev, other.st_ino)

    def left(self) -> int:
        return os.fstat(self.fd).st_size - self.place.offset

    def close(self) -> None:
        os.close(self.fd)


class Follower:
    """One path. ``skipped`` are bytes given up as too far behind, ``behind`` those that wait for the next reading.

    A file that was removed is let go after a while (``is_open`` is False then), so that its place on the disk becomes free.
    """

    def __init__(self, path: str, places: list[Place] | None, *, from_start: bool) -> None:
        self.path = path
        self.skipped = 0
        self.behind = 0
        self._missing = 0
        self._known = places
        self._from_start = from_start
        self._current: _Open | None = None
        self._old: list[_Open] = []

    @property
    def is_open(self) -> bool:
        """Whether there is a file in which reading goes on, though it may have lost its name."""
        return self._current is not None

    def places(self) -> list[Place]:
        """Return where reading goes on: first in the file at the path, then in rotated ones."""
        files = [self._current, *self._old] if self._current else self._old
        return [_marked(file) for file in files if file]

    def close(self) -> None:
        """Let go of all files."""
        for file in (self._current, *self._old):
            if file:
                file.close()
        self._current, self._old = None, []

    def read(self, most: int, farthest: int) -> Iterator[list[bytes]]:
        """Yield complete lines, at most ``most`` bytes; what is more than ``farthest`` bytes behind is skipped. OSError."""
        self._look()
        for file in [*self._old, *([self._current] if self._current else ())]:
            before = file.place.offset
            over = file.left() - farthest
            if over > 0:
                self.skipped += over
                file.place.offset += over
            while most > 0 and (lines := _lines(file, min(most, _CHUNK))):
                taken, chunk = lines
                most -= taken
                yield chunk
            file.quiet = file.quiet + 1 if file.place.offset == before else 0
        for file in [file for file in self._old if file.quiet >= _LINGER]:
            file.close()
            self._old.remove(file)
        self.places()  # marks them, by which they are known again
        self.behind = sum(max(file.left(), 0) for file in (self._current, *self._old) if file)

    def _look(self) -> None:
        """Find out what became of the file since the last reading."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            self._missing += 1
            if self._missing > _LINGER:
                self.close()
                self._known, self._from_start = None, True
            if self._current is None:
                raise
            return  # between renaming and creating
        self._missing = 0
        if self._current is None:
            self._begin(fd)
        elif not self._current.same_file(fd):
            if self._current.place.size and _fits(fd, self._current.place):
                self._current.close()  # a copy of what was read so far took its place
                self._current = _Open(fd, self._current.place)
            else:
                self._old.append(self._current)
                self._current = _Open(fd, Place())
        else:
            os.close(fd)
            if self._current.left() < 0 or not _fits(self._current.fd, self._current.place):
                self._rotated(self._current.place)
                self._current.place = Place()

    def _begin(self, fd: int) -> None:
        first, *others = self._known or [Place(0 if self._from_start else os.fstat(fd).st_size)]
        for place in others:
            self._rotated(place)
        if self._known and not _fits(fd, first):
            self._rotated(first)
            first = Place()
        self._current = _Open(fd, first)

    def _rotated(self, place: Place) -> None:
        """Go on in the file beside the path into which the one read so far was renamed or copied."""
        path = Path(self.path)
        if not place.size:
            return
        for name in sorted(os.listdir(path.parent)):  # noqa: PTH208
            if name.startswith((f"{path.name}.", f"{path.name}-", f"{path.stem}-")) and not name.endswith(_PACKED):
                try:
                    fd = os.open(path.parent / name, os.O_RDONLY | os.O_NONBLOCK)
                except OSError:
                    continue
                if _fits(fd, place):
                    self._old.append(_Open(fd, place))
                    return
                os.close(fd)


def _head(fd: int, size: int) -> bytes:
    return hashlib.blake2b(os.pread(fd, size, 0), digest_size=16).digest()


def _fits(fd: int, place: Place) -> bool:
    told = os.fstat(fd)
    if not stat.S_ISREG(told.st_mode) or told.st_size < place.offset:
        return False
    return not place.size or _head(fd, place.size) == place.head


def _marked(file: _Open) -> Place:
    place = file.place
    if (size := min(place.offset, _HEAD)) > place.size:
        place = file.place = Place(place.offset, size, _head(file.fd, size))
    return Place(place.offset, place.size, place.head)


def _lines(file: _Open, most: int) -> tuple[int, list[bytes]] | None:
    """Return the next complete lines; None when there is none. A line without end is taken in pieces."""
    chunk = os.pread(file.fd, max(most, _LONGEST), file.place.offset)
    end = chunk.rfind(b"\n") + 1
    if not end:
        if len(chunk) < _LONGEST:
            return None
        end = len(chunk)
    file.place.offset += end
    return end, chunk[:end].split(b"\n")[: -1 if chunk[end - 1 : end] == b"\n" else None]
