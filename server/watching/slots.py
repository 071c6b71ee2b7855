"""Slots: how many looks may run at once, in all, of one kind and at one host."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from server.watching.options import Options


class Slots:
    """The slots that ``options`` allow."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._total = asyncio.Semaphore(options.total)
        self._types: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(options.per_type))
        self._targets: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(options.per_target))

    def of(self, group: str, target: str) -> tuple[asyncio.Semaphore, ...]:
        """Return the slots that a look of a kind at a host needs, the narrowest first.

        Who waits for a busy host must not keep slots from all others meanwhile.
        """
        return self._targets[target], self._types[group], self._total

    def following(self, options: Options, targets: Iterable[str]) -> "Slots":
        """Return the slots after these, for looks at ``targets``: the same ones where the options are the same."""
        if options != self._options:
            return Slots(options)
        for target in self._targets.keys() - set(targets):
            del self._targets[target]
        return self
