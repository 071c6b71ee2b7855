"""Run many seeds: ``python -m simulation SEEDS [--hours H | --years Y] [--only 3,5]``; ``make simulate`` calls it."""

import argparse
import multiprocessing
import os
import sys
import time
from functools import partial

from simulation.script import HOUR
from simulation.seeds import HOURS, run, shrink, told

YEAR = 365.25 * 24  # hours


def main():
    """Return 0 when every seed holds; the first that does not is made small and printed, with the command that shows it again."""
    arguments = _arguments()
    seeds, hours = _seeds(arguments.seeds), arguments.hours
    if arguments.years is not None:
        seeds = range(seeds[0], seeds[0] + max(1, round(arguments.years * YEAR / hours)))
    if arguments.only is not None:
        only = [int(number) for number in arguments.only.split(",") if number.isdigit()]
        outcome = run(seeds[0], hours, only)
        print(told(outcome, hours, only) if outcome.wrong else f"seed {seeds[0]} holds")
        return bool(outcome.wrong)
    begun = time.monotonic()
    outcomes = []
    with multiprocessing.get_context("spawn").Pool(arguments.processes, maxtasksperchild=500) as pool:
        for outcome in pool.imap_unordered(partial(run, hours=hours), seeds):
            outcomes.append(outcome)
            if len(outcomes) % 100 == 0:
                print(_sums(outcomes, time.monotonic() - begun), flush=True)
            if outcome.wrong:
                print(told(outcome, hours), "", sep="\n", flush=True)
    print(_sums(outcomes, time.monotonic() - begun))
    failed = sorted(outcome.seed for outcome in outcomes if outcome.wrong)
    if failed:
        print(f"{len(failed)} of {len(outcomes)} seeds fail: {failed[:40]}; the first one is made small:", flush=True)
        kept = shrink(failed[0], hours)
        print(told(run(failed[0], hours, kept), hours, kept))
    return bool(failed)


def _arguments():
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("seeds", help="one seed, several (3,7) or from one to before another (0-300)")
    parser.add_argument("--hours", type=float, default=HOURS, help="made hours of one seed")
    parser.add_argument("--years", type=float, help="made years in all, beginning with the first seed")
    parser.add_argument("--only", help="nothing but the events of these numbers")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    return parser.parse_args()


def _seeds(text):
    first, dash, last = text.partition("-")
    return range(int(first), int(last)) if dash else [int(seed) for seed in text.split(",")]


def _sums(outcomes, seconds):
    hours, looks, flips, messages, kills = (
        sum(getattr(outcome, name) for outcome in outcomes) for name in ("hours", "looks", "flips", "messages", "kills")
    )
    return (
        f"{len(outcomes)} seeds: {hours / YEAR:.2f} made years in {seconds:.0f} s ({hours * HOUR / max(seconds, 0.001):,.0f} s a second), "
        f"{looks:,} looks, {flips:,} flips, {messages:,} messages, {kills:,} kills"
    )


if __name__ == "__main__":
    sys.exit(main())
