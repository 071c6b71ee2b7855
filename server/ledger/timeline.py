"""Timeline: what is known of one service over one period; the evidence from which availability is computed."""

from collections.abc import Sequence

import msgspec

from server.calendar.intervals import Stretch

Open = tuple[int | None, int | None]  # None: open on that side, up to the edge of the period


class Timeline(msgspec.Struct, frozen=True):
    """What is known of one service over one period; stretches may overlap, come in any order and reach outside of the period.

    ``service`` holds the stretches inside service hours (None: always), ``life`` when the service existed.
    """

    period: Stretch
    down: Sequence[Open] = ()
    degraded: Sequence[Open] = ()
    unknown: Sequence[Open] = ()
    maint: Sequence[Open] = ()
    service: Sequence[Open] | None = None
    life: Open = (None, None)
