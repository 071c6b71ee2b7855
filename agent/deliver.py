"""Deliver: what each answer to a write means, and how a body is cut until only the poison is left over.

Pure but for ``post``, which is handed in.
"""

import re
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

import msgspec

from agent.packing import pack
from agent.post import Answer, Unreachable

_REQUESTS: Final = 64  # for one group; what is undecided then waits for the next turn
_DROPPED: Final = re.compile(r"dropped=(\d+)")
_SHOWN: Final = 200


class Verdict(Enum):
    """What an answer asks for."""

    DONE = "done"
    POISON = "poison"  # a line in it is malformed: find and quarantine it
    TOO_LARGE = "too large"  # send less at once
    PARTIAL = "partial"  # taken, but for some lines that will never be
    OURS = "ours"  # settings, token or bucket are wrong: keep, ask again slowly
    LATER = "later"  # the other side is overloaded or broken: keep, back off
    UNREACHABLE = "unreachable"  # nobody answered: keep, back off


class Pause(msgspec.Struct, frozen=True):
    """Why delivering stopped; ``wish`` is the Retry-After in seconds, as it was sent."""

    verdict: Verdict
    why: str
    wish: float | None = None


class Outcome(msgspec.Struct):
    """What became of a group's lines; those in none of these were delivered. ``answer`` is the last one, if any."""

    rest: list[bytes] = []
    poison: list[tuple[bytes, str]] = []
    rejected: int = 0
    complaint: str = ""
    pause: Pause | None = None
    accepted: bool = False
    too_large: bool = False


def judge(answer: Answer) -> Verdict:
    """Return what an answer means. Success is only what InfluxDB's write answers, not the page of a captive portal."""
    match answer.status:
        case 200 | 201 | 202 | 204 | 206 | 207 | 208:
            return Verdict.LATER if answer.html or (answer.text and answer.text[0] != "{") else Verdict.DONE
        case 400:
            return Verdict.LATER if answer.html else Verdict.POISON
        case 413:
            return Verdict.TOO_LARGE
        case 422:
            return Verdict.PARTIAL
        case 408 | 425 | 429:
            return Verdict.LATER
        case status if 300 <= status < 500:  # noqa: PLR2004 - classes of status codes
            return Verdict.OURS
    return Verdict.LATER


def deliver(
    lines: Sequence[bytes], post: Callable[[bytes], Answer], *, trusted: bool, body: bytes | None = None
) -> Outcome:
    """Send lines and cut them where the other side asks for it. ``body`` is what they are packed, if that is known.

    ``trusted`` says that this address has accepted lines before. Before that a 400 may mean that it is the wrong address, so
    nothing goes to quarantine unless some other line was accepted.
    """
    outcome = Outcome(accepted=trusted)
    suspects: list[tuple[bytes, str]] = []
    parts = [list(lines)]
    for _ in range(_REQUESTS):
        if not parts:
            break
        part = parts.pop()
        try:
            answer = post(body or pack(part))
        except Unreachable as error:
            parts.append(part)
            outcome.pause = Pause(Verdict.OURS if error.ours else Verdict.UNREACHABLE, str(error))
            break
        body = None
        verdict = judge(answer)
        why = f"HTTP {answer.status}{' with a web page' if answer.html else ''}: {answer.text[:_SHOWN]}".rstrip(": ")
        if verdict is Verdict.DONE:
            outcome.accepted = True
        elif verdict is Verdict.PARTIAL:
            found = _DROPPED.search(answer.text)
            outcome.rejected += min(int(found[1]), len(part)) if found else len(part)
            outcome.complaint = why
        elif verdict in {Verdict.POISON, Verdict.TOO_LARGE}:
            outcome.too_large |= verdict is Verdict.TOO_LARGE
            if len(part) == 1:
                suspects.append((part[0], why))
            else:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
        else:
            parts.append(part)
            outcome.pause = Pause(verdict, why, answer.retry_after)
            break
    if outcome.accepted or outcome.rejected:
        outcome.poison = suspects
    elif suspects:
        parts.append([line for line, _ in suspects])
        outcome.pause = outcome.pause or Pause(Verdict.OURS, f"every line was refused, {suspects[0][1]}")
    outcome.rest = [line for part in reversed(parts) for line in part]
    return outcome
