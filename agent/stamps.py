"""Stamps: the times at the end of lines, moved when the clock that made them turns out to have been wrong."""

from collections.abc import Iterable


def move(lines: Iterable[bytes], by: int) -> list[bytes]:
    """Return lines with their times moved by ``by`` ms."""
    return [_moved(line, by) for line in lines]


def move_late(lines: Iterable[bytes], by: int, now: int) -> list[bytes]:
    """Return lines of which some were made before the clock was set by ``by`` ms: those that this brings closer to ``now`` (ms)."""
    return [min(line, _moved(line, by), key=lambda one: abs(_time(one) - now * 1_000_000)) for line in lines]


def _moved(line: bytes, by: int) -> bytes:
    return b"%s %d" % (line.rpartition(b" ")[0], _time(line) + by * 1_000_000)


def _time(line: bytes) -> int:
    return int(line.rpartition(b" ")[2])
