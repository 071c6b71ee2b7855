"""Absence: a host that sent nothing for a while."""

import msgspec

from alerts.rules import Evidence, Target
from collectors.result import Reason, Result, Status
from configs.units import Duration


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A host of ``hosts`` (default: every host that ever wrote) sent nothing for ``window``.

    It is down, unless ``status`` says otherwise.
    """

    hosts: tuple[str, ...] = ()
    window: Duration = Duration(300)


class Absence:
    """A silent host is down; this is what speaks for its availability."""

    status = Status.DOWN
    counts = True

    def __init__(self, target: Target, options: Options) -> None:
        if options.window <= 0:
            raise ValueError("window must be longer than nothing")
        self._target = target
        self._options = options

    async def evaluate(self, evidence: Evidence) -> list[Result]:
        """Return how each expected or known host stands; UNKNOWN while we have not listened for long enough to say."""
        known = (subject.removeprefix("host/") for subject in evidence.states)
        hosts = set(self._options.hosts) or {*evidence.last_seen, *known}
        return [self._judged(host, evidence) for host in sorted(hosts)]

    def _judged(self, host: str, evidence: Evidence) -> Result:
        now, window, last = evidence.steady, self._options.window.ms, evidence.last_seen.get(host)
        if last is not None and now - last <= window:
            status, reason = Status.UP, Reason.OK
        elif now - max(last or 0, evidence.listening_since) > window:
            status, reason = self._target.broken, Reason.SILENT
        else:
            status, reason = Status.UNKNOWN, Reason.SILENT
        return Result(
            check=self._target.check,
            subject=f"host/{host}",
            status=status,
            reason=reason,
            at=evidence.at,
            detail="it never wrote" if last is None else f"last data {max(now - last, 0) / 1000:.0f} s ago",
        )
