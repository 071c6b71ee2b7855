"""A judge on a database for tests, with a ledger that only remembers what it was told."""

from alerts.follow import Terms
from alerts.judge import Judge
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


async def judge_on(database, policy, about, routes, *, clock=None, ledger=None, planned=lambda: None):
    """Return a judge that has read ``database``; ``clock`` gives ms."""
    clock = Clock() if clock is None else Clock(clock, lambda: clock() / 1000)
    judge = Judge(database, Terms(policy, about, routes), ledger or Told(), clock, planned=planned, moment=0.0)
    await judge.load()
    return judge
