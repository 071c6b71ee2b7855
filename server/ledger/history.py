"""History: what the spans of all checks together say about one subject over a window of time; pure, no I/O."""

from collections.abc import Iterable, Sequence

import msgspec

from collectors.result import Reason, Status
from server.calendar.intervals import Stretch, clip, common, merge, without
from server.ledger.timeline import Open, Timeline


class Span(msgspec.Struct, frozen=True):
    """One row of the ledger: ``check`` saw ``status`` from ``start`` to ``end``; ``last`` is the last look that said so."""

    check: str
    status: Status
    reason: Reason
    start: int
    last: int
    end: int
    looks: int


class History(msgspec.Struct, frozen=True):
    """What is known of one subject within ``window``, which ends at the latest now.

    Down is where any counting check saw it down; degraded where any saw that and none saw it down; unknown where no counting
    check vouches, or where the centre did not run.
    """

    subject: str
    window: Stretch
    spans: tuple[Span, ...]
    down: list[Stretch]
    degraded: list[Stretch]
    unknown: list[Stretch]
    maint: list[Stretch]
    service: list[Stretch] | None
    life: Open

    def timeline(self, start: int, end: int) -> Timeline:
        """Return the part within ``[start, end)``, clipped at the window's end: what comes after now is not a part of the period."""
        end = max(start, min(end, self.window[1]))
        return Timeline(
            period=(start, end),
            down=clip(self.down, start, end),
            degraded=clip(self.degraded, start, end),
            unknown=clip(self.unknown, start, end),
            maint=clip(self.maint, start, end),
            service=None if self.service is None else clip(self.service, start, end),
            life=self.life,
        )

    @property
    def resolution(self) -> int | None:
        """Milliseconds between looks of the check that looks most often, as measured, to the second; None without two looks."""
        took: dict[str, tuple[int, int]] = {}
        for span in self.spans:
            length, steps = took.get(span.check, (0, 0))
            took[span.check] = (length + span.last - span.start, steps + span.looks - 1)
        pace = min((length / steps for length, steps in took.values() if steps > 0 < length), default=None)
        return None if pace is None else max(1, round(pace / 1000)) * 1000


def compose(
    subject: str,
    window: Stretch,
    spans: Sequence[Span],
    *,
    running: Iterable[Stretch],
    maint: Iterable[Stretch] = (),
    service: list[Stretch] | None = None,
    life: Open = (None, None),
) -> History:
    """Put together what counting checks saw (``spans``), when the centre ran, and what was agreed."""
    vouched = common(_where(spans, Status.UP, Status.DEGRADED, Status.DOWN), merge(running))
    down = common(_where(spans, Status.DOWN), vouched)
    return History(
        subject=subject,
        window=window,
        spans=tuple(spans),
        down=down,
        degraded=without(common(_where(spans, Status.DEGRADED), vouched), down),
        unknown=without(merge([window]), vouched),
        maint=merge(maint),
        service=service,
        life=life,
    )


def _where(spans: Iterable[Span], *statuses: Status) -> list[Stretch]:
    return merge((span.start, span.end) for span in spans if span.status in statuses)
