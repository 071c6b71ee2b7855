"""The states of a check, for rules that compare what they see with what is believed."""

from collections.abc import Sequence

from alerts.state import State, of_check
from alerts.tables import Database, StateAway


class KnownStates:
    """Reads the states of checks; while the database is away, as they were read last, so that rules look on."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last: dict[str, Sequence[State]] = {}

    async def __call__(self, check: str) -> Sequence[State]:
        """Return the states of a check; StateAway when they never could be read."""
        try:
            self._last[check] = await self._database.read(lambda tx: of_check(tx, check))
        except StateAway:
            if check not in self._last:
                raise
        return self._last[check]
