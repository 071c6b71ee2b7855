"""What was seen and is not written yet, and the ledger that is written with it."""

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from sqlalchemy import Connection

from alerts.state import Seen, State
from alerts.states import Key

if TYPE_CHECKING:
    from alerts.follow import Turn


class Ledger(Protocol):
    """What is told of each look, written in the transactions of the judge. All but ``read`` and ``write`` belong to the event loop."""

    def read(self, tx: Connection) -> Any:
        """Return what ``load`` needs."""
        ...

    def load(self, rows: Any) -> None:
        """Begin with what the database says."""
        ...

    def see(self, seen: Seen) -> None:
        """Note a look, to be written with the next ``draw``."""
        ...

    def draw(self) -> Any:
        """Return what is to be written now."""
        ...

    def write(self, tx: Connection, drawn: Any, at: int) -> Any:
        """Write it, and that the centre was alive ``at`` (ms); returns what ``settle`` needs."""
        ...

    def settle(self, drawn: Any, written: Any) -> None:
        """Note that it is written."""
        ...

    def give_back(self, drawn: Any) -> None:
        """Note that it is not written, and belongs to the next ``draw``."""
        ...

    def split(self, drawn: Any) -> list[Any]:
        """Return it in pieces that can be written apart."""
        ...

    def lose(self, drawn: Any) -> None:
        """Note that it cannot be written, and never will be."""
        ...


class Batch:
    """What was seen and is not written yet. ``since`` is the steady time of the oldest look, ``written`` ends with the transaction."""

    def __init__(self) -> None:
        self.states: dict[Key, State] = {}
        self.turns: list[Turn] = []
        self.since: int | None = None
        self.written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.written.add_done_callback(_retrieved)

    def begin_with(self, before: "Batch") -> None:
        """Add what an earlier batch could not write, or may have written, before all of this."""
        self.states = before.states | self.states
        self.turns[:0] = [msgspec.structs.replace(turn, again=True) for turn in before.turns]
        self.since = before.since

    def forget(self, key: Key) -> None:
        """Write nothing of a subject by a check."""
        self.states.pop(key, None)
        self.turns = [turn for turn in self.turns if turn.key != key]


def _retrieved(written: "asyncio.Future[None]") -> None:
    if not written.cancelled():
        written.exception()  # nobody need wait for it
