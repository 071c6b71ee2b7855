"""What a check expects, how much it matters when that is not so, and the verdict over all that was found."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from collectors.result import Reason, Status

Severity = Literal["down", "degraded", "warn"]

_STATUS: Final[Mapping[Severity, Status]] = {"down": Status.DOWN, "degraded": Status.DEGRADED, "warn": Status.UP}
_ORDER: Final[tuple[Severity, ...]] = ("down", "degraded", "warn")


class Pattern(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A regular expression (Python's ``re``, searched anywhere) and what it means when it is not as expected.

    ``severity``: "down" and "degraded" count against the service, "warn" leaves it up and only tells.
    """

    pattern: str
    severity: Severity = "down"


Patterns = str | Pattern | tuple[str | Pattern, ...]


class Matcher(msgspec.Struct, frozen=True):
    """A compiled Pattern."""

    regex: re.Pattern[str]
    severity: Severity


class Finding(msgspec.Struct, frozen=True):
    """One expectation that was not met: ``detail`` is part of one technical line."""

    severity: Severity
    reason: Reason
    detail: str


def matchers(option: str, patterns: Patterns) -> tuple[Matcher, ...]:
    """Compile what settings gave for ``option``; ValueError names the option and what is wrong with the expression."""
    entries = patterns if isinstance(patterns, tuple) else (patterns,)
    return tuple(
        Matcher(compiled(option, entry), "down")
        if isinstance(entry, str)
        else Matcher(compiled(option, entry.pattern), entry.severity)
        for entry in entries
    )


def compiled(option: str, text: str) -> re.Pattern[str]:
    """Compile one expression; ValueError names the option."""
    if not text:
        raise ValueError(f"{option!r}: an empty expression matches everything")
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"{option!r}: not a regular expression: {text!r}: {error}") from error


def verdict(findings: Iterable[Finding], otherwise: str) -> tuple[Status, Reason, str]:
    """Return status, reason and detail of all findings: the gravest decides, all are told; ``otherwise`` is told of none."""
    ordered = sorted(findings, key=lambda finding: _ORDER.index(finding.severity))
    if not ordered:
        return Status.UP, Reason.OK, otherwise
    return _STATUS[ordered[0].severity], ordered[0].reason, "; ".join(finding.detail for finding in ordered)
