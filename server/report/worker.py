"""The process in which papers are made: takes orders from standard input, one after the other, and gives papers to standard output.

``server.report.papers`` starts it. It is nicer than the centre where that is allowed, and ends when nobody orders any more or one takes
too long.
"""

import os
import pickle
import signal
import sys
import traceback
from contextlib import suppress
from typing import BinaryIO, Final, Literal

from alerts.tables import StateAway
from server.report import paper

Outcome = Literal["made", "away", "failed"]

SIZE: Final = 8  # bytes, big endian, of the length before each message
_NICER: Final = 10


def packed(message: object) -> bytes:
    """Return a message as it goes through the pipe."""
    body = pickle.dumps(message)
    return len(body).to_bytes(SIZE) + body


def work(orders: BinaryIO, papers: BinaryIO, longest: float) -> None:
    """Make papers until ``orders`` ends; one that takes longer than ``longest`` seconds ends the process by SIGALRM."""
    while length := orders.read(SIZE):
        order = pickle.loads(orders.read(int.from_bytes(length)))  # noqa: S301 - from the centre that started us
        signal.setitimer(signal.ITIMER_REAL, longest)
        papers.write(packed(_answer(order)))
        papers.flush()
        signal.setitimer(signal.ITIMER_REAL, 0)


def give_way() -> None:
    """Leave the processor to looks, as far as that is allowed: a unit may forbid to change priorities."""
    with suppress(OSError):
        os.nice(_NICER)


def _answer(order: paper.Order) -> tuple[Outcome, object]:
    try:
        return "made", paper.make(order)
    except StateAway as error:
        return "away", str(error)
    except Exception:  # noqa: BLE001 - told to the centre, which logs it
        return "failed", traceback.format_exc()


def main() -> None:
    """Run as the centre's child; ``argv[1]`` is how many seconds one paper may take."""
    give_way()
    papers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not get between the papers
    work(sys.stdin.buffer, papers, float(sys.argv[1]))


if __name__ == "__main__":
    main()
