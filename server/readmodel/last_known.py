"""What was known last, for the pages that still show something while the database of state is away."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from alerts.tables import StateAway

T = TypeVar("T")


class LastKnown(Generic[T]):
    """One answer of the database, and the one before while it is away."""

    def __init__(self) -> None:
        self._answer: T | None = None

    async def get(self, make: Callable[[], Awaitable[T]]) -> T:
        """Return a new answer, or the last one; StateAway when there never was one."""
        try:
            self._answer = await make()
        except StateAway:
            if self._answer is None:
                raise
        return self._answer
