"""Settings of the schedule."""

from typing import Annotated

import msgspec

from configs.units import Duration

_Slots = Annotated[int, msgspec.Meta(ge=1)]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[schedule]``: how many looks may run at once, and when the schedule itself is in trouble.

    ``total`` limits all looks, ``per_type`` those of one kind of check, ``per_target`` those at one host. A look that starts, or is
    written, more than ``late`` after it was due (its own time left out), what was seen waiting that long to be written, or more than
    a tenth of the due times of a kind skipped opens an incident of ``pantau/schedule``.
    """

    total: _Slots = 256
    per_type: _Slots = 64
    per_target: _Slots = 4
    late: Duration = Duration(15)

    def __post_init__(self) -> None:
        """ValueError for a delay that every look has."""
        if self.late <= 0:
            raise ValueError("'late': expected longer than nothing")
