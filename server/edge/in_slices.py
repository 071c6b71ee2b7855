"""Long work on the event loop in short slices, so that looks and writes get their turn in between."""

import asyncio
from collections.abc import Iterable
from typing import Final, TypeVar

T = TypeVar("T")

_SLICE: Final = 0.001  # seconds
_AT_ONCE: Final = 16  # items between two looks at the clock


async def in_slices(items: Iterable[T], seconds: float = _SLICE) -> list[T]:
    """Return the items of an iterable that takes long to go through; after every slice of ``seconds`` all else has its turn."""
    clock = asyncio.get_running_loop().time
    collected: list[T] = []
    until = clock() + seconds
    for item in items:
        collected.append(item)
        if len(collected) % _AT_ONCE == 0 and clock() >= until:
            await asyncio.sleep(0)
            until = clock() + seconds
    return collected
