"""Stretches of time: half-open pairs ``(start, end)`` of integer milliseconds, and the set arithmetic on lists of them.

Every function but ``merge`` takes lists that ``merge`` made (sorted, apart from each other, none empty) and returns such lists.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

Stretch = tuple[int, int]


def merge(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Sort, drop empty and reversed stretches, and join what overlaps or touches."""
    merged: list[Stretch] = []
    for start, end in sorted(pair for pair in stretches if pair[0] < pair[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def clip(stretches: Sequence[Stretch], start: int, end: int) -> list[Stretch]:
    """Keep what lies in ``[start, end)``; takes time by what it keeps, not by the length of the list."""
    if start >= end:
        return []
    first = bisect_right(stretches, start, key=lambda pair: pair[1])
    last = bisect_left(stretches, end, key=lambda pair: pair[0])
    return [(max(low, start), min(high, end)) for low, high in stretches[first:last]]


def common(first: Sequence[Stretch], second: Sequence[Stretch]) -> list[Stretch]:
    """Return what lies in both."""
    shared: list[Stretch] = []
    left = right = 0
    while left < len(first) and right < len(second):
        low, high = max(first[left][0], second[right][0]), min(first[left][1], second[right][1])
        if low < high:
            shared.append((low, high))
        if first[left][1] <= second[right][1]:
            left += 1
        else:
            right += 1
    return shared


def without(stretches: Sequence[Stretch], removed: Sequence[Stretch]) -> list[Stretch]:
    """Return what lies in ``stretches`` and not in ``removed``."""
    if not stretches or not removed:
        return list(stretches)
    edges = [stretches[0][0], *(edge for pair in removed for edge in pair), stretches[-1][1]]
    return common(stretches, [(low, high) for low, high in zip(edges[::2], edges[1::2], strict=True) if low < high])


def total(stretches: Iterable[Stretch]) -> int:
    """Add up the milliseconds."""
    return sum(end - start for start, end in stretches)
