"""What happens in a made city: a list of events that a seed writes, and what they make of each service at each moment.

Times are seconds since the city began, as a clock beside it would show them that never steps. Every event stands for itself: a
list with some of them left out is a script, too, which is what shrinking needs.
"""

import random
from bisect import bisect_right
from collections.abc import Sequence

import msgspec

HOUR = 3600.0

# how a service answers; the second half says nothing of it
SHOWS = {"up": "up", "slow": "up", "down": "down", "degraded": "degraded"}
ANSWERS = ("down", "down", "down", "degraded", "slow", "every second", "hang", "raise", "unknown")
# what the other side of a channel does with a message
MOODS = (
    "refuses connections",
    "takes it, then is silent",
    "takes it, then hangs up",
    "asks for patience",
    "fails",
    "refuses",
)
AWAY = ("before", "at commit", "after commit")
CHANGES = ("interval", "contact", "channel", "service", "family")
FULL = ("full", "overfull")  # a disk, for the first rule of a family, and for both

NEAR = 0.6  # share of what happens soon after a service changed


class Event(msgspec.Struct, frozen=True):
    """One thing that happens ``at`` a moment for some ``seconds``; ``name`` says to what, ``how`` in which way.

    ``count`` is for a kill how many callbacks later it comes, which may be in the middle of anything.
    """

    at: float
    kind: str
    seconds: float = 0.0
    name: str = ""
    how: str = ""
    count: int = 0

    def __str__(self) -> str:
        words = [f"{self.at / HOUR:8.4f} h  {self.kind}", self.name, self.how]
        words += [
            f"{self.seconds:.1f} s" if self.seconds else "",
            f"{self.count} callbacks later" if self.count else "",
        ]
        return " ".join(word for word in words if word)


class Town(msgspec.Struct, frozen=True):
    """What there is: services by id with the seconds between looks and the looks it takes; channels, those ``keyed`` refuse doubles."""

    services: dict[str, tuple[float, int, int]]
    channels: dict[str, bool]
    hosts: tuple[str, ...]
    hours: float


def town(seed: int, hours: float) -> Town:
    """Return what a seed's city is made of."""
    dice = random.Random(f"{seed} town")
    services = {
        f"svc{number}": (float(dice.choice((30, 60, 60, 120))), dice.choice((1, 2, 2, 3)), dice.choice((1, 1, 2)))
        for number in range(dice.randint(2, 4))
    }
    return Town(services, {"keyed": True, "plain": False}, ("srv-1", "srv-2"), hours)


def events(seed: int, place: Town) -> list[Event]:
    """Return what happens in a seed's city, in order of time."""
    dice = random.Random(f"{seed} events")
    drawn: list[Event] = []

    def moment() -> float:
        """Return a moment, often one at which much happens anyway: a service has just changed, or a disk is full."""
        changes = [event.at for event in drawn if event.kind in {"service", "full"}]
        if changes and dice.random() < NEAR:
            return dice.choice(changes) + dice.uniform(0, dice.choice((300, 300, 300, 1200)))
        return dice.uniform(0.02, 1) * place.hours * HOUR

    def some(per_hour: float) -> list[float]:
        most = per_hour * place.hours * dice.choice((0, 1, 1, 2))  # some cities know little of some kinds
        return [moment() for _ in range(round(most * dice.uniform(0.5, 1.5)))]

    def draw(kind: str, per_hour: float, names: Sequence[str], ways: Sequence[str], longest: float) -> None:
        for at in some(per_hour):
            seconds = min(longest, longest / 12 * dice.expovariate(1.0) + 1.0)
            drawn.append(Event(at, kind, seconds, dice.choice(names), dice.choice(ways)))

    draw("service", 2.0, tuple(place.services), ANSWERS, 2 * HOUR)
    draw("silence", 0.3, place.hosts, ("",), HOUR)
    draw("full", 0.4, place.hosts, FULL, 3 * HOUR)
    draw("channel", 1.0, tuple(place.channels), MOODS, HOUR)
    draw("state away", 0.4, ("",), AWAY, 600.0)
    draw("store unreadable", 0.2, ("",), ("",), 600.0)
    draw("stop", 0.3, ("",), ("",), 1200.0)
    draw("suspend", 0.2, ("",), ("",), 2 * HOUR)
    draw("restart", 0.2, ("",), ("",), 120.0)
    draw("restart", 0.05, ("",), ("", "set ahead", "set back"), 5 * HOUR)
    draw("refused", 0.15, tuple(place.services), ("",), 900.0)
    draw("step", 0.2, ("",), ("ahead", "back"), 1200.0)
    draw("work", 0.3, tuple(place.services), ("",), HOUR)
    draw("change", 0.4, ("",), CHANGES, 1.0)
    for at in some(0.5):
        how = dice.choice(("killed", "power lost"))
        drawn.append(Event(at, "kill", dice.choice((2.0, 5.0, 60.0, 900.0)), "", how, dice.randrange(400)))
    return sorted(drawn, key=lambda event: event.at)


class Course:
    """How one thing stood at each moment: ``usual``, unless an event says otherwise; of two the later one speaks."""

    def __init__(self, usual: str, stretches: Sequence[tuple[float, float, str]]) -> None:
        edges = sorted({0.0, *(edge for start, end, _ in stretches for edge in (start, end))})
        self.edges = edges
        self.ways = [
            next((how for start, end, how in reversed(stretches) if start <= edge < end), usual) for edge in edges
        ]

    def at(self, moment: float) -> str:
        """Return how it stood."""
        return self.ways[bisect_right(self.edges, moment) - 1]

    def stretches(self, end: float) -> list[tuple[float, float, str]]:
        """Return from when to when it stood how, up to ``end``."""
        parts: list[tuple[float, float, str]] = []
        for start, stop, how in zip(self.edges, [*self.edges[1:], end], self.ways, strict=True):
            if start >= end:
                break
            if parts and parts[-1][2] == how:
                parts[-1] = (parts[-1][0], min(stop, end), how)
            else:
                parts.append((start, min(stop, end), how))
        return parts


def course(happened: Sequence[Event], kind: str, name: str, usual: str) -> Course:
    """Return how one thing goes by the events of a kind that name it."""
    return Course(
        usual,
        [
            (event.at, event.at + event.seconds, event.how or kind)
            for event in happened
            if (event.kind, event.name) == (kind, name)
        ],
    )
