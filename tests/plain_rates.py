"""Rates of counters, computed value by value as anybody would on paper; and counters to try them on."""

from fractions import Fraction
from itertools import pairwise

from server.store import Aggregate


def grown(before, value):
    """Return what a counter grew by, None when it was set back."""
    if value >= before:
        return Fraction(value) - Fraction(before)
    return Fraction(value) if 0 <= 2 * Fraction(value) < Fraction(before) else None


def pairs(samples, step):
    """Return the pairs of each window: growth (or None) and time in ns."""
    found = {}
    for (earlier, before), (time, value) in pairwise(sorted(samples)):
        found.setdefault(time // step * step, []).append((grown(before, value), time - earlier))
    return found


def rates(samples, step):
    """Return window -> growth of all its pairs by their time, a second."""
    answer = {}
    for moment, found in pairs(samples, step).items():
        used = [pair for pair in found if pair[0] is not None]
        if used:
            answer[moment] = float(sum(growth for growth, _ in used) / sum(time for _, time in used) * 10**9)
    return answer


def irates(samples, step):
    """Return window -> growth of its last pair by its time, a second."""
    last = {moment: found[-1] for moment, found in pairs(samples, step).items()}
    return {moment: float(growth / time * 10**9) for moment, (growth, time) in last.items() if growth is not None}


PLAIN_RATES = {Aggregate.RATE: rates, Aggregate.IRATE: irates}


def counter(random, kind, seconds=7200):
    """Return (ns, value) of a counter that is read at an uneven pace, with gaps, new beginnings and set-backs."""
    samples = []
    time, value = random.randrange(60) * 10**9, random.choice([0, 5, 10**6, 2**50])
    while time < seconds * 10**9:
        samples.append((time, kind(value)))
        time += random.choice([random.randrange(1, 3), 10, 30, 60, 600 if random.random() < 0.1 else 15]) * 10**9
        time += random.randrange(10**9)
        value += random.choice([0, 1, random.randrange(10**4), random.randrange(10**7)])
        match random.randrange(20):
            case 0:
                value = random.randrange(1000)
            case 1:
                value -= random.randrange(value // 2 + 1)
    return samples
