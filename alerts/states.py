"""What is believed now, in memory: one writer (the judge), and everybody who asks. The table ``state`` follows within a moment."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection

from alerts import state_rows, tables
from alerts.incident import open_incidents
from alerts.state import State

Key = tuple[str, str]  # check, subject

_COLUMNS: Final = tuple(column.name for column in tables.state.columns)
_KEY: Final = ("check_id", "subject")
_NOTHING: Final[Mapping[str, State]] = MappingProxyType({})


class States:
    """Every state and the id of its open incident. Belongs to the event loop; ``load`` it once."""

    def __init__(self) -> None:
        self._by_check: dict[str, dict[str, State]] = {}
        self._by_whole: dict[str, dict[Key, State]] = {}
        self.incidents: dict[Key, int] = {}

    def load(self, states: Iterable[State], incidents: Mapping[Key, int]) -> None:
        """Believe what the database says, and nothing else."""
        self._by_check.clear()
        self._by_whole.clear()
        for believed in states:
            self.put(believed)
        self.incidents = dict(incidents)

    def get(self, check: str, subject: str) -> State | None:
        """Return what is believed of ``subject`` by ``check``, None when it was never looked at."""
        return self._by_check.get(check, _NOTHING).get(subject)

    def by_subject(self, check: str) -> Mapping[str, State]:
        """Return the states of a check by subject: a view that changes with them."""
        return MappingProxyType(self._by_check.setdefault(check, {}))

    def of_check(self, check: str) -> list[State]:
        """Return the states of every subject that a check or rule speaks of."""
        return sorted(self._by_check.get(check, _NOTHING).values(), key=_order)

    def of_subject(self, subject: str) -> list[State]:
        """Return the states of a subject and of its parts (``host/srv-1`` and ``host/srv-1/path=/var``)."""
        prefix = f"{subject}/"
        states = self._by_whole.get(_whole(subject), {}).values()
        return sorted((one for one in states if f"{one.subject}/".startswith(prefix)), key=_order)

    def all(self) -> list[State]:
        """Return every state, by subject and check."""
        return sorted((one for states in self._by_check.values() for one in states.values()), key=_order)

    def newest(self) -> int | None:
        """Return when the newest look was (ms since the epoch), None before the first."""
        return max((one.last_at for states in self._by_check.values() for one in states.values()), default=None)

    def incident_of(self, check: str, subject: str) -> int | None:
        """Return the open incident of a check on a subject, if any."""
        return self.incidents.get((check, subject))

    def put(self, believed: State) -> None:
        """Believe this from now on; for the judge."""
        self._by_check.setdefault(believed.check, {})[believed.subject] = believed
        self._by_whole.setdefault(_whole(believed.subject), {})[believed.check, believed.subject] = believed

    def remove(self, check: str, subject: str) -> None:
        """Believe nothing of a subject by a check any more; for the judge."""
        self._by_check.get(check, {}).pop(subject, None)
        self._by_whole.get(_whole(subject), {}).pop((check, subject), None)
        self.incidents.pop((check, subject), None)


def read(tx: Connection) -> tuple[list[State], dict[Key, int]]:
    """Return every state, and the id of each open incident."""
    incidents = {(one.check, one.subject): one.id for one in open_incidents(tx)}
    return state_rows.all_states(tx), incidents


def save(tx: Connection, states: Sequence[State]) -> None:
    """Write states over those before them, all in one prepared statement."""
    if not states:
        return
    rows = [tuple(map(state_rows.to_row(believed).__getitem__, _COLUMNS)) for believed in states]
    tx.exec_driver_sql(_upsert(tx.dialect.paramstyle), rows)


def placeholders(paramstyle: str, count: int) -> str:
    """Return ``count`` parameters for a statement of a driver of this DB-API paramstyle, with commas."""
    return ", ".join(["?" if paramstyle == "qmark" else "%s"] * count)


@cache
def _upsert(paramstyle: str) -> str:
    changes = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in _KEY)
    values = placeholders(paramstyle, len(_COLUMNS))
    return (
        f"INSERT INTO state ({', '.join(_COLUMNS)}) VALUES ({values}) "  # noqa: S608 - names of our own columns
        f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {changes}"
    )


def _whole(subject: str) -> str:
    kind, _, rest = subject.partition("/")
    return f"{kind}/{rest.partition('/')[0]}"


def _order(believed: State) -> tuple[Any, ...]:
    return believed.subject, believed.check
