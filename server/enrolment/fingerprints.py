"""Clones: two machines that write under one name are told apart by their fingerprints and never merged silently.

A fingerprint is words of twelve hex digits: a hash of the machine-id, then one of each network card (``agent.machine``). Cards
come and go, so one in common is enough; a cloned virtual machine has the same machine-id and other cards.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

HEADER: Final = "X-Pantau-Machine"
_SHAPE: Final = re.compile(r"[0-9a-f]{12}( [0-9a-f]{12}){0,16}")
_HELD: Final = 10 * 60_000
_SHOWN: Final = 5 * 60_000  # the agent that is refused tries again each minute


def fingerprint(text: str) -> str:
    """Return a fingerprint as it was told, or "" when it is none."""
    return text if _SHAPE.fullmatch(text) else ""


def same(first: str, second: str) -> bool:
    """Return whether two fingerprints are of one machine."""
    machine, *cards = first.split()
    other_machine, *other_cards = second.split()
    return machine == other_machine and (not cards or not other_cards or not set(cards).isdisjoint(other_cards))


class Conflict(msgspec.Struct, frozen=True):
    """A machine at ``address`` was refused the name ``host`` at ``at`` (ms of steady time).

    Another one has it, last heard at ``holder``.
    """

    host: str
    address: str
    holder: str
    at: int

    def words(self) -> str:
        """Return it as one technical line."""
        return f"{self.address} is refused the name {self.host}, which {self.holder or 'another machine'} has"


class Holder(msgspec.Struct):
    """Who writes under a name: its fingerprint, its address, and when it was last heard (ms of steady time)."""

    machine: str
    address: str
    at: int


class Clones:
    """Who has which name, and who was refused one. Times are ms of steady time."""

    def __init__(self) -> None:
        self._holders: dict[str, Holder] = {}
        self._conflicts: dict[str, Conflict] = {}

    def admit(self, host: str, machine: str, *, at: int, address: str, bound: str = "") -> bool:
        """Return whether a machine may write as ``host``.

        With a token of its own the name belongs to the machine that it is ``bound`` to; otherwise to the one that came first,
        until nothing was heard of it for ten minutes.
        """
        holder = self._holders.get(host)
        if bound:
            mine = bool(machine) and same(bound, machine)
        else:
            mine = holder is None or same(holder.machine, machine) or at - holder.at > _HELD
        if mine:
            self._holders[host] = Holder(machine, address, at)
        else:
            self.refuse(host, at=at, address=address)
        return mine

    def refuse(self, host: str, *, at: int, address: str) -> None:
        """Note that a machine was refused a name."""
        holder = self._holders.get(host)
        self._conflicts[host] = Conflict(host, address, holder.address if holder else "", at)

    def conflicts(self, at: int) -> Sequence[Conflict]:
        """Return who was refused a name within the last five minutes."""
        self._conflicts = {host: one for host, one in self._conflicts.items() if at - one.at < _SHOWN}
        return list(self._conflicts.values())

    def settled(self, started: int, at: int) -> bool:
        """Return whether we have listened since ``started`` for long enough to say that a name is in nobody's dispute."""
        return at - started >= _SHOWN
