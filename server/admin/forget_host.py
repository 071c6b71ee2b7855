"""Forgetting a host that is gone: its row, what is believed of it, and its incidents."""

from collections.abc import Callable

from alerts.judge import Judge
from alerts.tables import Database
from server.inventory.known_hosts import delete_host, states_of


async def forget_host(
    database: Database, judge: Judge, name: str, *, by: str, at: int, let_go: Callable[[str], None] = lambda _: None
) -> str:
    """Forget a host and close its incidents as retired; return what was done in one line. Raises HostError.

    ``let_go`` is called before the row is deleted: whoever holds it in memory must not write it again.
    """
    states = await database.read(lambda tx: states_of(tx, name))
    let_go(name)
    await database.write(lambda tx: delete_host(tx, name, by=by, at=at))
    closed = [await judge.retire(state.check, state.subject, by=by) for state in states]
    return f"{name} is forgotten; incidents closed: {sum(incident is not None for incident in closed)}"
