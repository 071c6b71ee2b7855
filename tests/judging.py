"""A judge on a database for tests, with a ledger that only remembers what it was told, and a state written as a plain row."""

from functools import partial

from sqlalchemy import delete, insert

from alerts import tables
from alerts.follow import Terms
from alerts.judge import Judge
from alerts.state_rows import to_row
from configs.clock import Clock


class Told:
    """A ledger that keeps what it was told in ``seen``; ``write`` is called with each transaction."""

    def __init__(self, seen=None, write=lambda _tx, _drawn, _at: None):
        self.seen = [] if seen is None else seen
        self.write = write

    def read(self, tx):
        return None

    def load(self, rows):
        pass

    def see(self, seen):
        self.seen.append(seen)

    def draw(self):
        return None

    def settle(self, drawn, written):
        pass

    def give_back(self, drawn):
        pass

    def split(self, drawn):
        return []

    def lose(self, drawn):
        pass


async def judge_on(database, policy, about, routes, *, clock=None, ledger=None, planned=lambda: None, moment=0.0):
    """Return a judge that has read ``database``; ``clock`` is a Clock, or gives ms."""
    if not isinstance(clock, Clock):
        clock = Clock() if clock is None else Clock(clock, partial(_seconds, clock))
    judge = Judge(database, Terms(policy, about, routes), ledger or Told(), clock, planned=planned, moment=moment)
    await judge.load()
    return judge


def _seconds(clock):
    return clock() / 1000


def save(tx, state):
    """Write a state over the one before it, without the statement that the product prepares for many."""
    row = to_row(state)
    tx.execute(
        delete(tables.state).where(tables.state.c.check_id == state.check, tables.state.c.subject == state.subject)
    )
    tx.execute(insert(tables.state).values(row))
