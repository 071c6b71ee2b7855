"""Look: one run of a check in progress, from its first instant to its Result."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Final

from collectors.checks import Target
from collectors.checks.engines.expect import Finding, Severity, verdict
from collectors.checks.engines.failure import Failure, from_error
from collectors.result import Reason, Result
from configs.redact import Veil

_LONGEST_DETAIL: Final = 400
_LONGEST_FACT: Final = 400


class Look:
    """One run in progress: the phase it is in, what was found, and facts by the way.

    Phases touch each other (``enter`` ends one and begins the next; a phase entered again adds up), so they sum up to ``took``.
    """

    def __init__(self, target: Target, at: int, phase: str = "dns") -> None:
        self.target = target
        self.at = at
        self.phase = phase
        self.phases: dict[str, float] = {}
        self.facts: dict[str, str | int | float | bool] = {}
        self.findings: list[Finding] = []
        self.summary = ""
        self.veil = Veil()
        self._start = self._since = perf_counter()

    def begin(self) -> None:
        """Begin to count here: what came before was preparation on this side, and no time that the target took."""
        self.phases.clear()
        self._since = perf_counter()

    def enter(self, phase: str) -> None:
        """End the phase that runs and begin the next."""
        now = perf_counter()
        self.phases[self.phase] = self.phases.get(self.phase, 0.0) + now - self._since
        self.phase, self._since = phase, now

    def remaining(self) -> float:
        """Return the seconds left until the run's deadline."""
        return max(0.0, self.target.timeout - (perf_counter() - self._start))

    @property
    def took(self) -> float:
        """Seconds in all phases that ended."""
        return sum(self.phases.values())

    def find(self, severity: Severity, reason: Reason, detail: str) -> None:
        """Note an expectation that was not met."""
        self.findings.append(Finding(severity, reason, detail))

    def result(self, failure: Failure | None = None) -> Result:
        """Judge what was found; a failure outweighs it. Secrets are hidden, texts are one line of bounded length."""
        status, reason, detail = verdict(self.findings, self.summary)
        if failure is not None:
            status, reason, detail = failure.status, failure.reason, failure.detail
        return Result(
            check=self.target.check,
            subject=self.target.subject,
            status=status,
            reason=reason,
            at=self.at,
            detail=self._plain(detail, _LONGEST_DETAIL),
            took=self.took,
            phases=self.phases,
            facts={
                name: self._plain(value, _LONGEST_FACT) if isinstance(value, str) else value
                for name, value in self.facts.items()
            },
        )

    def _plain(self, text: str, longest: int) -> str:
        text = " ".join(self.veil.over(text).split())
        if not text.isprintable():
            text = "".join(sign if sign.isprintable() else "?" for sign in text)
        return text if len(text) <= longest else text[: longest - 1] + "…"


async def observe(
    target: Target,
    at: int,
    work: Callable[[Look], Awaitable[None]],
    *,
    slow: float | None = None,
) -> Result:
    """Run ``work`` within the target's deadline and return what it showed.

    A Failure, an error of the network or of TLS, and the deadline become values; any other exception is a bug and passes.
    ``slow`` is the number of seconds above which a run that went well is degraded.
    """
    look = Look(target, at)
    failure: Failure | None = None
    try:
        async with asyncio.timeout(target.timeout):
            await work(look)
    except Failure as error:
        failure = error
    except (OSError, EOFError) as error:
        failure = from_error(error, look.phase, target.timeout)
    look.enter("")
    if slow is not None and look.took > slow:
        look.find("degraded", Reason.SLOW, f"took {look.took:.3f} s, slow above {slow:g} s")
    return look.result(failure)
