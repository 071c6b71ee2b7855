"""New host names: how many one token may bring within an hour, so that made-up names cost neither table nor messages."""

from collections.abc import Iterable
from typing import Final

HOUR: Final = 3_600_000


class Newcomers:
    """The new hosts of each token within the last hour, up to ``limit``. Times are ms of steady time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._came: dict[str, dict[str, int]] = {}
        self._over: set[str] = set()

    def beyond(self, token: str, names: Iterable[str], at: int) -> tuple[set[str], bool]:
        """Count new hosts of a token; return those that are too many, and whether the token was within its limit before."""
        came = {name: since for name, since in self._came.get(token, {}).items() if at - since < HOUR}
        self._came[token] = came
        beyond = set()
        for name in sorted(names):
            if name in came or len(came) < self.limit:
                came.setdefault(name, at)
            else:
                beyond.add(name)
        first = bool(beyond) and token not in self._over
        if beyond:
            self._over.add(token)
        elif len(came) < self.limit:
            self._over.discard(token)
        return beyond, first
