"""Faults of one kind told together: fifty servers that fell silent are one thing to look at. Pure."""

from collections.abc import Sequence
from typing import Final

from server.readmodel.subject_rows import Problem

_FEW: Final = 3  # so many are told one by one


def clusters(problems: Sequence[Problem]) -> list[list[Problem]]:
    """Put faults of the same ``kind`` together if they are many. The order stays: a cluster stands where its first fault stood."""
    alike: dict[str, list[Problem]] = {}
    for one in problems:
        alike.setdefault(kind(one), []).append(one)
    told: list[list[Problem]] = []
    for one in problems:
        group = alike[kind(one)]
        if len(group) <= _FEW:
            told.append([one])
        elif group[0] is one:
            told.append(group)
    return told


def kind(problem: Problem) -> str:
    """Name the kind of a fault: which check finds it, how bad and why, and who handles it."""
    it = problem.incident
    # a rule looks at many subjects; each device has a check of its own, but all are polled alike
    check = it.check if not it.check.startswith("snmp/") else "snmp"
    return "-".join([check, it.status.value, it.severity, it.reason.value, it.acked_by or ""])
