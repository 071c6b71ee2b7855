"""A seed: its city, what happened in it, and what was wrong with it; a failing one is made small."""

import time
from contextlib import closing
from typing import NamedTuple

from simulation import bookkeeping, figures, messages
from simulation.city import City
from simulation.script import HOUR, events, town

INVARIANTS = (*bookkeeping.INVARIANTS, *messages.INVARIANTS, *figures.INVARIANTS)
HOURS = 2.0


class Outcome(NamedTuple):
    """What became of a seed: ``wrong`` says which invariants do not hold; ``seconds`` is the processor's time, the rest is counted."""

    seed: int
    wrong: list
    hours: float
    looks: int
    flips: int
    messages: int
    kills: int
    seconds: float


def run(seed, hours=HOURS, only=None):
    """Let a seed's city happen; with ``only``, nothing but the events of these numbers."""
    begun = time.process_time()
    place = town(seed, hours)
    happened = events(seed, place)
    if only is not None:
        happened = [happened[number] for number in only]
    with closing(City(seed, place, happened)) as city:
        return Outcome(
            seed=seed,
            wrong=wrong_with(city),
            hours=city.at / HOUR,
            looks=sum(map(len, city.looks.values())),
            flips=city.rows("SELECT count(*) FROM flip")[0][0],
            messages=sum(len(provider.arrived) for provider in city.providers.values()),
            kills=sum(event.kind == "kill" for event in happened),
            seconds=time.process_time() - begun,
        )


def shrink(seed, hours=HOURS, *, tries=400):
    """Return the numbers of the fewest events found with which a seed still fails in the way in which it fails first.

    By delta debugging (Zeller and Hildebrandt, 2002): halves, quarters and so on are left out as long as that helps.
    """
    kept = list(range(len(events(seed, town(seed, hours)))))
    kind = _kind(run(seed, hours).wrong)
    parts = 2
    while len(kept) > 1 and tries > 0:
        size = max(1, len(kept) // parts)
        for start in range(0, len(kept), size):
            fewer = kept[:start] + kept[start + size :]
            tries -= 1
            if kind in {_kind([words]) for words in run(seed, hours, fewer).wrong}:
                kept, parts = fewer, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(kept))
    return kept


def told(outcome, hours=HOURS, only=None):
    """Return what was wrong with a seed in words, and the command that shows it again."""
    happened = events(outcome.seed, town(outcome.seed, hours))
    kept = range(len(happened)) if only is None else only
    lines = [f"seed {outcome.seed} fails:", *(f"  {words}" for words in outcome.wrong[:12])]
    lines += ["with these events:", *(f"  {number:3} {happened[number]}" for number in kept)]
    chosen = "" if only is None else f" ONLY={','.join(map(str, only)) or 'none'}"
    return "\n".join([*lines, f"again: make simulate SEEDS={outcome.seed} HOURS={hours:g}{chosen}"])


def wrong_with(city):
    """Let a city happen; return what was wrong with it."""
    try:
        city.run()
    except Exception as error:
        return [f"fault: {type(error).__name__}: {error}", *_checked(city)]
    return [
        *(fault if fault.startswith(("memory: ", "skipped: ")) else f"fault: {fault}" for fault in city.faults),
        *_checked(city),
    ]


def _checked(city):
    return [words for invariant in INVARIANTS for words in invariant(city)]


def _kind(wrong):
    """Return what kind of failure it is: the name of the invariant."""
    return wrong[0].partition(":")[0] if wrong else ""
